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
