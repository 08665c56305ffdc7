package supervisor

import (
	"strings"
	"testing"
	"time"
)

// Mistakes of zinit 0.3 that no test of something else shows to be absent. F and
// B are their numbers in the lists of what it did wrong.

// zinit 0.3 F26: the start timeout was not for oneshots.
func TestAOneshotThatSetsAStartTimeoutIsBoundByIt(t *testing.T) {
	sm := newSim(t, files{"o": oneshot + "[lifecycle]\nrestart = \"never\"\nstart_timeout_ms = 500", "free": oneshot})
	sm.run()
	sm.sleep(490 * time.Millisecond)
	sm.wantStates("free=starting o=starting")
	sm.sleep(20 * time.Millisecond)
	sm.wantStates("free=starting o=failed")
	sm.wantBefore("TERM o", "end o")
	sm.wantReason("o", "not ready within 500ms")
}

// zinit 0.3 F30, B8: what was stopped while it waited was started when what it
// waited for came up.
func TestAStopHoldsWhenWhatWasWaitedForComesUp(t *testing.T) {
	sm := newSim(t, files{"db": oneshot, "app": deps + `["db"]`})
	sm.run()
	sm.wantStates("app=blocked db=starting")
	sm.stop("app")
	sm.die("db", 0, 0)
	sm.sleep(time.Hour)
	sm.wantStates("app=inactive db=exited")
}

// zinit 0.3 B8: a stop took the failure of a missing name away, and a start then
// ran the service without it.
func TestAStopDoesNotMakeAMissingNameUnneeded(t *testing.T) {
	sm := newSim(t, files{"b": deps + `["nope"]`})
	sm.run()
	sm.wantStates("b=failed")
	sm.stop("b")
	sm.start("b")
	sm.wantStates("b=failed")
	sm.wantReason("b", "requires nope, which does not exist")
	if n := sm.count("spawn b"); n != 0 {
		t.Errorf("b was started %d times without what it requires", n)
	}
}

// zinit 0.3 F33: a program that could not be run was not tried again, and what
// comes after it waited for ever.
func TestWhatComesAfterAFailedExecStartsWhenItsOutcomeIsKnown(t *testing.T) {
	sm := newSim(t, files{"a": "status = \"stop\"\n[lifecycle]\nmax_restarts = 2", "b": "status = \"stop\"\n[dependencies]\nafter = [\"a\"]",
		"late": "status = \"stop\"\n[lifecycle]\nrestart = \"always\""})
	sm.failsToRun["a"], sm.failsToRun["late"] = true, true
	sm.start("a", "b", "late")
	sm.wantStates("a=failed b=blocked late=failed")
	delete(sm.failsToRun, "late")
	sm.sleep(time.Minute)
	sm.wantStates("a=failed b=running late=running")
}

// zinit 0.3 F38, B9: a service with status stop or ignore could not be started.
// Ours could, but restarted one to be ignored when it had crashed.
func TestWhatIsNotStartedAtBootIsStartedByHand(t *testing.T) {
	sm := newSim(t, files{"i": "status = \"ignore\"", "s": "status = \"stop\"", "needs": "status = \"stop\"\n" + deps + `["i"]`})
	sm.sleep(time.Hour)
	sm.wantStates("i=inactive needs=inactive s=inactive")
	sm.start("needs") // zinit itself never starts what is to be ignored
	sm.wantStates("i=inactive needs=blocked s=inactive")
	sm.start("i", "s")
	sm.wantStates("i=running needs=running s=running")
	sm.restart("i")
	sm.wantStates("i=running needs=running s=running")
	sm.die("i", 1, 0)
	sm.sleep(time.Hour)
	sm.wantStates("i=failed needs=running s=running")
}

// zinit 0.3 F40: to come after what is not started at boot blocked for ever.
func TestAfterWhatIsNotWantedIsNoWait(t *testing.T) {
	sm := newSim(t, files{"s": "status = \"stop\"", "i": "status = \"ignore\"", "b": "[dependencies]\nafter = [\"s\", \"i\"]"})
	sm.run()
	sm.wantStates("b=running i=inactive s=inactive")
}

