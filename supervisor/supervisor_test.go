package supervisor

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var me = Cause{Kind: "operator", UID: 0, PID: 42}

const (
	deps    = "[dependencies]\nrequires = "
	oneshot = "oneshot = true\n"
)

func (sm *sim) start(names ...string) {
	sm.t.Helper()
	if err := sm.s.Start(names, me, StartOptions{}); err != nil {
		sm.t.Fatal(err)
	}
	sm.check()
	sm.run()
}

func (sm *sim) stop(names ...string) (also []string) {
	sm.t.Helper()
	also, err := sm.s.Stop(names, me, StopOptions{})
	if err != nil {
		sm.t.Fatal(err)
	}
	sm.check()
	sm.run()
	return also
}

func (sm *sim) restart(names ...string) {
	sm.t.Helper()
	if _, err := sm.s.Restart(names, me, StopOptions{}); err != nil {
		sm.t.Fatal(err)
	}
	sm.check()
	sm.run()
}

func TestAServiceStartsWhenWhatItRequiresIsReady(t *testing.T) {
	sm := newSim(t, files{"web": deps + `["db"]`, "db": deps + `["prepare"]`, "prepare": oneshot})
	sm.wantStates("db=blocked prepare=starting web=blocked")
	sm.run()
	sm.wantStates("db=blocked prepare=starting web=blocked")
	sm.die("prepare", 0, 0)
	sm.run()
	sm.wantStates("db=running prepare=exited web=running")
	sm.wantBefore("end prepare", "spawn db")
	sm.wantBefore("spawn db", "spawn web")
}

func TestAfterWaitsOnlyForWhatIsWanted(t *testing.T) {
	f := files{"b": "[dependencies]\nafter = [\"a\"]", "a": oneshot}
	sm := newSim(t, f)
	sm.run()
	sm.wantStates("a=starting b=blocked")
	sm.die("a", 1, 0) // a restart is pending: no outcome yet
	sm.run()
	sm.wantStates("a=failed b=blocked")
	sm.sleep(1100 * time.Millisecond)
	sm.die("a", 0, 0)
	sm.run()
	sm.wantStates("a=exited b=running")

	f["a"] = "oneshot = true\nstatus = \"stop\""
	sm = newSim(t, f)
	sm.run()
	sm.wantStates("a=inactive b=running")
}

func TestAFailureBelowIsTakenOverAndHealsByItself(t *testing.T) {
	sm := newSim(t, files{"b": deps + `["a"]`, "c": deps + `["b"]`, "a": oneshot + "[lifecycle]\nrestart = \"never\""})
	sm.run()
	sm.die("a", 3, 0)
	sm.run()
	sm.wantStates("a=failed b=failed c=failed")
	why, err := sm.s.Why("c")
	if err != nil || len(why.Chain) != 3 || why.Chain[2].Name != "a" || !strings.Contains(why.Chain[2].Reason, "exit 3") {
		t.Fatalf("why c: %+v, %v", why, err)
	}
	sm.start("a")
	sm.wantStates("a=starting b=blocked c=blocked")
	sm.die("a", 0, 0)
	sm.run()
	sm.wantStates("a=exited b=running c=running")
}

func TestAMissingNameFailsTheServiceUntilItAppears(t *testing.T) {
	f := files{"b": deps + `["nope"]`, "ok": ""}
	sm := newSim(t, f)
	sm.run()
	sm.wantStates("b=failed ok=running")
	if st, _ := sm.s.Status("b"); !strings.Contains(st.Error, "nope") {
		t.Errorf("the reason does not name nope: %q", st.Error)
	}
	f["nope"] = ""
	sm.reload(f)
	sm.wantStates("b=running nope=running ok=running")
}

// reload takes over files as if they lay on disk.
func (sm *sim) reload(f files) error {
	sm.t.Helper()
	err := sm.s.decide("reload", func(t *turn) error {
		p, err := sm.s.plan(f.config(sm.t))
		if err != nil {
			return err
		}
		return t.adopt(p)
	})
	sm.check()
	sm.run()
	return err
}

// zinit 0.3 F35, B38: a stop took what only comes after it, or wants it, down too.
func TestStopTakesDownWhatNeedsItFirstAndNothingElse(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`, "c": deps + `["b"]`, "after": "[dependencies]\nafter = [\"a\"]", "wants": "[dependencies]\nwants = [\"a\"]"})
	sm.run()
	also := sm.stop("a")
	sm.wantStates("a=exited after=running b=exited c=exited wants=running")
	sm.wantBefore("end c", "TERM b")
	sm.wantBefore("end b", "TERM a")
	if strings.Join(also, " ") != "b c" {
		t.Errorf("also stopped: %v, want b and c", also)
	}
	sm.sleep(time.Hour)
	sm.wantStates("a=exited after=running b=exited c=exited wants=running")
}

func TestStopWithoutDepsIsRefusedNamingWhoNeedsIt(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`})
	sm.run()
	_, err := sm.s.Stop([]string{"a"}, me, StopOptions{NoDeps: true})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Refused || !strings.Contains(err.Error(), "b") {
		t.Fatalf("got %v", err)
	}
	sm.wantStates("a=running b=running")
}

