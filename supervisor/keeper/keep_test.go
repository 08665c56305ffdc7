package keeper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLifeOfARun(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	if s.welcome.Generation != 1 || s.welcome.KeeperPID != w.cmd.Process.Pid || len(s.welcome.Children) != 0 {
		t.Errorf("the first welcome is %+v", s.welcome)
	}
	s.spawn(run(1, "echo hello; echo oh >&2; exit 3"))
	ev := s.next(Spawned)
	st, ok := readStat(ev.Pid)
	if ok && st.start != ev.StartTime {
		t.Errorf("start time is %d, /proc says %d", ev.StartTime, st.start)
	}
	s.next(Execed)
	x := s.next(Exited)
	if x.Status.ExitStatus() != 3 || x.NoExec || x.AtNS == 0 || x.MaxRSSKB == 0 || x.Pid != ev.Pid {
		t.Errorf("the exit is %+v", x)
	}
	s.next(Gone)
	if out := s.ask(order{Op: "read", Name: "pipe/t/1/out"}); out != "hello\n" {
		t.Errorf("its output is %q", out)
	}
	if out := s.ask(order{Op: "read", Name: "pipe/t/1/err"}); out != "oh\n" {
		t.Errorf("its errors are %q", out)
	}
	s.end(0)
}

func TestFailureIsToldWithItsStep(t *testing.T) {
	s := newWorld(t).server()
	sp := run(1, "")
	sp.Dir = "/no/such/directory"
	s.spawn(sp)
	s.next(Spawned)
	if ev := s.next(Failed); ev.Step != stepDir || ev.Errno != syscall.ENOENT {
		t.Errorf("failed with %s %v", ev.Step, ev.Errno)
	}
	sp.Run, sp.Paths = 2, nil
	s.spawn(sp)
	if ev := s.next(Failed); ev.Step != stepMessage || ev.Errno != syscall.EINVAL || ev.Pid != 0 {
		t.Errorf("failed with %+v", ev)
	}
	big := run(3, "true")
	big.Env = []string{strings.Repeat("x", maxSpawn)}
	s.spawn(big)
	if ev := s.next(Failed); ev.Errno != syscall.E2BIG || ev.Run != 3 {
		t.Errorf("failed with %+v", ev)
	}
	s.ack(Failed, "t", 1)
	s.quiet()
	n := s.kill()
	if len(n.welcome.Children) != 1 || child(t, n.welcome, "t", 2).Phase != Failed {
		t.Errorf("the successor is told of %+v", n.welcome.Children)
	}
	n.end(0)
}

func TestSpawnAskedAgainStartsNothing(t *testing.T) {
	s := newWorld(t).server()
	first := s.alive(run(1, "exec sleep 1000"))
	s.spawn(run(1, "exec sleep 1000"))
	again := s.next(Spawned)
	s.next(Execed)
	if again.Pid != first.Pid || again.StartTime != first.StartTime || len(again.FDs) != 2 {
		t.Errorf("the second answer is %+v, the first was %+v", again, first)
	}
	s.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGKILL})
	s.next(Signaled)
	s.next(Exited)
	s.next(Gone)
	s.spawn(run(1, "exec sleep 1000"))
	for _, kind := range []EventKind{Spawned, Execed, Exited, Gone} {
		if ev := s.next(kind); ev.Pid != first.Pid {
			t.Errorf("%v tells of pid %d, want %d", kind, ev.Pid, first.Pid)
		}
	}
	s.end(0)
}