// zinit 0.3 F41: a start started neither what is required nor what is wanted.
func TestAStartPullsIn(t *testing.T) {
	off := "status = \"stop\"\n"
	sm := newSim(t, files{"db": off, "disk": off, "mail": off, "app": off + deps + "[\"db\"]\nwants = [\"mail\"]", "db2": off,
		"bound": off + "[dependencies]\nbinds_to = [\"app\"]\nafter = [\"db2\"]"})
	sm.run()
	sm.start("bound")
	sm.wantStates("app=running bound=running db=running db2=inactive disk=inactive mail=running")
}

// zinit 0.3 F42: what requires a service that failed for good ran on and nothing
// told.
func TestALostRequirementIsAWarningUntilItIsBack(t *testing.T) {
	sm := newSim(t, files{"db": "[lifecycle]\nrestart = \"never\"", "app": deps + "[\"db\"]\nwants = [\"db\"]"})
	sm.run()
	sm.wantReason("app", "")
	sm.die("db", 3, 0)
	sm.run()
	sm.wantStates("app=running db=failed")
	sm.wantReason("app", "warning: db, which it requires, is failed, wants db, which failed: exit 3")
	why, err := sm.s.Why("app")
	if err != nil || len(why.Chain) != 1 || len(why.Chain[0].Warnings) != 2 || why.Chain[0].Reason != "running as wanted; started by: boot" {
		t.Errorf("why app: %+v, %v", why, err)
	}
	sm.start("db")
	sm.wantStates("app=running db=running")
	sm.wantReason("app", "")
	if n := sm.count("spawn app"); n != 1 {
		t.Errorf("app was started %d times, want once", n)
	}
}

// zinit 0.3 F44, B10: a start of what cannot start was answered with ok.
func TestTheAnswerToAStartTellsWhatBecameOfIt(t *testing.T) {
	sm := newSim(t, files{"off": "status = \"ignore\"", "b": "status = \"stop\"\n" + deps + `["off"]`, "x": "status = \"stop\"", "ok": "status = \"stop\""})
	sm.failsToRun["x"] = true
	sm.start("b", "x", "ok")
	for name, want := range map[string]string{"b": "waits for off", "x": "no such file", "ok": ""} {
		o, done := started(sm.s, sm.s.services[name])
		if o.OK != (want == "") || !done || !strings.Contains(o.Reason, want) {
			t.Errorf("start %s: %+v, %v; want a reason with %q", name, o, done, want)
		}
	}
}

// zinit 0.3 F55: a restart of a target left it down, and all that requires it.
func TestARestartOfATargetBringsBackWhatRequiresIt(t *testing.T) {
	sm := newSim(t, files{"t": "[target]", "a": deps + `["t"]`, "z": ""})
	sm.run()
	sm.restart("t")
	sm.wantStates("a=running t=running z=running")
	sm.restart("t")
	sm.sleep(time.Hour)
	sm.wantStates("a=running t=running z=running")
	if a, z := sm.count("spawn a"), sm.count("spawn z"); a != 3 || z != 1 {
		t.Errorf("a was started %d times, z %d; want 3 and 1: %v", a, z, sm.trace)
	}
}

// zinit 0.3 F23, B3: services had numbers, and a removal gave the number of the
// removed one to another, which then had its exit.
func TestTheExitOfARemovedServiceIsNobodyElses(t *testing.T) {
	f := files{"a": "", "b": "", "c": "", "d": ""}
	sm := newSim(t, f)
	sm.run()
	for _, gone := range []string{"a", "c"} {
		sm.ignoresTerm[gone] = true
		delete(f, gone)
		if err := sm.reload(f); err != nil {
			t.Fatal(err)
		}
		sm.sleep(time.Minute) // to its SIGKILL
	}
	sm.wantStates("b=running d=running")
	if _, err := sm.s.Status("a"); err == nil {
		t.Errorf("status of what was removed: %v", err)
	}
	sm.die("d", 1, 0)
	sm.sleep(time.Minute)
	sm.wantStates("b=running d=running")
	if b, d := sm.count("spawn b"), sm.count("spawn d"); b != 1 || d != 2 {
		t.Errorf("b was started %d times, d %d; want 1 and 2: %v", b, d, sm.trace)
	}
}

// wantReason demands the one line that list shows of a service; it may go on.
func (sm *sim) wantReason(name, want string) {
	sm.t.Helper()
	for _, i := range sm.s.List() {
		if i.Name == name && (!strings.HasPrefix(i.Reason, want) || want == "" && i.Reason != "") {
			sm.t.Errorf("the reason of %s is %q, want %q", name, i.Reason, want)
		}
	}
}
