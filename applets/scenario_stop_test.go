package applets_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stopped asks for a stop, and returns how long the answer took.
func (b *bed) stopped(name string) time.Duration {
	begin := time.Now()
	b.mustCall("service.stop", named{"name": name, "wait": true}, nil)
	return time.Since(begin)
}

// Scenario 86: TERM is obeyed, nothing else is sent, and the state follows
// the exit at once.
func TestScenario086AnObeyedTermIsTheWholeStop(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 100ms\"\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	b.stopped("a")
	answered := time.Now()
	b.ended(p)
	if len(b.matching("EXIT a 0")) != 1 || len(b.matching("TERM a")) != 1 {
		t.Errorf("the witness saw %q", b.records())
	}
	if late := time.Since(answered); late > time.Second {
		t.Errorf("the answer came %v before the end", late)
	}
	f := b.full("a")
	if f.State.State != "exited" || f.LastExit == nil || f.LastExit.Killed || f.LastExit.Signal != 0 {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}

// Scenario 87: TERM is ignored; SIGKILL comes at the stop timeout, to the
// whole group, and the record says so.
func TestScenario087AnIgnoredTermEndsInAKillAtTheTimeout(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -ignore-term -fork 2 -fork-ignore-term\"\n[lifecycle]\nstop_timeout_ms = 1000\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	b.witnessed(2, "START a.child")
	took := b.stopped("a")
	if took < timeout-100*time.Millisecond || took > patience*(timeout+500*time.Millisecond) {
		t.Errorf("the stop took %v, want about %v", took, timeout)
	}
	b.ended(p)
	for _, child := range b.matching("START a.child") {
		b.ended(child.proc)
	}
	if len(b.matching("TERM a")) != 1 || len(b.matching("EXIT a.*")) != 0 {
		t.Errorf("the witness saw %q", b.records())
	}
	f := b.full("a")
	if f.State.State != "exited" || f.LastExit == nil || !f.LastExit.Killed || f.LastExit.Signal != 9 {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}

// Scenario 88: a service that needs most of its stop timeout gets it.
func TestScenario088TheTimeoutIsHonouredBothWays(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 1600ms\"\n[lifecycle]\nstop_timeout_ms = 2000\n")
	b.serve()
	b.witnessed(1, "START a")
	b.stopped("a")
	if len(b.matching("EXIT a 0")) != 1 {
		t.Errorf("it was killed early; the witness saw %q", b.records())
	}
	if f := b.full("a"); f.LastExit == nil || f.LastExit.Killed || f.State.State != "exited" {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}

// Scenario 96: ten clients stop one service. All are told the same, and it is told
// once.
func TestScenario096ConcurrentStopsAreOneStop(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 500ms\"\n")
	b.serve()
	b.witnessed(1, "START a")
	type answer struct {
		Outcomes []struct {
			Name, State, Reason string
			OK                  bool
		}
	}
	var clients sync.WaitGroup
	answers := make([]answer, 10)
	errs := make([]error, len(answers))
	for i := range answers {
		clients.Go(func() {
			errs[i] = b.call("service.stop", named{"name": "a", "wait": true}, &answers[i])
		})
	}
	clients.Wait()
	for i, a := range answers {
		if errs[i] != nil || fmt.Sprint(a) != fmt.Sprint(answers[0]) || len(a.Outcomes) != 1 || !a.Outcomes[0].OK || a.Outcomes[0].State != "exited" {
			t.Errorf("client %d is told %+v, %v", i, a, errs[i])
		}
	}
	if len(b.matching("TERM a")) != 1 || len(b.matching("EXIT a 0")) != 1 {
		t.Errorf("the witness saw %q", b.records())
	}
}

// Ten clients start, stop and restart one service as they like. None is refused, none
// meets a process that is not there yet (F54 of zinit 0.3), and the last word holds.
func TestManyClientsOrderOneService(t *testing.T) {
	t.Parallel()
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	b := newBed(t)
	b.service("a", "[service]\nexec = \"sleep 1000\"\n")
	b.serve()
	var clients sync.WaitGroup
	for i := range 10 {
		clients.Go(func() {
			for n := range rounds {
				verb := []string{"start", "stop", "restart", "stop", "start"}[(i+n)%5]
				if err := b.call("service."+verb, named{"name": "a"}, nil); err != nil {
					t.Errorf("%s: %v", verb, err)
				}
			}
		})
	}
	clients.Wait()
	b.mustCall("service.start", named{"name": "a", "wait": true}, nil)
	if f := b.full("a"); f.State.State != "running" || !processOf(f.State.PID).alive() {
		t.Errorf("after a start it is %s, pid %d: %s", f.State.State, f.State.PID, f.Reason)
	}
	b.mustCall("service.stop", named{"name": "a", "wait": true}, nil)
	if f := b.full("a"); f.State.State != "exited" || f.State.PID != 0 {
		t.Errorf("after a stop it is %s, pid %d: %s", f.State.State, f.State.PID, f.Reason)
	}
}

// Scenario 98: what fifty services of all kinds need to stop is known beforehand,
// said, and kept.
func TestScenario098AShutdownKeepsItsBound(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for i := range 50 {
		how := []string{"wit", "wit -ignore-term", "wit -term-delay 200ms", "wit -fork 2 -fork-ignore-term", "wit -fork 1 -fork-mode session -fork-ignore-term"}[i%5]
		text := fmt.Sprintf("[service]\nexec = %q\n[lifecycle]\nstop_timeout_ms = %d\n", how, 300+100*(i%4))
		if i%10 > 5 { // chains of four
			text += fmt.Sprintf("[dependencies]\nrequires = [\"s%02d\"]\n", i-1)
		}
		b.service(fmt.Sprintf("s%02d", i), text)
	}
	b.serve("--shutdown-timeout", "30s")
	b.witnessed(50, "START s..")
	const path = 5 * 600 * time.Millisecond // of the longest chain
	begin := time.Now()
	if status, err := b.stop(60 * time.Second); err != nil || status != 0 {
		t.Errorf("status %d, %v", status, err)
	}
	if took := time.Since(begin); took > patience*(path+3*time.Second)+5*time.Second { // a busy machine
		t.Errorf("it took %v; the longest chain of timeouts is %v", took, path)
	}
	bound := strings.Index(b.said.String(), "stopping everything, at most 30s")
	if first := strings.Index(b.said.String(), "running -> stopping"); bound < 0 || first < bound {
		t.Errorf("the bound was not said before the first stop")
	}
}

// freezes has the kernel hold a process so that nothing ends it, until thaw.
func (b *bed) freezes(t *testing.T, p proc) (thaw func()) {
	t.Helper()
	dir := filepath.Join("/sys/fs/cgroup/freezer", filepath.Base(b.dir))
	if os.Mkdir(dir, 0o755) != nil { // where there is only version 2
		tree := filepath.Join(b.dir, "freezer")
		dir = filepath.Join(tree, filepath.Base(b.dir))
		t.Cleanup(func() { _ = unix.Unmount(tree, unix.MNT_DETACH) })
		err := errors.Join(os.Mkdir(tree, 0o755), unix.Mount("none", tree, "cgroup", 0, "freezer"), os.Mkdir(dir, 0o755))
		if err != nil {
			skipRing(t, "real", "no process can be kept from dying: "+err.Error(), "run make test as root; the freezer of cgroups v1 is needed")
		}
	}
	put := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	thaw = func() { put("freezer.state", "THAWED") }
	t.Cleanup(func() { // before the bed is cleared
		thaw()
		_ = until(10*time.Second, "an empty freezer", func() error { return os.Remove(dir) })
	})
	put("cgroup.procs", fmt.Sprint(p.pid))
	put("freezer.state", "FROZEN")
	b.await("it to be frozen", func() error {
		if text := readText(dir + "/freezer.state"); text != "FROZEN\n" {
			return fmt.Errorf("%q", text)
		}
		return nil
	})
	return thaw
}

// Scenario 91, of a shutdown: it goes on without what cannot be ended, says so by its
// status, and nothing waits beyond its bound.
func TestScenario091AShutdownGoesOnWithoutTheUnkillable(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nstop_timeout_ms = 200\n")
	b.service("b", "[service]\nexec = \"wit\"\n")
	b.serve("--shutdown-timeout", "2s")
	b.witnessed(1, "START b")
	p := b.running("a")
	thaw := b.freezes(t, p)
	status, err := b.stop(60 * time.Second)
	if err != nil || status != 3 {
		t.Errorf("zinit ended with %d, %v; want 3", status, err)
	}
	b.witnessed(1, "EXIT b 0")
	if !p.alive() {
		t.Error("it was no process that cannot be ended")
	}
	thaw()
	b.ended(p)
}

// Scenario 91: nothing can end a process that the kernel holds. The stop says so
// when its bound is reached, no other run begins, and when the process is let go
// everything is as was asked.
func TestScenario091AnUnkillableProcessIsSaidAndNothingElseStarts(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nstop_timeout_ms = 200\n")
	b.service("b", "[service]\nexec = \"wit\"\n[dependencies]\nrequires = [\"a\"]\n")
	b.serve()
	b.witnessed(1, "START b")
	p := b.running("a")
	thaw := b.freezes(t, p)
	out, errs, code := b.zinit("stop", "a")
	want := fmt.Sprintf("still present after SIGKILL: pid %d", p.pid)
	if code != 1 || !strings.Contains(out+errs, want) {
		t.Errorf("stop ends with %d: %s%s", code, out, errs)
	}
	b.mustCall("service.start", named{"name": "a"}, nil)
	b.never(500*time.Millisecond, 1, "START a")
	if f := b.full("a"); f.State.State != "stopping" || !strings.Contains(f.Reason, want) {
		t.Errorf("it is %s: %s", f.State.State, f.Reason)
	}
	thaw()
	b.witnessed(2, "START a")
	b.ended(p)
}
