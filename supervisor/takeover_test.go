package supervisor

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
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

// Random graphs, random acts, and a crash of the server after any of them.
func TestRandomHistoriesKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(r, "services")
		f := files{}
		for i := range n {
			text := "status = \"start\"\n"
			if rapid.Bool().Draw(r, "oneshot") {
				text += oneshot
			}
			text += "[dependencies]\n"
			for _, kind := range []string{"requires", "after", "wants", "conflicts"} {
				var list string
				for j := range i {
					if rapid.IntRange(0, 3).Draw(r, kind) == 0 {
						list += fmt.Sprintf("%q,", name(j))
					}
				}
				if kind != "conflicts" || i%3 == 2 {
					text += fmt.Sprintf("%s = [%s]\n", kind, list)
				}
			}
			f[name(i)] = text + "[lifecycle]\nmax_restarts = 3\nstop_timeout_ms = 2000\n"
		}
		sm := newSim(t, f)
		defer sm.close()
		for range rapid.IntRange(1, 40).Draw(r, "acts") {
			sm.act(r, name(rapid.IntRange(0, n-1).Draw(r, "who")))
		}
		sm.s.Shutdown("shutdown", me)
		sm.check()
		sm.sleep(time.Hour)
		for tag, p := range sm.procs {
			if p.alive {
				t.Fatalf("%s lives after the shutdown; trace %v", tag, sm.trace)
			}
		}
	})
}

func name(i int) string { return fmt.Sprintf("s%d", i) }

// act does one random thing.
func (sm *sim) act(r *rapid.T, who string) {
	sm.t.Helper()
	one := []string{who}
	switch rapid.IntRange(0, 8).Draw(r, "act") {
	case 0:
		sm.s.Start(one, me, StartOptions{NoDeps: rapid.Bool().Draw(r, "no deps")})
	case 1:
		sm.s.Stop(one, me, StopOptions{})
	case 2:
		sm.s.Restart(one, me, StopOptions{})
	case 3, 4:
		if p := sm.procs[who]; p != nil && p.alive {
			sm.die(who, rapid.IntRange(0, 1).Draw(r, "code"), 0)
		}
	case 5:
		sm.ignoresTerm[who] = !sm.ignoresTerm[who]
	case 6:
		sm.failsToRun[who] = !sm.failsToRun[who]
	case 7:
		sm.sleep(time.Duration(rapid.IntRange(1, 5000).Draw(r, "ms")) * time.Millisecond)
	case 8:
		sm.crash()
	}
	sm.check()
	if rapid.Bool().Draw(r, "run") {
		sm.run()
	}
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
