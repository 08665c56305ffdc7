package supervisor

import (
	"testing"
	"time"
)

// Scenario 33: a container that was paused for two minutes has not used up the
// time of a stop, nor of a start.
func TestAPauseIsNotTheTimeThatAServiceHad(t *testing.T) {
	sm := newSim(t, files{
		"deaf": "[lifecycle]\nstop_timeout_ms = 10000\n",
		"slow": "ready = \"fd:3\"\n[lifecycle]\nstart_timeout_ms = 10000\nrestart = \"never\"\n",
	})
	sm.ignoresTerm["deaf"] = true
	sm.run()
	sm.stop("deaf")
	sm.sleep(4 * time.Second)
	sm.now += int64(120 * time.Second)
	sm.s.fire()
	sm.run()
	sm.sleep(4 * time.Second)
	sm.wantStates("deaf=stopping slow=starting")
	sm.sleep(3 * time.Second)
	sm.wantStates("deaf=exited slow=failed")
}

// What was decided once is not decided again, neither by the server that did it
// nor by the one that follows.
func TestARequestWithATokenIsDoneOnce(t *testing.T) {
	sm := newSim(t, files{"web": ""})
	sm.run()
	by := Cause{Kind: "operator", Token: "abc"}
	for range 2 {
		if _, err := sm.s.Restart([]string{"web"}, by, StopOptions{}); err != nil {
			t.Fatal(err)
		}
		sm.run()
	}
	sm.crash()
	if _, err := sm.s.Restart([]string{"web"}, by, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	sm.run()
	if n := sm.count("spawn web"); n != 2 {
		t.Errorf("web was started %d times, want 2: %v", n, sm.trace)
	}
	by.Token = "def"
	if _, err := sm.s.Restart([]string{"web"}, by, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	sm.run()
	if n := sm.count("spawn web"); n != 3 {
		t.Errorf("a new token: web was started %d times, want 3", n)
	}
}