func TestSignalIsSentOnceForEachSeq(t *testing.T) {
	s := newWorld(t).server()
	s.alive(run(1, `trap 'echo usr1' USR1; trap 'echo usr2; exit 0' USR2; while :; do sleep 1000 & wait; done`))
	send := func(seq uint64, sig unix.Signal) Event {
		s.signal(Signal{Tag: "t", Run: 1, Seq: seq, Sig: sig})
		return s.next(Signaled)
	}
	// The trap is set once one USR2 finds it: until then the shell would die,
	// so wait for what the shell prints instead.
	waitUntil(t, "the shell's trap", func() bool { return caught(s, unix.SIGUSR2) })
	for _, seq := range []uint64{5, 5, 4, 1} {
		if ev := send(seq, unix.SIGUSR1); ev.Outcome != Sent || ev.Seq != seq {
			t.Errorf("seq %d: %+v", seq, ev)
		}
	}
	waitUntil(t, "USR1 to be handled", func() bool { return !pendingSignal(s, unix.SIGUSR1) })
	n := s.kill()
	if c := child(t, n.welcome, "t", 1); c.Seq != 5 || c.Phase != Execed {
		t.Errorf("the successor is told %+v", c)
	}
	n.signal(Signal{Tag: "t", Run: 1, Seq: 5, Sig: unix.SIGKILL})
	if ev := n.next(Signaled); ev.Outcome != Sent {
		t.Errorf("an old seq: %+v", ev)
	}
	n.signal(Signal{Tag: "t", Run: 1, Seq: 6, Sig: unix.SIGUSR2})
	n.next(Signaled)
	if ev := n.next(Exited); ev.Status != 0 {
		t.Errorf("exited with %x: the old seq was acted on", ev.Status)
	}
	n.signal(Signal{Tag: "t", Run: 1, Seq: 7, Sig: unix.SIGKILL, ToGroup: true})
	for n.next2().Kind != Gone {
	}
	if out := n.ask(order{Op: "read", Name: "pipe/t/1/out"}); out != "usr1\nusr2\n" {
		t.Errorf("the traps printed %q", out)
	}
	n.end(0)
}

// next2 waits for any event.
func (s *session) next2() Event {
	s.w.t.Helper()
	select {
	case ev := <-s.events:
		return ev
	case <-time.After(time.Minute):
		s.w.t.Fatal("nothing came")
	}
	return Event{}
}

// statusBit reads a signal set of run t 1 in /proc.
func statusBit(s *session, field string, sig unix.Signal) bool {
	for pid := range descendants(s.w.cmd.Process.Pid) {
		if st, ok := readStat(pid); !ok || st.sess != pid || pid == s.pid {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, _ := strings.Cut(string(text), field+":\t")
		var set uint64
		_, _ = fmt.Sscanf(rest, "%x", &set)
		if set&(1<<(sig-1)) != 0 {
			return true
		}
	}
	return false
}

func caught(s *session, sig unix.Signal) bool        { return statusBit(s, "SigCgt", sig) }
func pendingSignal(s *session, sig unix.Signal) bool { return statusBit(s, "ShdPnd", sig) }

func TestGroupLeftBehindIsSignalledAndThenGone(t *testing.T) {
	s := newWorld(t).server()
	s.spawn(run(1, "sleep 1000 & exit 0"))
	s.next(Spawned)
	s.next(Execed)
	s.next(Exited)
	s.quiet() // not gone
	s.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGTERM})
	if ev := s.next(Signaled); ev.Outcome != Absent {
		t.Errorf("a signal to the main process that has ended: %+v", ev)
	}
	s.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGTERM, ToGroup: true})
	if ev := s.next(Signaled); ev.Outcome != Sent || ev.Errno != 0 {
		t.Errorf("a signal to the group: %+v", ev)
	}
	s.next(Gone)
	s.ack(Exited, "t", 1)
	s.ack(Gone, "t", 1)
	s.quiet()
	if n := s.kill(); len(n.welcome.Children) != 0 {
		t.Errorf("acknowledged and not forgotten: %+v", n.welcome.Children)
	} else {
		n.end(0)
	}
}

func TestZombieOfAStrangerDoesNotKeepAGroup(t *testing.T) {
	s := newWorld(t).server()
	// The child leaves the session but keeps a zombie in the group: it was
	// forked before, ends after the exec, and its parent never waits.
	s.spawn(run(1, "( sleep 0.1 & exec setsid sleep 1000 ) & exit 0"))
	s.next(Spawned)
	s.next(Execed)
	s.next(Exited)
	s.next(Gone)
	s.end(0)
}

func TestAtExitReachesTheGroup(t *testing.T) {
	s := newWorld(t).server()
	sp := run(1, "sleep 1000 & sleep 1000 & exit 0")
	sp.AtExit = unix.SIGKILL
	s.spawn(sp)
	for _, kind := range []EventKind{Spawned, Execed, Exited, Gone} {
		s.next(kind)
	}
	s.end(0)
}

