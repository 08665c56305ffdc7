package supervisor

import (
	"math/rand/v2"
	"testing"
	"time"
)

const year = 365 * 24 * time.Hour

// wallSteps is newSim with a wall clock that the caller steps.
func wallSteps(t *testing.T, f files) (sm *sim, step func(time.Duration)) {
	t.Helper()
	skew := int64(0)
	sm = newSimWith(t, f, func(o *Options) {
		now := o.Now
		o.Wall = func() int64 { return 1_700_000_000e9 + now() + skew }
	})
	return sm, func(d time.Duration) {
		skew += int64(d)
		sm.s.fire() // whatever a step made due would come now
		sm.run()
	}
}

// pending are services each of which is to wait ten seconds for something.
var pending = files{
	"deaf": "[lifecycle]\nstop_timeout_ms = 10000\n",
	"lost": "[lifecycle]\nrestart_delay_ms = 10000\n",
	"slow": "ready = \"fd:3\"\n[lifecycle]\nstart_timeout_ms = 10000\nrestart = \"never\"\n",
}

// wait begins the waiting of pending.
func (sm *sim) wait() {
	sm.t.Helper()
	sm.ignoresTerm["deaf"] = true
	sm.run()
	sm.die("lost", 1, 0)
	sm.stop("deaf")
	sm.wantStates("deaf=stopping lost=failed slow=starting")
}

// waited demands that nothing of pending has come yet, all of it within
// another two seconds, each once, and nothing more after.
func (sm *sim) waited() {
	sm.t.Helper()
	sm.wantStates("deaf=stopping lost=failed slow=starting")
	sm.sleep(2 * time.Second)
	sm.wantStates("deaf=exited lost=running slow=failed")
	sm.sleep(20 * time.Second)
	sm.cameOnce()
}

// cameOnce demands that everything that pending waits for has come once.
func (sm *sim) cameOnce() {
	sm.t.Helper()
	sm.wantStates("deaf=exited lost=running slow=failed")
	for what, want := range map[string]int{"KILL deaf": 1, "TERM deaf": 1, "spawn lost": 2, "spawn slow": 1, "spawn deaf": 1} {
		if n := sm.count(what); n != want {
			sm.t.Errorf("%s: %d times, want %d: %v", what, n, want, sm.trace)
		}
	}
}

// Scenario 191: what is pending comes at its monotonic time, whatever the wall
// clock does; what is told keeps its order, and its times show the step.
func TestScenario191TheWallClockStepsWhileSomethingIsPending(t *testing.T) {
	for name, d := range map[string]time.Duration{"on": 10 * year, "back": -10 * year, "to 1970": -1_700_001_000e9} {
		t.Run(name, func(t *testing.T) {
			sm, step := wallSteps(t, pending)
			told := sm.s.Events(1 << 10)
			sm.wait()
			sm.sleep(5 * time.Second)
			step(d)
			sm.sleep(4 * time.Second)
			sm.waited()
			seq, first, last := uint64(0), int64(0), int64(0)
			for len(told.C) > 0 {
				tr := <-told.C
				if tr.Seq <= seq {
					t.Errorf("transition %d is told after %d", tr.Seq, seq)
				}
				if seq, last = tr.Seq, tr.TimeMS; first == 0 {
					first = last
				}
			}
			if got := time.Duration(last-first) * time.Millisecond; (got - d).Abs() > time.Minute {
				t.Errorf("the times of what was told go by %v, the clock by %v", got, d)
			}
		})
	}
}

// Scenario 191, of a shutdown: its deadline is no moment of the wall clock.
func TestScenario191TheWallClockStepsDuringAShutdown(t *testing.T) {
	for _, d := range []time.Duration{10 * year, -10 * year} {
		sm, step := wallSteps(t, files{"deaf": "[lifecycle]\nstop_timeout_ms = 600000\n"})
		sm.ignoresTerm["deaf"] = true
		sm.run()
		if err := sm.s.Shutdown("shutdown", me); err != nil {
			t.Fatal(err)
		}
		sm.sleep(30 * time.Second)
		step(d)
		sm.sleep(30 * time.Second)
		if n := sm.count("KILL deaf"); n != 0 {
			t.Errorf("%v: killed early: %v", d, sm.trace)
		}
		sm.sleep(40 * time.Second)
		if n := sm.count("KILL deaf"); n != 1 {
			t.Errorf("%v: %d kills: %v", d, n, sm.trace)
		}
	}
}

// Scenario 192: no duration is counted on the wall clock, so none is negative.
func TestScenario192ADurationIsNeverNegative(t *testing.T) {
	sm, step := wallSteps(t, files{"web": "", "lost": "[lifecycle]\nrestart_delay_ms = 10000\n"})
	sm.run()
	sm.die("lost", 1, 0)
	sm.run()
	sm.sleep(3 * time.Second)
	step(-time.Hour)
	for range 2 {
		web, err := sm.s.StatusFull("web")
		if err != nil || web.UptimeSecs == nil || *web.UptimeSecs != 3 || web.AgeMS != 3000 {
			t.Fatalf("web: up %v, in this state for %d ms, want 3 s: %v", web.UptimeSecs, web.AgeMS, err)
		}
		lost, err := sm.s.StatusFull("lost")
		if err != nil || lost.NextStartMS == nil || *lost.NextStartMS != 7000 || lost.AgeMS != 3000 {
			t.Fatalf("lost: next start in %v, in this state for %d ms: %v", lost.NextStartMS, lost.AgeMS, err)
		}
		sm.crash() // the next server says the same
	}
}

// Scenario 193, F76 and F77: the server dies, the wall clock steps, and what was left of
// every delay is left.
func TestScenario193TheWallClockStepsWhileThereIsNoServer(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, -time.Hour} {
		sm, step := wallSteps(t, pending)
		sm.wait()
		sm.sleep(5 * time.Second)
		step(d)
		sm.crash()
		sm.sleep(4 * time.Second)
		sm.waited()
	}
}

// Scenario 194: restarts in a row are counted and forgotten by the monotonic
// clock: a step of an hour is no hour of stability (zinit 0.3 F57).
func TestScenario194AStepIsNoStability(t *testing.T) {
	sm, step := wallSteps(t, files{"lost": "[lifecycle]\nmax_restarts = 5\nrestart_delay_ms = 1000\nrestart_delay_max_ms = 1000\nstability_period_ms = 60000\n"})
	fail := func() {
		t.Helper()
		sm.die("lost", 1, 0)
		sm.run()
		sm.sleep(2 * time.Second)
	}
	sm.run()
	for range 4 {
		fail()
	}
	step(time.Hour)
	if f, err := sm.s.StatusFull("lost"); err != nil || f.Attempts != 4 {
		t.Errorf("after the step %d restarts in a row are told, want 4: %v", f.Attempts, err)
	}
	fail()
	sm.wantStates("lost=running")
	fail()
	sm.wantStates("lost=failed")
	sm.sleep(time.Hour)
	if n := sm.count("spawn lost"); n != 6 {
		t.Errorf("%d starts, want 6", n)
	}
}

// Scenario 195: on a machine that is given little time every timer comes late.
// What is due comes once all the same, and a SIGKILL is not left out.
func TestScenario195TimersComeLate(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(195, seed))
		sm, _ := wallSteps(t, pending)
		sm.wait()
		for range 200 {
			at := sm.s.next()
			if at == 0 {
				break
			}
			sm.now = max(sm.now, at) + r.Int64N(5e9)
			for range 1 + r.IntN(3) { // and may come twice
				sm.s.fire()
				sm.run()
			}
		}
		sm.cameOnce()
	}
}
