package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"zinit/testdata/frozen"
	"zinit/testdata/ring"
)

// drill has the server make n runs, some at a time, and returns how long that
// took. Each must be spawned, execed, exited and gone exactly once.
func (s *session) drill(n, atOnce int, sp Spawn) time.Duration {
	s.w.t.Helper()
	said := s.ask(order{Op: "drill", N: n, Run: uint64(atOnce), Spawn: sp})
	var spawned, execed, exited, gone, wrong, micros int
	if _, err := fmt.Sscan(said, &spawned, &execed, &exited, &gone, &wrong, &micros); err != nil {
		s.w.t.Fatal(err)
	}
	if spawned != n || execed != n || exited != n || gone != n || wrong != 0 {
		s.w.t.Errorf("of %d runs %d were spawned, %d execed, %d exited, %d gone, %d wrong", n, spawned, execed, exited, gone, wrong)
	}
	return time.Duration(micros) * time.Microsecond
}

func truth() Spawn {
	return Spawn{Tag: "t", Paths: []string{"/bin/true", "/usr/bin/true"}, Argv: []string{"true"}, Umask: -1}
}

func TestTenThousandSpawnsUnderLoad(t *testing.T) {
	n := 10000
	if testing.Short() {
		n = 1000
	}
	w := newWorld(t)
	s := w.server()
	s.drill(200, 50, truth())
	fds, threads := w.fds(), w.threads()
	stop := make(chan struct{})
	defer close(stop)
	for range runtime.NumCPU() { // load
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	took := s.drill(n, 100, truth())
	t.Logf("%d spawns took %v under load", n, took)
	waitUntil(t, "the keeper's descriptors to be as before", func() bool { return w.fds() <= fds })
	if got := w.threads(); got != threads {
		t.Errorf("the keeper has %d threads, had %d", got, threads)
	}
	s.end(0)
}

func TestSignalsInTheWindowBetweenCloneAndExec(t *testing.T) {
	// A signal that comes before the exec must end the child or reach its
	// program, and never run a handler of ours in it.
	w := newWorld(t)
	s := w.server()
	for i := range uint64(300) {
		sp := truth()
		sp.Run = i + 1
		s.spawn(sp)
		s.signal(Signal{Tag: "t", Run: sp.Run, Seq: 1, Sig: []syscall.Signal{unix.SIGTERM, unix.SIGURG, unix.SIGSEGV, unix.SIGUSR1, unix.SIGINT}[i%5], ToGroup: i%2 == 0})
	}
	ended := map[uint64]Event{}
	for gone := 0; gone < 300; {
		switch ev := s.next2(); ev.Kind {
		case Gone:
			gone++
		case Exited:
			ended[ev.Run] = ev
		case Failed, Busy:
			t.Fatalf("run %d: %+v", ev.Run, ev)
		}
	}
	for n, ev := range ended {
		sig := []syscall.Signal{unix.SIGTERM, unix.SIGURG, unix.SIGSEGV, unix.SIGUSR1, unix.SIGINT}[(n-1)%5]
		if ev.Status != 0 && ev.Status.Signal() != sig {
			t.Errorf("run %d got %v and ended with %x", n, sig, ev.Status)
		}
		if ev.NoExec && !ev.Status.Signaled() {
			t.Errorf("run %d: %+v", n, ev)
		}
	}
	s.quiet()
	s.end(0)
}

func TestTwoHundredKillsOfTheServerLoseNothing(t *testing.T) {
	kills := 200
	if testing.Short() {
		kills = 60
	}
	if n, err := strconv.Atoi(os.Getenv("KEEPER_TEST_KILLS")); err == nil {
		kills = n
	}
	w := newWorld(t)
	s := w.server()
	s.do(order{Op: "ready"})
	first := s.alive(run(1, "exec sleep 1000"))
	for i := range 5 {
		s.do(order{Op: "hold", Name: fmt.Sprint("held", i), Text: []byte{byte(i)}})
		s.next(Held)
	}
	var fds, threads, memory int
	for i := range kills {
		s.do(order{Op: "ready"})
		s.sync()
		sp := truth()
		sp.Run = uint64(i + 2)
		s.spawn(sp) // may or may not come to the keeper before the kill
		s.do(order{Op: "drop", Name: pipeName(runKey{"t", sp.Run}, 0)})
		s.do(order{Op: "drop", Name: pipeName(runKey{"t", sp.Run}, 1)})
		s = s.kill()
		if c := child(t, s.welcome, "t", 1); c.Pid != first.Pid || c.Phase != Execed {
			t.Fatalf("kill %d: the run is %+v", i, c)
		}
		for _, c := range s.welcome.Children[1:] { // what became of the others
			waitUntil(t, "the other run to be gone", func() bool { return unix.Kill(c.Pid, 0) == unix.ESRCH })
			for end := range 2 {
				s.do(order{Op: "drop", Name: pipeName(runKey{"t", c.Run}, end)})
			}
			s.ack(Exited, "t", c.Run)
			s.ack(Gone, "t", c.Run)
		}
		if i == kills/2 {
			fds, threads, memory = w.fds(), w.threads(), w.rssAnon()
		}
	}
	s.do(order{Op: "ready"})
	s.sync()
	n := s.kill()
	if len(n.welcome.Held) != 5+1+2 {
		t.Errorf("held are %v", n.welcome.Held)
	}
	waitUntil(t, "the keeper's descriptors to be as before", func() bool { return w.fds() <= fds })
	if got := w.threads(); got > threads {
		t.Errorf("the keeper has %d threads, had %d", got, threads)
	}
	var got int
	waitUntil(t, "the keeper to give memory back", func() bool { got = w.rssAnon(); return got < memory+memoryVaries })
	t.Logf("after %d kills the keeper has %d KiB of its own, after %d %d KiB", kills/2, memory, kills, got)
	if n.welcome.Generation != uint64(kills)+2 {
		t.Errorf("generation %d after %d kills", n.welcome.Generation, kills)
	}
	n.end(0)
}

func TestFullSlotsAreBusyAndCostNothing(t *testing.T) {
	if os.Getuid() != 0 {
		ring.Skip(t, "root", "freezes execs with fanotify", "run the tests as root")
	}
	path, thaw := freeze(t)
	w := newWorld(t)
	s := w.server()
	sp := Spawn{Tag: "t", Paths: []string{path}, Argv: []string{"x"}, Umask: -1}
	for i := range uint64(slotCount) {
		sp.Run, sp.OOMScoreAdj = i+1, nil
		if i%2 == 0 { // forked, with memory of its own
			sp.OOMScoreAdj = pointer(ownOOMScore() + 1)
		}
		s.spawn(sp)
		s.next(Spawned)
	}
	sp.Run = slotCount + 1
	s.spawn(sp)
	if ev := s.next(Busy); ev.Run != sp.Run || ev.Errno != syscall.EAGAIN {
		t.Errorf("with all slots in use: %+v", ev)
	}
	// Another's exec is held, the keeper's answers are not.
	s.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGKILL})
	if ev := s.next(Signaled); ev.Outcome != Pending {
		t.Errorf("a signal to a run before its exec: %+v", ev)
	}
	if ev := s.next(Exited); !ev.NoExec || ev.Status.Signal() != unix.SIGKILL {
		t.Errorf("killed in its exec: %+v", ev)
	}
	s.next(Gone)
	s.alive(run(1000, "exec sleep 1000"))
	n := s.kill()
	if c := child(t, n.welcome, "t", 2); c.Phase != Spawned {
		t.Errorf("a frozen run is told as %v", c.Phase)
	}
	thaw()
	for range slotCount - 1 {
		for n.next2().Kind != Gone {
		}
	}
	n.end(0)
}