func TestRestartBringsBackWhatItTookDown(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`, "c": deps + `["b"]`})
	sm.run()
	sm.restart("a")
	sm.wantStates("a=running b=running c=running")
	sm.wantBefore("end c", "TERM b")
	sm.wantBefore("end b", "TERM a")
	for _, name := range []string{"a", "b", "c"} {
		if n := sm.count("spawn " + name); n != 2 {
			t.Errorf("%s was started %d times, want 2", name, n)
		}
	}
}

func TestOneRestartBelowADiamondIsOneRestartEach(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`, "c": deps + `["a"]`, "d": deps + `["b", "c"]`})
	sm.run()
	sm.restart("a")
	sm.wantStates("a=running b=running c=running d=running")
	for _, name := range []string{"a", "b", "c", "d"} {
		if n := sm.count("spawn " + name); n != 2 {
			t.Errorf("%s was started %d times, want 2", name, n)
		}
	}
}

func TestStopDuringBackoffHolds(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	sm.run()
	sm.die("a", 1, 0)
	sm.run()
	sm.stop("a")
	sm.sleep(time.Hour)
	if n := sm.count("spawn a"); n != 1 {
		t.Errorf("started %d times, want 1: %v", n, sm.trace)
	}
}

func TestStopAfterRestartWins(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	sm.run()
	if _, err := sm.s.Restart([]string{"a"}, me, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	sm.stop("a")
	sm.sleep(time.Hour)
	sm.wantStates("a=exited")
}

func TestStartDuringStopStartsAgainWhenItIsGone(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	sm.run()
	sm.ignoresTerm["a"] = true
	sm.stop("a")
	sm.wantStates("a=stopping")
	sm.start("a")
	sm.wantStates("a=stopping")
	sm.sleep(11 * time.Second)
	sm.wantStates("a=running")
	sm.wantBefore("TERM a", "KILL a")
}

func TestStopTimeoutKillsAndSaysSo(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nstop_timeout_ms = 5000"})
	sm.run()
	sm.ignoresTerm["a"] = true
	sm.stop("a")
	sm.sleep(4990 * time.Millisecond)
	sm.wantStates("a=stopping")
	sm.sleep(20 * time.Millisecond)
	sm.wantStates("a=exited")
	full, err := sm.s.StatusFull("a")
	if err != nil || full.LastExit == nil || !full.LastExit.Killed {
		t.Errorf("last exit %+v, %v: want it flagged as killed", full.LastExit, err)
	}
}

func TestTheBudgetEndsACrashLoopAndAnOperatorsStartRenewsIt(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nmax_restarts = 5\nrestart_delay_ms = 100"})
	for range 6 {
		sm.run()
		sm.die("a", 1, 0)
		sm.sleep(10 * time.Second)
	}
	sm.sleep(time.Hour)
	sm.wantStates("a=failed")
	if n := sm.count("spawn a"); n != 6 {
		t.Fatalf("%d starts, want 6", n)
	}
	if st, _ := sm.s.Status("a"); !strings.Contains(st.Error, "gave up after 5") {
		t.Errorf("reason %q does not name the budget", st.Error)
	}
	sm.start("a")
	sm.wantStates("a=running")
}

func TestAProgramThatCannotRunIsTriedAgainWithinTheBudget(t *testing.T) {
	sm := newSim(t, files{"a": "status = \"stop\"\n[lifecycle]\nmax_restarts = 2"})
	sm.failsToRun["a"] = true
	sm.start("a")
	sm.sleep(time.Hour)
	sm.wantStates("a=failed")
	if st, _ := sm.s.Status("a"); !strings.Contains(st.Error, "/bin/a") || !strings.Contains(st.Error, "no such file") {
		t.Errorf("reason %q does not name errno and path", st.Error)
	}
}

func TestConflictsAreNeverBothAliveAndAnOperatorWins(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": "status = \"stop\"\n[dependencies]\nconflicts = [\"a\"]"})
	sm.run()
	sm.start("b")
	sm.wantStates("a=exited b=running")
	sm.wantBefore("end a", "spawn b")
}

