package supervisor

import (
	"testing"
	"time"
)

// A restart waits for those that need the service. Who asks to start it meanwhile
// used to make a stop of it: it went down and stayed there, unwanted.
func TestAStartDoesNotUndoARestartThatWaits(t *testing.T) {
	sm := newSim(t, files{"db": "", "web": deps + `["db"]`})
	sm.ignoresTerm["web"] = true
	sm.run()
	by := Cause{Kind: "operator"}
	if _, err := sm.s.Restart([]string{"db"}, by, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	sm.run()
	sm.wantStates("db=running web=stopping")
	if err := sm.s.Start([]string{"db"}, by, StartOptions{}); err != nil {
		t.Fatal(err)
	}
	sm.run()
	sm.sleep(time.Minute)
	sm.wantStates("db=running web=running")
	if n := sm.count("spawn db"); n != 2 {
		t.Errorf("db was started %d times, want 2: %v", n, sm.trace)
	}
}

// The pause before a restart is counted from the end of the run, not from when the
// server came to hear of it: it may have been dead meanwhile.
func TestARestartsDelayCountsFromTheEndOfTheRun(t *testing.T) {
	sm := newSim(t, files{"web": "[lifecycle]\nrestart_delay_ms = 1000"})
	sm.run()
	sm.die("web", 1, 0)
	ended := sm.now
	sm.now += int64(600 * time.Millisecond)
	sm.run()
	if due := sm.s.services["web"].rt.RetryAt; due != ended+int64(time.Second) {
		t.Errorf("it starts again %v after its end, want 1s", time.Duration(due-ended))
	}
	sm.sleep(400 * time.Millisecond)
	sm.wantStates("web=running")
}