// freeze returns a program whose exec is held until thaw is called.
func freeze(t *testing.T) (path string, thaw func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "frozen")
	return path, frozen.Program(t, path, smallest(t))
}

func TestFrozenExecDoesNotHoldCollections(t *testing.T) {
	needRoot(t)
	path, thaw := freeze(t)
	s := testArena(t).take()
	sp := Spawn{Tag: "t", Paths: []string{path}, Argv: []string{"x"}, Umask: -1}
	j := &job{spawn: &sp, stdio: [3]int{0, 1, 2}, extra: -1, exe: -1, keep: -1, nofileHard: 1024}
	if errno := j.prepare(s); errno != 0 {
		t.Fatal(errno)
	}
	pid, errno := clone(s)
	if errno != 0 {
		ring.Skip(t, "kernel", "it refuses clone: "+errno.Error(), "run the tests on Linux itself")
	}
	for range 20 {
		runtime.GC()
	}
	if s.left() {
		t.Error("the exec was not held")
	}
	thaw()
	var status unix.WaitStatus
	if _, err := wait4(pid, &status); err != nil || status.ExitStatus() != 2 {
		t.Errorf("thawed it ended with %x, %v", status, err)
	}
}

func TestFloodOfUnreadAnswersBlocksNobody(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ev := s.alive(run(1, "exec sleep 1000"))
	// A server that only talks: its requests pile up in its own queue once the
	// keeper owes it answers.
	s.do(order{Op: "flood", N: 20000})
	waitUntil(t, "the flood to stand still", func() bool { return s.ask(order{Op: "flooded"}) == "stuck" })
	// The keeper still hears signals, reaps, and starts a successor.
	if err := unix.Kill(ev.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the run to be reaped", func() bool { return unix.Kill(ev.Pid, 0) == unix.ESRCH })
	n := s.kill()
	if c := child(t, n.welcome, "t", 1); c.Phase != Gone {
		t.Errorf("the run is told as %v", c.Phase)
	}
	n.end(0)
}

func TestInheritedStateIsClean_Scenario050(t *testing.T) {
	// The keeper is started with what a careless parent leaves behind.
	w := newWorld(t, "KEEPER_TEST_MESS=1")
	s := w.server()
	sp := run(1, `umask; ulimit -n; pwd; ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; read -r x </proc/$$/stat; set -- ${x##*) }; echo $5 ${17}; env`)
	sp.Env = []string{"PATH=/usr/bin:/bin"}
	s.spawn(sp)
	s.next(Spawned)
	s.next(Execed)
	s.next(Exited)
	s.next(Gone)
	want := "0022\n1024\n/\n0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0 0\n"
	got := s.ask(order{Op: "read", Name: "pipe/t/1/out"})
	if !strings.HasPrefix(got, want) || strings.Contains(got, "KEEPER_TEST") {
		t.Errorf("the service finds\n%s\nwant\n%s", got, want)
	}
	s.end(0)
}

// makeAMess puts this process into the state of scenario 50.
func makeAMess() {
	for range 50 {
		fd, _ := unix.Dup(2)
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	ignore := [4]uintptr{1}
	for _, sig := range []unix.Signal{unix.SIGPWR, unix.SIGUSR2} {
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 5)
	unix.Umask(0o077)
	_ = unix.Chdir("/tmp")
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 4096})
}

var flooding atomic.Int64 // requests a flooding server has sent

// flood makes the server's reader deaf and talks until nothing more goes out.
func (p *puppet) flood(n int) {
	var e encoder
	e.request(&request{kind: recSignal, signal: Signal{Tag: "nobody", Run: 1, Seq: 1}})
	w := wire{fd: p.c.out.fd}
	for range n {
		if w.send(e.b, nil, 0) != 0 {
			return
		}
		flooding.Add(1)
	}
}

// flooded says whether the flood stands still.
func (p *puppet) flooded(order) string {
	before := flooding.Load()
	<-time.After(200 * time.Millisecond)
	if after := flooding.Load(); after == before && after > 0 && after < 20000 {
		return "stuck"
	}
	return "flowing"
}