func TestAPullInDoesNotStopAConflict(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": "status = \"stop\"\n[dependencies]\nconflicts = [\"a\"]", "c": "status = \"stop\"\n" + deps + `["b"]`})
	sm.run()
	sm.start("c")
	sm.wantStates("a=running b=blocked c=blocked")
	sm.stop("a")
	sm.wantStates("a=exited b=running c=running")
}

func TestCycleMembersStayDownAndEverybodyElseRuns(t *testing.T) {
	sm := newSim(t, files{"a": deps + `["b"]`, "b": deps + `["a"]`, "c": deps + `["a"]`, "ok": ""})
	sm.run()
	sm.wantStates("a=failed b=failed c=failed ok=running")
	if err := sm.s.Start([]string{"a"}, me, StartOptions{}); err == nil || !strings.Contains(err.Error(), "a -> b -> a") {
		t.Errorf("start a: %v; want the path of the cycle", err)
	}
}

func TestATargetFollowsItsMembers(t *testing.T) {
	sm := newSim(t, files{"site": "[target]\n" + deps + `["web"]`, "web": ""})
	sm.run()
	sm.wantStates("site=running web=running")
	sm.die("web", 1, 0)
	sm.run()
	sm.wantStates("site=blocked web=failed")
	sm.sleep(2 * time.Second)
	sm.wantStates("site=running web=running")
	sm.stop("site")
	sm.wantStates("site=exited web=running")
}

func TestShutdownIsTheReverseOrderAndEndsOnce(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`, "c": "[dependencies]\nafter = [\"b\"]", "d": ""})
	sm.run()
	sm.s.Shutdown("shutdown", me)
	sm.run()
	sm.wantStates("a=exited b=exited c=exited d=exited")
	sm.wantBefore("end c", "TERM b")
	sm.wantBefore("end b", "TERM a")
	<-sm.s.Ended()
	if sm.ends != 1 {
		t.Errorf("the keeper was told %d times", sm.ends)
	}
	if err := sm.s.Start([]string{"a"}, me, StartOptions{}); err == nil {
		t.Error("a start during shutdown was not refused")
	}
}

func TestAShutdownThatDoesNotFitScalesItsTimeouts(t *testing.T) {
	f := files{"s1": "[lifecycle]\nstop_timeout_ms = 30000"}
	f["s2"] = f["s1"] + "\n" + deps + `["s1"]`
	f["s3"] = f["s1"] + "\n" + deps + `["s2"]`
	sm := newSim(t, f)
	sm.s.opt.ShutdownTimeout = 10 * time.Second
	sm.run()
	for name := range f {
		sm.ignoresTerm[name] = true
	}
	began := sm.now
	sm.s.Shutdown("shutdown", me)
	sm.sleep(10 * time.Second)
	sm.wantStates("s1=exited s2=exited s3=exited")
	sm.wantBefore("end s3", "TERM s2")
	sm.wantBefore("end s2", "TERM s1")
	if sm.now-began > int64(10*time.Second) {
		t.Errorf("took %s", time.Duration(sm.now-began))
	}
}

func TestAnIdleReloadTouchesNothing(t *testing.T) {
	f := files{"a": "", "b": deps + `["a"]`}
	sm := newSim(t, f)
	sm.run()
	sub := sm.s.Events(10)
	for range 100 {
		if err := sm.reload(files{"a": "# a comment\n", "b": f["b"]}); err != nil {
			t.Fatal(err)
		}
	}
	if len(sub.C) != 0 || sm.count("spawn a") != 1 {
		t.Errorf("%d transitions, trace %v", len(sub.C), sm.trace)
	}
}

func TestAReloadWithACycleIsRefusedWhole(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": deps + `["a"]`})
	sm.run()
	err := sm.reload(files{"a": deps + `["b"]`, "b": deps + `["a"]`, "new": ""})
	if err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Fatalf("got %v", err)
	}
	sm.wantStates("a=running b=running")
	if err := sm.reload(files{"a": "", "b": deps + `["a"]`, "new": ""}); err != nil {
		t.Fatal(err)
	}
	sm.wantStates("a=running b=running new=running")
}

func TestARemovedServiceIsStoppedThenForgotten(t *testing.T) {
	sm := newSim(t, files{"a": "", "b": ""})
	sm.run()
	if err := sm.reload(files{"a": ""}); err != nil {
		t.Fatal(err)
	}
	sm.wantStates("a=running")
	if sm.count("TERM b") != 1 {
		t.Errorf("b was not told to stop: %v", sm.trace)
	}
	if err := sm.reload(files{"a": "", "b": ""}); err != nil {
		t.Fatal(err)
	}
	sm.wantStates("a=running b=running")
}