func TestReadinessPipeReachesTheServer(t *testing.T) {
	s := newWorld(t).server()
	sp := run(1, "echo up >&7; exec 7>&-; exec sleep 1000")
	sp.ReadyFD = 7
	s.spawn(sp)
	if ev := s.next(Spawned); len(ev.FDs) != 3 || ev.FDs[2].Name != "pipe/t/1/ready" {
		t.Errorf("passed are %+v", ev.FDs)
	}
	s.next(Execed)
	if out := s.ask(order{Op: "read", Name: "pipe/t/1/ready"}); out != "up\n" {
		t.Errorf("on the ready pipe came %q", out)
	}
	s.end(0)
}

func TestSuccessorFindsEverything(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.do(order{Op: "ready"})
	first := s.alive(run(1, "echo before; exec sleep 1000"))
	s.do(order{Op: "hold", Name: "journal", Text: []byte("what was")})
	if ev := s.next(Held); ev.Name != "journal" || ev.Errno != 0 {
		t.Errorf("hold was answered %+v", ev)
	}
	s.do(order{Op: "hold", Name: "dropped", Text: []byte("x")})
	s.next(Held)
	s.do(order{Op: "drop", Name: "dropped"})
	s.spawn(run(2, "exit 5"))
	for _, kind := range []EventKind{Spawned, Execed, Exited, Gone} {
		s.next(kind)
	}
	s.ack(Gone, "t", 2)
	s.quiet()
	n := s.kill()
	n.spawn(run(1, "exec sleep 1000"))
	if ev := n.next(Spawned); ev.Pid != first.Pid {
		t.Errorf("the run was started twice: %+v", ev)
	}
	n.next(Execed)
	if n.welcome.Generation != 2 || n.welcome.Failures != 0 {
		t.Errorf("the second welcome is %+v", n.welcome)
	}
	if c := child(t, n.welcome, "t", 1); c.Phase != Execed || c.Pid != first.Pid || c.StartTime != first.StartTime {
		t.Errorf("the living run is %+v", c)
	}
	if c := child(t, n.welcome, "t", 2); c.Phase != Gone || c.Status.ExitStatus() != 5 {
		t.Errorf("the ended run is %+v", c)
	}
	if got := n.ask(order{Op: "read", Name: "journal"}); got != "what was" {
		t.Errorf("the journal holds %q", got)
	}
	if _, ok := n.welcome.Held["dropped"]; ok {
		t.Error("what was dropped is still held")
	}
	if _, ok := n.welcome.Held["stderr"]; !ok {
		t.Error("the servers' stderr is not held")
	}
	n.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGTERM, ToGroup: true})
	n.next(Signaled)
	n.next(Exited)
	n.next(Gone)
	if out := n.ask(order{Op: "read", Name: "pipe/t/1/out"}); out != "before\n" {
		t.Errorf("its output is %q", out)
	}
	n.end(0)
}

func TestExitDuringTheGapIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ev := s.alive(run(1, "exec sleep 1000"))
	if err := unix.Kill(s.pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(ev.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the run to be reaped", func() bool { return unix.Kill(ev.Pid, 0) == unix.ESRCH })
	n := s.kill()
	c := child(t, n.welcome, "t", 1)
	if c.Phase != Gone || c.Status.Signal() != unix.SIGKILL {
		t.Errorf("the successor is told %+v", c)
	}
	n.end(0)
}

func TestRequestsLeftInTheQueueOfADeadServerAreDone(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for i := range uint64(50) {
		s.spawn(run(i+1, "exec sleep 1000"))
	}
	s.do(order{Op: "exit"}) // some are still in its own queue: those never happened
	n := w.server()
	for _, c := range n.welcome.Children {
		if c.Phase == Spawned || c.Phase == Execed {
			n.signal(Signal{Tag: c.Tag, Run: c.Run, Seq: 1, Sig: unix.SIGKILL})
		}
	}
	gone := 0
	for gone < len(n.welcome.Children) {
		if n.next2().Kind == Gone {
			gone++
		}
	}
	n.end(0)
}

func TestTermIsAskedEachTime(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.do(order{Op: "ready"})
	s.quiet()
	signal := func(sig syscall.Signal) {
		if err := w.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGHUP)
	if ev := s.next(Asked); ev.Ask != (Ask{Reload, 1, unix.SIGHUP}) {
		t.Errorf("HUP asks %+v", ev.Ask)
	}
	s.do(order{Op: "ackask", Ask: Ask{What: Reload, Times: 1}})
	signal(syscall.SIGTERM)
	if ev := s.next(Asked); ev.Ask != (Ask{Stop, 1, unix.SIGTERM}) {
		t.Errorf("TERM asks %+v", ev.Ask)
	}
	signal(syscall.SIGTERM)
	if ev := s.next(Asked); ev.Ask != (Ask{Stop, 2, unix.SIGTERM}) {
		t.Errorf("a second TERM asks %+v", ev.Ask)
	}
	s.do(order{Op: "ackask", Ask: Ask{What: Stop, Times: 1}})
	s.quiet()
	n := s.kill()
	if len(n.welcome.Asked) != 1 || n.welcome.Asked[0] != (Ask{Stop, 2, unix.SIGTERM}) {
		t.Errorf("the successor is told %+v", n.welcome.Asked)
	}
	n.end(0)
}

func TestSignalsWithoutMeaningDoNothing(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.do(order{Op: "ready"})
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1:
			continue
		}
		if err := unix.Kill(w.cmd.Process.Pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	s.alive(run(1, "exec sleep 1000"))
	s.quiet()
	s.end(0)
}

func TestEndSweepsEverythingThatIsLeft(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.alive(run(1, `trap "" TERM; setsid sleep 1000 & while :; do sleep 1000; done`))
	s.end(7)
}

func TestNobodyHomeEndsAlone(t *testing.T) {
	w := newWorld(t, "KEEPER_TEST_PATIENCE=300")
	s := w.server()
	s.alive(run(1, "exec sleep 1000"))
	if err := os.WriteFile(w.socket+".fail", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.closed
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.ended(StatusAlone)
}

func TestPauseEndsWithARequestToStop(t *testing.T) {
	w := newWorld(t, "KEEPER_TEST_PATIENCE=20000")
	s := w.server()
	fail := w.socket + ".fail"
	if err := os.WriteFile(fail, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.do(order{Op: "exit", N: 1})
	// After the failures of some servers the pause is longer than a second.
	started := time.Now()
	waitUntil(t, "the pauses to grow", func() bool { return time.Since(started) > 2*time.Second })
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	n := w.server()
	if d := time.Since(asked); d > 500*time.Millisecond {
		t.Errorf("the next server came %v after the request", d)
	}
	if n.welcome.Failures < 4 || len(n.welcome.Asked) != 1 {
		t.Errorf("it is told %+v", n.welcome)
	}
	n.end(0)
}

func TestMalformedMessagesAreIgnored(t *testing.T) {
	s := newWorld(t).server()
	var half encoder
	half.request(&request{kind: recSpawn, spawn: run(1, "exit 0")})
	for _, text := range [][]byte{{0}, {1, 2, 3}, {255, 255, 255, 255, 1}, {1, 0, 0, 0, 99}, {1, 0, 0, 0, recSpawn}, half.b[:len(half.b)-9], {1, 0, 0, 0, recNext}} {
		s.do(order{Op: "raw", Text: text})
	}
	s.quiet()
	s.end(0)
}

func TestTooManyHeldUnderOneNameIsAnAnswer(t *testing.T) {
	s := newWorld(t).server()
	s.do(order{Op: "hold", Name: "many", N: MaxFDs + 1})
	if ev := s.next(Held); ev.Errno != syscall.E2BIG {
		t.Errorf("answered %v", ev.Errno)
	}
	s.do(order{Op: "hold", Name: "many", N: MaxFDs})
	if ev := s.next(Held); ev.Errno != 0 {
		t.Errorf("answered %v", ev.Errno)
	}
	s.do(order{Op: "hold", Name: ""})
	if ev := s.next(Held); ev.Errno != syscall.EINVAL {
		t.Errorf("answered %v", ev.Errno)
	}
	s.end(0)
}
