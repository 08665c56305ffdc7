package supervisor

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/state"
)

// kill asks for a signal, which is to arrive.
func (w *world) kill(name string, sig syscall.Signal) error {
	rt := &w.s.services[name].rt
	k := key(name, rt.Run)
	was := w.kills[k]
	w.kills[k] = append(slices.Clone(was), keeper.Signal{Seq: rt.SigSeq + 1, Sig: sig})
	err := w.s.Kill(name, sig, me)
	if err != nil {
		w.kills[k] = was
	}
	return err
}

// killed strikes a signal off that somebody asked for and that arrives now. It fails
// when one that was asked for before it has not arrived.
func (w *world) killed(r *run, o keeper.Signal) bool {
	k := key(o.Tag, o.Run)
	i := slices.IndexFunc(w.kills[k], func(a keeper.Signal) bool { return a.Seq == o.Seq })
	if i < 0 {
		return false
	}
	if i > 0 || w.kills[k][0].Sig != o.Sig {
		w.fail("%s arrives at run %d of %s, which was sent %v", signalName(int(o.Sig)), r.Run, r.Tag, w.kills[k])
	}
	w.kills[k] = w.kills[k][1:]
	return true
}

// allKilled holds that nothing that was asked for is still to arrive at who lives.
func (w *world) allKilled() {
	for k, left := range w.kills {
		if r := w.runs[k]; r != nil && r.lives() && len(left) > 0 {
			w.fail("run %d of %s was to be sent %v, which did not arrive", r.Run, r.Tag, left)
		}
	}
}

// What was asked for and did not reach the keeper before the server died is sent by
// its successor: each signal once, in order.
func TestEverySignalArrivesAlthoughTheServerDies(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nreload_signal = \"HUP\""})
	defer sm.close()
	sm.run()
	kill := func(sig syscall.Signal) {
		t.Helper()
		if err := sm.s.Kill("a", sig, me); err != nil {
			t.Fatal(err)
		}
	}
	kill(unix.SIGUSR2) // this one arrives
	sm.run()
	sm.unheard = true
	kill(unix.SIGUSR1)
	if err := sm.s.ReloadService("a", me); err != nil {
		t.Fatal(err)
	}
	kill(unix.SIGUSR1)
	kill(unix.SIGUSR2)
	sm.crash()
	sm.crash()
	want := []string{"spawn a", "USR2 a", "USR1 a", "HUP a", "USR1 a", "USR2 a"}
	if !slices.Equal(sm.trace, want) {
		t.Errorf("there came %q, want %q", sm.trace, want)
	}
}

// A stop and the signals before and after it keep their order, too.
func TestASignalAfterAStopDoesNotTakeItsPlace(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	defer sm.close()
	sm.ignoresTerm["a"] = true
	sm.run()
	sm.unheard = true
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(sm.s.Kill("a", unix.SIGUSR1, me))
	_, err := sm.s.Stop([]string{"a"}, me, StopOptions{})
	must(err)
	must(sm.s.Kill("a", unix.SIGUSR2, me))
	must(sm.s.Kill("a", unix.SIGUSR1, me))
	sm.crash()
	want := []string{"spawn a", "USR1 a", "TERM a", "USR2 a", "USR1 a"}
	if !slices.Equal(sm.trace, want) {
		t.Errorf("there came %q, want %q", sm.trace, want)
	}
}

// What could be forgotten is refused, and what a stop needs never is.
func TestMoreSignalsThanAreRememberedAreRefused(t *testing.T) {
	sm := newSim(t, files{"a": ""})
	defer sm.close()
	sm.run()
	sm.unheard = true
	asked := 0
	for ; sm.s.Kill("a", unix.SIGUSR1, me) == nil; asked++ {
	}
	if asked <= state.MaxUnsent {
		t.Errorf("%d were accepted, want more than %d", asked, state.MaxUnsent)
	}
	sm.stop("a")
	sm.crash()
	if n := sm.count("USR1 a"); n != asked || sm.count("TERM a") != 1 {
		t.Errorf("of %d that were accepted %d came, then TERM %d times", asked, n, sm.count("TERM a"))
	}
	sm.start("a")
	sm.run()
	if err := sm.s.Kill("a", unix.SIGUSR1, me); err != nil {
		t.Errorf("after they were sent: %v", err)
	}
}

// A signal for a hook is for that hook, not for the next one.
func TestASignalForAHookDiesWithIt(t *testing.T) {
	s := state.Service{SigSeq: 7}
	s.Signal(int(unix.SIGTERM), state.ToHook)
	s.Signal(64, state.ToMain)
	s.ForgetHook()
	s.Signal(1, state.ToGroup)
	var got [][3]int
	s.Signals(func(seq uint64, sig int, to state.Reach) { got = append(got, [3]int{int(seq), sig, int(to)}) })
	if want := [][3]int{{9, 64, int(state.ToMain)}, {10, 1, int(state.ToGroup)}}; !slices.Equal(got, want) {
		t.Errorf("remembered is %v, want %v", got, want)
	}
}

// Two requests for a reload_exec whose order did not reach the keeper are satisfied
// by one run: it begins after both. One that began before the second request is not
// enough.
func TestAReloadExecBeginsAfterEachRequest(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nreload_exec = \"r\""})
	defer sm.close()
	sm.run()
	reload := func() {
		t.Helper()
		if err := sm.s.ReloadService("a", me); err != nil {
			t.Fatal(err)
		}
	}
	sm.unheard = true
	reload()
	reload()
	sm.crash()
	if n := sm.count("spawn reload/a"); n != 1 {
		t.Fatalf("it ran %d times after two requests, want once", n)
	}
	if !sm.s.services["a"].rt.Reload {
		t.Error("who waits is told that it is done while it runs")
	}
	sm.unheard = true
	reload() // while it runs
	sm.procs["reload/a"].alive = false
	sm.crash()
	if n := sm.count("spawn reload/a"); n != 2 {
		t.Errorf("it ran %d times after a request that came later, want twice", n)
	}
}
