package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// Ten ticks are a second in these tests.
const quickTicks = "KEEPER_TEST_TICK=100"

// lets waits until some time has passed in which nothing must happen.
func lets(t *testing.T, what string, d time.Duration) {
	t.Helper()
	start := time.Now()
	waitUntil(t, what, func() bool { return time.Since(start) > d })
}

func TestStoppedServerIsReplacedThoughNothingWasTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quickTicks)
	s := w.server().ready()
	first := s.alive(run(1, "exec sleep 1000"))
	lets(t, "the keeper to be owed nothing", 100*time.Millisecond)
	stopped := time.Now()
	s.send(unix.SIGSTOP)
	n := w.server()
	if d := time.Since(stopped); d < 900*time.Millisecond {
		t.Errorf("replaced after %v, before the ten ticks were over", d)
	}
	if c := child(t, n.welcome, "t", 1); c.Pid != first.Pid || n.welcome.Generation != 2 {
		t.Errorf("the successor is told %+v", n.welcome)
	}
	if err := unix.Kill(s.pid, 0); err != unix.ESRCH {
		t.Errorf("the stopped server still exists: %v", err)
	}
	n.end(0)
	if w.said("hung: it gave no answer for 1s; another starts") != 1 {
		t.Error("the keeper did not say that it hung")
	}
}

func TestServerThatIsContinuedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quickTicks)
	s := w.server().ready()
	for range 3 {
		s.send(unix.SIGSTOP)
		lets(t, "some ticks", 500*time.Millisecond)
		s.send(unix.SIGCONT)
		s.quiet()
	}
	lets(t, "more than ten ticks", 1500*time.Millisecond)
	s.quiet()
	s.end(0)
}

func TestServerThatTakesNoNewsIsReplaced(t *testing.T) {
	t.Parallel()
	// It reads the one message there is, so that its socket is empty, and
	// stands still with it: a deadlock.
	w := newWorld(t, quickTicks)
	s := w.server()
	ev := s.alive(run(1, "exec sleep 1000"))
	s.ask(order{Op: "deaf"})
	if err := unix.Kill(ev.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n := w.server()
	if c := child(t, n.welcome, "t", 1); c.Phase != Gone || n.welcome.Failures != 1 {
		t.Errorf("the successor is told %+v", n.welcome)
	}
	n.end(0)
}

func TestServerThatAcknowledgesNothingButTakesTheNewsStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quickTicks)
	s := w.server()
	s.spawn(run(1, "exit 0"))
	for _, kind := range []EventKind{Spawned, Execed, Exited, Gone} {
		s.next(kind)
	}
	lets(t, "more than ten ticks", 1500*time.Millisecond)
	s.quiet()
	s.end(0)
}

func TestServerThatNeverGreetsIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quickTicks)
	first := w.server()
	w.file("mute")
	s := first.kill()
	if s.welcome.Generation != 3 || s.welcome.Failures != 1 {
		t.Errorf("it is told %+v", s.welcome)
	}
	s.end(0)
}

func TestPauseOfEverythingIsNoHang_Scenario033(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quickTicks)
	s := w.server().ready()
	ev := s.alive(run(1, "exec sleep 1000"))
	s.send(unix.SIGSTOP)
	if err := unix.Kill(ev.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the run to be reaped", func() bool { return unix.Kill(ev.Pid, 0) == unix.ESRCH })
	// The server owes an answer, and the clock runs.
	w.send(unix.SIGSTOP)
	lets(t, "thirty ticks", 3*time.Second)
	w.send(unix.SIGCONT)
	s.send(unix.SIGCONT)
	s.next(Exited)
	s.next(Gone)
	lets(t, "ten ticks more", 1200*time.Millisecond)
	s.quiet()
	s.end(0)
	if w.said("hung") != 0 {
		t.Error("the pause was taken for a hang")
	}
}

func TestServerThatIsNotReapedIsLeftBehind(t *testing.T) {
	t.Parallel()
	// A tracer that does not wait keeps the zombie from its parent.
	w := newWorld(t, quickTicks)
	s := w.server().ready()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const seize = 0x4206 // PTRACE_SEIZE
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, seize, uintptr(s.pid), 0, 0, 0, 0); errno != 0 {
		ring.Skip(t, "root", "cannot trace the server: "+errno.Error(), "run the tests as root")
	}
	n := s.kill()
	if n.welcome.Generation != 2 {
		t.Errorf("the successor is told %+v", n.welcome)
	}
	// The tracer gives it back: an orphan like others.
	_, _ = unix.Wait4(s.pid, nil, unix.WALL, nil)
	waitUntil(t, "the dead server to be reaped", func() bool { return unix.Kill(s.pid, 0) == unix.ESRCH })
	n.quiet()
	n.end(0)
	if w.said("outlived SIGKILL; another starts") != 1 {
		t.Error("the keeper did not say that it left a server behind")
	}
}

func TestServerStuckInTheKernelIsLeftBehind(t *testing.T) {
	t.Parallel()
	// A frozen process neither runs nor dies, and its socket stays open.
	w := newWorld(t, quickTicks)
	s := w.server().ready()
	ev := s.alive(run(1, "exec sleep 1000"))
	dir := fmt.Sprintf("/sys/fs/cgroup/freezer/keeper-test-%d", s.pid)
	if err := os.Mkdir(dir, 0o755); err != nil {
		ring.Skip(t, "kernel", "no process can be kept from dying: "+err.Error(), "run the tests as root; the freezer of cgroups v1 is needed")
	}
	put := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
	put("cgroup.procs", fmt.Sprint(s.pid))
	put("freezer.state", "FROZEN")
	t.Cleanup(func() {
		put("freezer.state", "THAWED")
		waitUntil(t, "the group to be empty", func() bool { return os.Remove(dir) == nil })
	})
	if err := unix.Kill(ev.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n := w.server()
	if c := child(t, n.welcome, "t", 1); c.Phase != Gone {
		t.Errorf("the successor is told %+v", n.welcome)
	}
	if err := unix.Kill(s.pid, 0); err != nil {
		t.Errorf("the stuck server is gone: %v", err)
	}
	put("freezer.state", "THAWED")
	waitUntil(t, "the stuck server to be reaped", func() bool { return unix.Kill(s.pid, 0) == unix.ESRCH })
	n.quiet()
	n.end(0)
	if w.said("hung: it gave no answer for 1s and outlived SIGKILL; another starts") != 1 {
		t.Error("the keeper did not say what happened")
	}
}
