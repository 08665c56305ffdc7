package supervisor

import (
	"syscall"
	"testing"
	"time"

	"zinit/supervisor/keeper"
)

func inContainer(o *Options) { o.Mode = Container }

// ended waits for the word to the keeper.
func (sm *sim) ended() keeper.End {
	sm.t.Helper()
	sm.run()
	select {
	case <-sm.s.Ended():
		return sm.end
	default:
	}
	if sm.s.ending == nil || !sm.s.ending.over {
		sm.t.Fatalf("zinit does not end; trace %v", sm.trace)
	}
	<-sm.s.Ended()
	return sm.end
}

func (sm *sim) stays() {
	sm.t.Helper()
	sm.run()
	if sm.s.ending != nil {
		sm.t.Fatalf("zinit ends; trace %v", sm.trace)
	}
}

const never = "\n[lifecycle]\nrestart = \"never\"\n"

// Scenario 19: the status of a container is that of its main service, and
// everybody else has an orderly stop first.
func TestTheEndOfTheMainServiceEndsTheContainerWithItsStatus(t *testing.T) {
	for _, c := range []struct {
		code   int
		sig    syscall.Signal
		status int
	}{
		{0, 0, 0}, {1, 0, 1}, {42, 0, 42}, {255, 0, 255},
		{0, syscall.SIGSEGV, 139}, {0, syscall.SIGABRT, 134}, {0, syscall.SIGKILL, 137},
	} {
		sm := newSimWith(t, files{"a": "", "b": deps + `["a"]`, "m": "main = true" + never}, inContainer)
		sm.run()
		sm.die("m", c.code, c.sig)
		if got := sm.ended(); got != (keeper.End{How: keeper.Stop, Status: c.status}) {
			t.Errorf("exit %d, signal %d: the end is %+v", c.code, c.sig, got)
		}
		sm.wantBefore("end b", "TERM a")
		if sm.ends != 1 {
			t.Errorf("the keeper was told %d times", sm.ends)
		}
	}
}

// A main service that will be restarted has not ended for good.
func TestAMainServiceMayBeRestartedFirst(t *testing.T) {
	sm := newSimWith(t, files{"m": "main = true\n[lifecycle]\nmax_restarts = 1\n"}, inContainer)
	sm.run()
	sm.die("m", 7, 0)
	sm.stays()
	sm.sleep(2 * time.Second)
	sm.die("m", 8, 0)
	if got := sm.ended().Status; got != 8 {
		t.Errorf("status %d, want that of the last run, 8", got)
	}
}

func TestWhatNeverRanEndsWithAStatusOfItsOwn(t *testing.T) {
	sm := newSimWith(t, files{"m": "main = true" + never}, func(o *Options) { o.Mode = Container })
	sm.run()
	sm.failsToRun["m"] = true
	sm.restart("m")
	if got := sm.ended().Status; got != 127 {
		t.Errorf("not found: status %d, want 127", got)
	}
	sm = newSimWith(t, files{"m": "main = true\n" + deps + `["nowhere"]`}, inContainer)
	if got := sm.ended().Status; got != 1 {
		t.Errorf("missing dependency: status %d, want 1", got)
	}
	// Ready is what it never was: a success before that is none.
	sm = newSimWith(t, files{"m": "main = true\nready = \"fd:3\"" + never}, inContainer)
	sm.run()
	sm.die("m", 0, 0)
	if got := sm.ended().Status; got != 1 {
		t.Errorf("exit 0 before it was ready: status %d, want 1", got)
	}
}

// The cause is the first of the chain, here the database, not what it took
// along.
func TestTheStatusIsThatOfTheFirstCause(t *testing.T) {
	sm := newSimWith(t, files{"db": "critical = true" + never, "web": "main = true\n" + deps + `["db"]`}, inContainer)
	sm.run()
	sm.stop("web")
	sm.stays()
	sm.start("web")
	sm.die("db", 9, 0)
	if got := sm.ended().Status; got != 9 {
		t.Errorf("status %d, want 9", got)
	}
}

func TestAnOperatorsStopOfTheMainServiceEndsNothing(t *testing.T) {
	sm := newSimWith(t, files{"a": "", "m": "main = true\n" + deps + `["a"]`}, inContainer)
	sm.run()
	sm.stop("m")
	sm.stays()
	sm.start("m")
	sm.stop("a") // takes m along
	sm.stays()
	sm.restart("m")
	sm.stays()
	sm.s.Shutdown("shutdown", me)
	if got := sm.ended().Status; got != 0 {
		t.Errorf("status %d after an orderly stop", got)
	}
}

// A critical service may end as it should.
func TestACriticalServiceEndsTheContainerOnlyWhenItFails(t *testing.T) {
	sm := newSimWith(t, files{"a": "", "c": "critical = true" + never, "once": "critical = true\n" + oneshot}, inContainer)
	sm.run()
	sm.die("once", 0, 0)
	sm.die("c", 0, 0)
	sm.stays()
	sm.start("c")
	sm.die("c", 3, 0)
	if got := sm.ended().Status; got != 3 {
		t.Errorf("status %d, want 3", got)
	}
}

// Elsewhere main says nothing.
func TestAMainServiceIsLikeOthersOutsideOfContainers(t *testing.T) {
	sm := newSim(t, files{"m": "main = true\ncritical = true" + never})
	sm.run()
	sm.die("m", 3, 0)
	sm.stays()
}

// The server dies in the middle of the shutdown: its successor knows the
// status.
func TestTheStatusSurvivesTheServer(t *testing.T) {
	sm := newSimWith(t, files{"a": "", "m": "main = true" + never}, inContainer)
	sm.ignoresTerm["a"] = true
	sm.run()
	sm.die("m", 42, 0)
	sm.run()
	sm.crash()
	sm.sleep(11 * time.Second)
	if got := sm.ended(); got.Status != 42 {
		t.Errorf("the end is %+v", got)
	}
}

func TestAContainerThatIsIdleEndsWhenItWasToldTo(t *testing.T) {
	f := files{"a": oneshot, "b": oneshot + deps + `["a"]`, "c": oneshot + never, "d": "status = \"stop\""}
	sm := newSimWith(t, f, inContainer)
	sm.run()
	sm.die("a", 0, 0)
	sm.die("c", 1, 0)
	sm.run()
	sm.die("b", 0, 0)
	sm.stays() // without the option it waits for somebody to start something

	sm = newSimWith(t, f, func(o *Options) { o.Mode, o.ExitWhenIdle = Container, true })
	sm.run()
	sm.die("c", 1, 0)
	sm.stays()
	sm.die("a", 1, 0)
	sm.stays() // it is to be started again
	sm.sleep(2 * time.Second)
	sm.die("a", 0, 0)
	sm.stays() // b follows
	sm.die("b", 0, 0)
	if got := sm.ended().Status; got != 0 {
		t.Errorf("status %d", got)
	}
}

// What the keeper's sweep may take is part of a container's ten seconds.
func TestAShutdownLeavesTimeForTheSweep(t *testing.T) {
	sm := newSimWith(t, files{"a": "[lifecycle]\nstop_timeout_ms = 60000\n"}, inContainer)
	sm.run()
	sm.ignoresTerm["a"] = true
	sm.s.Shutdown("shutdown", me)
	sm.sleep(8 * time.Second)
	if got := sm.ended(); got.Status != 0 || sm.count("KILL a") != 1 {
		t.Errorf("the end is %+v; trace %v", got, sm.trace)
	}
}
