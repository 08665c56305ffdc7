package applets_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Scenario 38: the delay before a restart doubles up to its cap, and a run
// that outlives the stability period brings it back to the base.
func TestScenario038TheDelayDoublesToItsCapAndBeginsAgain(t *testing.T) {
	t.Parallel()
	const base, cap, fails = 40 * time.Millisecond, time.Second, 7
	b := newBed(t)
	b.service("a", fmt.Sprintf(`
[service]
exec = "wit -fail-runs %d"
[lifecycle]
restart_delay_ms = 40
restart_delay_max_ms = 1000
stability_period_ms = 1000
`, fails))
	b.serve()
	b.witnessed(fails+1, "START a")
	if f := b.full("a"); f.Attempts != fails {
		t.Errorf("zinit says %d restarts in a row, want %d", f.Attempts, fails)
	}
	b.await("the count to be cleared", func() error {
		if f := b.full("a"); f.Attempts != 0 {
			return fmt.Errorf("it is %d", f.Attempts)
		}
		return nil
	})
	b.crash("a")
	b.witnessed(fails+2, "START a")
	starts, exits := b.matching("START a"), b.matching("EXIT a 1")
	if len(exits) != fails {
		t.Fatalf("the witness saw %q", b.records())
	}
	want := base
	for i, exit := range exits {
		gap := starts[i+1].at - exit.at
		if gap < want || gap > want+want/10+patience*10*time.Second {
			t.Errorf("restart %d came after %v, want %v and at most a tenth more", i+1, gap, want)
		}
		want = min(2*want, cap)
	}
	if f := b.full("a"); f.Attempts != 1 {
		t.Errorf("after the good run zinit counts %d restarts in a row, want 1", f.Attempts)
	}
}

// policyEnds are the ways in which the first run of a service ends, and the
// policies that start it again after each.
var policyEnds = []struct {
	name, exec, settings string
	restarts             []string // the policies that restart it
	kind                 string   // of its failure; "" when the end is a success
}{
	{"zero", "wit -exit 0", "", []string{"always"}, ""},
	{"one", "wit -exit 1", "", []string{"on-failure", "always"}, "exit_code"},
	{"term", "wit -die TERM", "", []string{"on-failure", "always"}, "signal"},
	{"segv", "wit -die SEGV", "", []string{"on-failure", "always"}, "signal"},
	{"late", "wit", "start_timeout_ms = 1000\n", []string{"on-failure", "always"}, "start_timeout"},
}

var policies = []string{"never", "on-failure", "always"}

// Scenario 54: what each restart policy does after each kind of end, and that
// after an operator's stop none restarts anything.
func TestScenario054EachPolicyAfterEachEnd(t *testing.T) {
	t.Parallel()
	const budget = 1
	b := newBed(t)
	for _, policy := range policies {
		life := fmt.Sprintf("[lifecycle]\nrestart = %q\nrestart_delay_ms = 10\nmax_restarts = %d\nstop_timeout_ms = 200\n", policy, budget)
		for _, end := range policyEnds {
			ready := ""
			if end.name == "late" {
				ready = "ready = \"fd:3\"\n"
			}
			b.service(end.name+"-"+policy, fmt.Sprintf("[service]\nexec = %q\n%s%s%s", end.exec, ready, life, end.settings))
		}
		b.service("obeys-"+policy, "[service]\nexec = \"wit\"\n"+life)
		b.service("ignores-"+policy, "[service]\nexec = \"wit -ignore-term\"\n"+life)
		b.service("dies-"+policy, "[service]\nexec = \"sh -c 'wit -exit 0 -kind START; exec sleep 1000'\"\n"+life)
	}
	b.serve()
	for _, policy := range policies {
		for _, name := range []string{"obeys", "ignores", "dies"} {
			b.witnessed(1, "START "+name+"-"+policy)
			b.stopped(name + "-" + policy)
		}
	}
	for _, end := range policyEnds {
		for _, policy := range policies {
			b.judgePolicy(t, end.name+"-"+policy, end.kind, slices.Contains(end.restarts, policy), budget)
		}
	}
	stopped := "START (obeys|ignores|dies)-.*"
	b.never(300*time.Millisecond, 3*len(policies), stopped)
	for _, policy := range policies {
		for _, name := range []string{"obeys", "ignores", "dies"} {
			if f := b.full(name + "-" + policy); f.State.State != "exited" || f.Wanted {
				t.Errorf("stopped, %s is %s, wanted %v: %s", f.Name, f.State.State, f.Wanted, f.Reason)
			}
		}
	}
}

// judgePolicy waits until a service has come to rest and judges its runs, its
// state and its reason.
func (b *bed) judgePolicy(t *testing.T, name, kind string, restarts bool, budget int) {
	t.Helper()
	runs, state := 1, "failed"
	if restarts {
		runs += budget
	} else if kind == "" {
		state = "exited"
	}
	b.witnessed(runs, "START "+name)
	b.await(name+" to rest", func() error {
		if f := b.full(name); f.State.State != state || f.Run != uint64(runs) || f.State.PID != 0 {
			return fmt.Errorf("it is %s in run %d: %s", f.State.State, f.Run, f.Reason)
		}
		return nil
	})
	b.never(100*time.Millisecond, runs, "START "+name)
	f := b.full(name)
	if kind != "" && f.State.Reason.Type != kind {
		t.Errorf("%s failed by %q, want %q: %s", name, f.State.Reason.Type, kind, f.Reason)
	}
	if gaveUp := strings.Contains(f.Reason, "gave up"); gaveUp != restarts {
		t.Errorf("%s: the policy restarts it: %v, the reason says %q", name, restarts, f.Reason)
	}
}
