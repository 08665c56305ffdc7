package supervisor

import (
	"encoding/json"
	"testing"
	"time"
)

func TestASuccessorHasTheSameServicesStatesAndPids(t *testing.T) {
	sm := newSim(t, files{"db": "", "web": deps + `["db"]`, "job": oneshot, "off": "status = \"stop\"", "bad": deps + `["nope"]`, "loop": deps + `["loop"]`})
	sm.run()
	sm.die("job", 0, 0)
	sm.run()
	before := sm.listed()
	sm.crash()
	if after := sm.listed(); after != before {
		t.Errorf("before the crash\n  %s\nafter\n  %s", before, after)
	}
	if n := sm.count("spawn web"); n != 1 {
		t.Errorf("web was started %d times", n)
	}
}

func (sm *sim) listed() string {
	b, err := json.Marshal(sm.s.List())
	if err != nil {
		sm.t.Fatal(err)
	}
	return string(b)
}

func TestAnExitWhileThereIsNoServerIsProcessedOnce(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	sm.run()
	sm.die("a", 7, 0)
	sm.crash()
	sm.wantStates("a=failed")
	if st, _ := sm.s.Status("a"); st.ExitCode == nil || *st.ExitCode != 7 {
		t.Errorf("exit code %v, want 7", st.ExitCode)
	}
	sm.crash()
	sm.sleep(1500 * time.Millisecond)
	sm.wantStates("a=running")
	if n := sm.count("spawn a"); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestAStopInProgressKeepsItsDeadline(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	sm.run()
	sm.ignoresTerm["a"] = true
	sm.stop("a")
	sm.sleep(4 * time.Second)
	sm.crash()
	sm.wantStates("a=stopping")
	if n := sm.count("TERM a"); n != 1 {
		t.Errorf("%d TERMs, want 1", n)
	}
	sm.sleep(5990 * time.Millisecond)
	sm.wantStates("a=stopping")
	sm.sleep(20 * time.Millisecond)
	sm.wantStates("a=exited")
}

func TestBackoffAttemptsAndDeadlinesSurvive(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nmax_restarts = 3"})
	for range 4 {
		sm.run()
		sm.die("a", 1, 0)
		sm.crash()
		sm.sleep(5 * time.Second)
	}
	sm.sleep(time.Hour)
	if n := sm.count("spawn a"); n != 4 {
		t.Errorf("%d starts, want 4: a crash gave a fresh budget", n)
	}
}

func TestAShutdownGoesOnAfterACrash(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`})
	sm.run()
	sm.ignoresTerm["b"] = true
	sm.s.Shutdown("shutdown", me)
	sm.run()
	sm.crash()
	sm.sleep(11 * time.Second)
	sm.wantStates("a=exited b=exited")
	sm.wantBefore("end b", "TERM a")
	<-sm.s.Ended()
}

// A run that was started and ended while there was no server used to be taken
// for one that had never run: an exit with 0 counted as a failure before it was
// ready, and was restarted.
func TestARunThatBeganAndEndedInTheAbsenceHasRun(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": "", "c": "[lifecycle]\nrestart = \"never\""})
	sm.die("a", 0, 0)
	sm.die("c", 3, 0)
	sm.crash()
	sm.wantStates("a=exited b=running c=failed")
	for _, name := range []string{"a", "c"} {
		if sm.s.services[name].rt.Failure.Early {
			t.Errorf("%s is said to have ended before it was ready", name)
		}
	}
	sm.sleep(time.Minute)
	if n := sm.count("spawn a"); n != 1 {
		t.Errorf("a was started %d times", n)
	}
}
