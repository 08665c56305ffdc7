package supervisor

import "testing"

func onMachine(o *Options) { o.Mode = Machine }

const shellOf = "spawn emergency/"

// There is one emergency at a time, and it outlives the server.
func TestACriticalFailureIsOneEmergencyAtATime(t *testing.T) {
	f := files{"a": "critical = true" + never, "b": "critical = true" + never, "c": ""}
	sm := newSimWith(t, f, onMachine)
	sm.run()
	sm.die("a", 1, 0)
	sm.run()
	sm.crash()
	sm.die("b", 1, 0)
	sm.run()
	if sm.count(shellOf+"a") != 1 || sm.count(shellOf+"b") != 0 {
		t.Fatalf("trace %v", sm.trace)
	}
	sm.wantStates("a=failed b=failed c=running")
	sm.die("emergency/a", 0, 0)
	sm.run()
	sm.start("b")
	sm.die("b", 1, 0)
	sm.run()
	if sm.count(shellOf+"b") != 1 {
		t.Errorf("no second emergency after the first was closed; trace %v", sm.trace)
	}
	sm.s.Shutdown("poweroff", me)
	if got := sm.ended(); got.How.String() != "poweroff" {
		t.Errorf("the end is %+v", got)
	}
}

// Only the failure for good is one: restarts come first, and what an operator
// stops has not failed.
func TestACriticalServiceMayBeRestartedFirst(t *testing.T) {
	sm := newSimWith(t, files{"a": "critical = true"}, onMachine)
	sm.run()
	sm.die("a", 1, 0)
	sm.run()
	sm.stop("a")
	if sm.count(shellOf+"a") != 0 {
		t.Errorf("trace %v", sm.trace)
	}
}

// Whatever a critical service cannot begin with is a failure of it, once: zinit 0.3
// only wrote it down (F86).
func TestACriticalServiceThatCannotStartIsAnEmergency(t *testing.T) {
	const down = "status = \"stop\"\n"
	for _, f := range []files{
		{"a": "critical = true\n" + down + never},
		{"a": "critical = true\n" + down + never + "[dependencies]\nrequires = [\"b\"]\n", "b": down + never},
		{"a": "critical = true\n" + down + never + "[dependencies]\nrequires = [\"nowhere\"]\n"},
	} {
		sm := newSimWith(t, f, onMachine)
		sm.failsToRun["a"], sm.failsToRun["b"] = true, true
		sm.start("a")
		sm.run()
		if sm.count(shellOf+"a") != 1 {
			t.Errorf("with %v the trace is %v", f, sm.trace)
		}
	}
}

// A shell that cannot be opened is said, and is no emergency that is open.
func TestAnEmergencyThatCannotBeOpenedIsOver(t *testing.T) {
	sm := newSimWith(t, files{"a": "critical = true" + never}, onMachine)
	sm.failsToRun["emergency/a"] = true
	sm.run()
	for range 2 {
		sm.die("a", 1, 0)
		sm.run()
		if sm.s.emergency != "" {
			t.Fatalf("%q counts as open", sm.s.emergency)
		}
		sm.start("a")
		sm.now++ // a clock never stands still
	}
}
