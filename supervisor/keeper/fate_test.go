package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copyOfSelf returns a file that behaves as this binary and is another.
func copyOfSelf(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// runs reports whether the server runs the file that is, or was, at path.
func (s *session) runs(path string) bool {
	s.w.t.Helper()
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.pid))
	if err != nil {
		s.w.t.Fatal(err)
	}
	return strings.TrimSuffix(exe, " (deleted)") == path
}

// upgrade has the server ask for an upgrade and returns the next server.
func (s *session) upgrade(path string) *session { return s.upgradeNumber(0, path) }

func (s *session) upgradeNumber(n int, path string) *session {
	s.w.t.Helper()
	s.do(order{Op: "upgrade", Name: path, N: n})
	return s.w.server()
}

// wentBack checks that s runs what was there before the upgrade, and knows
// why.
func (s *session) wentBack(why string) {
	s.w.t.Helper()
	if !s.runs(self(s.w.t)) || s.welcome.Probation {
		s.w.t.Errorf("the binary before the upgrade does not run: %+v", s.welcome)
	}
	if !strings.Contains(s.welcome.UpgradeFailed, why) {
		s.w.t.Errorf("the upgrade is said to have failed by %q, want %q", s.welcome.UpgradeFailed, why)
	}
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpgradeThatProvesItselfIsWhatComesBack(t *testing.T) {
	w := newWorld(t, "KEEPER_TEST_PROBATION=300")
	path := copyOfSelf(t)
	s := w.server().ready()
	first := s.alive(run(1, "exec sleep 1000"))
	n := s.upgrade(path)
	if !n.welcome.Probation || n.welcome.UpgradeFailed != "" || n.welcome.Failures != 0 || !n.runs(path) {
		t.Errorf("the upgrade is told %+v", n.welcome)
	}
	if c := child(t, n.welcome, "t", 1); c.Pid != first.Pid || c.Phase != Execed {
		t.Errorf("the run is %+v", c)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	n.ready()
	n.next(Proven)
	m := n.kill().ready()
	if m.welcome.Probation || !m.runs(path) {
		t.Errorf("after its probation it is told %+v", m.welcome)
	}
	fds := w.fds()
	m = m.upgrade(copyOfSelf(t)).ready()
	m.next(Proven)
	if got := w.fds(); got > fds {
		t.Errorf("the keeper has %d descriptors after another upgrade, had %d", got, fds)
	}
	m.end(0)
	if w.said("is replaced by an upgrade") != 2 || w.said("failed") != 0 {
		t.Error("the keeper said something else")
	}
}

func TestUpgradeToABadBinaryGoesBack_Scenario154(t *testing.T) {
	elf := smallest(t) // exits with 2
	for name, bad := range map[string]struct {
		text []byte
		mode os.FileMode
		why  string
	}{
		"exits":          {elf, 0o755, "ended before it was ready: exit 2"},
		"not executable": {elf, 0o644, "cannot run: exec: permission denied"},
		"text":           {[]byte("no binary"), 0o755, "cannot run: exec: exec format error"},
		"cut short":      {elf[:len(elf)/3], 0o755, "cannot run: exec: "},
		"architecture":   {slices.Concat(elf[:18], []byte{0xf3, 0x7f}, elf[20:]), 0o755, "cannot run: exec: exec format error"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad")
			if err := os.WriteFile(path, bad.text, bad.mode); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			s := w.server().ready()
			first := s.alive(run(1, "exec sleep 1000"))
			n := s.upgrade(path)
			n.wentBack(bad.why)
			if c := child(t, n.welcome, "t", 1); c.Pid != first.Pid || n.welcome.Generation != 3 {
				t.Errorf("it is told %+v", n.welcome)
			}
			n = n.kill() // before it could tell anybody
			n.wentBack(bad.why)
			n = n.ready().kill()
			if n.welcome.UpgradeFailed != "" {
				t.Errorf("it is told once more: %q", n.welcome.UpgradeFailed)
			}
			n.end(0)
			if w.said("the upgrade failed: server 2") != 1 || w.said("server 2 ") != 1 {
				t.Error("that was not said in one line")
			}
		})
	}
}

func TestUpgradeThatIsNotReadyInTimeGoesBack(t *testing.T) {
	w := newWorld(t, quickTicks)
	n := w.server().ready().upgrade(copyOfSelf(t)) // well, but for that
	n.quiet()
	m := w.server()
	m.wentBack("was not ready within 1s")
	m.end(0)
}

func TestUpgradeThatHangsGoesBack(t *testing.T) {
	w := newWorld(t, quickTicks)
	n := w.server().ready().upgrade(copyOfSelf(t)).ready()
	n.send(unix.SIGSTOP)
	m := w.server()
	m.wentBack("hung: it gave no answer for 1s")
	if m.welcome.Killed {
		t.Error("the keeper's own SIGKILL is told as somebody's")
	}
	m.end(0)
}

// A server asks the kernel whether the one before it was killed for want of
// memory only if it got a SIGKILL that the keeper knows nothing of.
func TestASuccessorIsToldOfASIGKILLThatTheKeeperDidNotSend(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for _, step := range []struct {
		what string
		end  func(*session) *session
		want bool
	}{
		{"SIGKILL", (*session).kill, true},
		{"SIGKILL of one that serves", func(s *session) *session { return s.ready().kill() }, true},
		{"SIGUSR1", func(s *session) *session { s.ready(); w.send(unix.SIGUSR1); return w.server() }, false},
		{"SIGKILL again", (*session).kill, true},
		{"an exit", func(s *session) *session { s.ready().do(order{Op: "exit", N: 2}); return w.server() }, false},
		{"SIGKILL after that", (*session).kill, true},
		{"an upgrade", func(s *session) *session { return s.ready().upgrade(copyOfSelf(t)) }, false},
	} {
		if s.welcome.Generation == 1 && s.welcome.Killed {
			t.Error("the first server is told of one before it")
		}
		if s = step.end(s); s.welcome.Killed != step.want {
			t.Errorf("after %s it is told %v", step.what, s.welcome.Killed)
		}
	}
	s.ready().end(0)
}

func TestUpgradeMayDieOnceWhenItWasReady(t *testing.T) {
	w := newWorld(t)
	path := copyOfSelf(t)
	s := w.server().ready()
	n := s.upgrade(path).ready()
	n.do(order{Op: "exit", N: 2})
	m := w.server()
	if !m.welcome.Probation || !m.runs(path) {
		t.Errorf("after one death it is told %+v", m.welcome)
	}
	w.send(unix.SIGUSR1) // that is no death
	m = w.server().ready()
	if !m.welcome.Probation || !m.runs(path) {
		t.Errorf("after a restart it is told %+v", m.welcome)
	}
	m = m.kill()
	m.wentBack("ended: signal killed")
	m.end(0)
	if w.said("the upgrade failed") != 1 {
		t.Error("that was not said once")
	}
}

func TestUpgradeOfAnUpgradeGoesBackToWhatWasProven(t *testing.T) {
	w := newWorld(t)
	first, second := copyOfSelf(t), copyOfSelf(t)
	n := w.server().ready().upgrade(first).ready().upgrade(second)
	if !n.runs(second) || !n.welcome.Probation {
		t.Errorf("the second upgrade is told %+v", n.welcome)
	}
	n.do(order{Op: "exit", N: 1})
	m := w.server()
	m.wentBack("ended before it was ready: exit 1")
	m.end(0)
}

// A server learns which upgrades have arrived, by their numbers: that it is on
// probation itself says nothing of the last one that was decided.
func TestWelcomeTellsTheLastUpgradeThatArrived(t *testing.T) {
	w := newWorld(t, "KEEPER_TEST_PATH="+copyOfSelf(t))
	s := w.server()
	tells := func(what string, number uint64, probation bool) {
		t.Helper()
		if s.welcome.Upgrade != number || s.welcome.Probation != probation {
			t.Errorf("%s: upgrade %d, want %d; probation %v", what, s.welcome.Upgrade, number, s.welcome.Probation)
		}
	}
	tells("the first server", 1, false)
	s.do(order{Op: "exit", N: 1})
	w.server().do(order{Op: "exit", N: 1})
	s = w.server()
	tells("one from the path", 1, true)
	s = s.ready().upgradeNumber(7000000000, copyOfSelf(t))
	tells("an upgrade", 7000000000, true)
	s = s.ready().kill()
	tells("the same after a death", 7000000000, true)
	s.do(order{Op: "exit", N: 1})
	s = w.server()
	tells("one after it was given up", 7000000000, false)
	s = s.ready().upgrade(copyOfSelf(t))
	tells("an upgrade by a server that gives no numbers", 7000000000, true)
	s.end(0)
}

func TestUpgradeWhoseBinaryDidNotArriveIsRefused(t *testing.T) {
	s := newWorld(t).server().ready()
	var e encoder
	e.request(&request{kind: recUpgrade})
	s.do(order{Op: "raw", Text: e.b})
	if ev := s.next(Refused); ev.Errno != unix.EMFILE {
		t.Errorf("refused with %v", ev.Errno)
	}
	s.quiet()
	s.end(0)
}

func TestRestartBySignal(t *testing.T) {
	w := newWorld(t)
	s := w.server().ready()
	first := s.alive(run(1, "exec sleep 1000"))
	w.send(unix.SIGUSR1)
	n := w.server()
	if c := child(t, n.welcome, "t", 1); c.Pid != first.Pid || n.welcome.Generation != 2 || n.welcome.Failures != 0 || len(n.welcome.Asked) != 0 {
		t.Errorf("the successor is told %+v", n.welcome)
	}
	n.end(0)
	if w.said("is replaced, as a signal asked") != 1 {
		t.Error("the keeper did not say so")
	}
}

// A server that served ends the row of failures before it, also one that is
// replaced: its successor was told of them, and after six ignored the journal.
func TestAReadyServerThatIsReplacedEndsTheRowOfFailures(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for range 3 {
		s.do(order{Op: "exit", N: 1})
		s = w.server()
	}
	s.ready()
	w.send(unix.SIGUSR1)
	if s = w.server(); s.welcome.Failures != 0 {
		t.Errorf("after a server that was ready the next is told %+v", s.welcome)
	}
	s.end(0)
}

func TestRestartBySignalEndsAPause(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	fail := w.file("fail")
	s.do(order{Op: "exit", N: 1})
	lets(t, "the pauses to grow", 3500*time.Millisecond) // the one after 3.1 s takes 3.2 s
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	w.send(unix.SIGUSR1)
	asked := time.Now()
	n := w.server()
	if d := time.Since(asked); d > time.Second {
		t.Errorf("the next server came %v after the signal", d)
	}
	n.end(0)
}

func TestFailuresCountServersThatEndedByThemselvesBeforeTheyWereReady(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for i, step := range []struct {
		ready, kill bool
		want        int
	}{
		{false, true, 0},  // SIGKILL from outside
		{false, false, 1}, // an exit
		{false, true, 1},
		{false, false, 2},
		{true, true, 0}, // one that was ready ends the row
		{false, false, 1},
		{true, false, 0},
		{false, true, 0},
	} {
		if step.ready {
			s.ready()
		}
		if step.kill {
			s.send(unix.SIGKILL)
		} else {
			s.do(order{Op: "exit", N: 1})
		}
		if s = w.server(); s.welcome.Failures != step.want {
			t.Errorf("after death %d the next server is told of %d failures, want %d", i+1, s.welcome.Failures, step.want)
		}
	}
	s.end(0)
}

func TestPathAndProvenBinaryTakeTurns(t *testing.T) {
	path := copyOfSelf(t)
	w := newWorld(t, "KEEPER_TEST_PATH="+path, "KEEPER_TEST_PROBATION=300")
	s := w.server()
	for n, fromPath := range []bool{false, false, true, false, true} {
		if s.runs(path) != fromPath || s.welcome.Probation != fromPath {
			t.Errorf("start %d: from the path is %v, want %v; %+v", n+1, s.runs(path), fromPath, s.welcome)
		}
		if n < 4 {
			s.do(order{Op: "exit", N: 1})
			s = w.server()
		}
	}
	// The file at the path is the one that works.
	s.ready()
	s.next(Proven)
	if s = s.kill(); !s.runs(path) || s.welcome.Probation {
		t.Errorf("what proved itself does not come back: %+v", s.welcome)
	}
	s.end(0)
}

func TestServersThatCrashOnceReadyAreNotStartedInAStorm(t *testing.T) {
	w := newWorld(t)
	start := time.Now()
	for range 5 {
		w.server().ready().do(order{Op: "exit", N: 2})
	}
	s := w.server()
	if d := time.Since(start); d < 1500*time.Millisecond { // 0.1 + 0.2 + 0.4 + 0.8 s
		t.Errorf("five crashes took %v", d)
	}
	s.end(0)
}

// Nobody but the keeper can say why no server gets ready: what they wrote to
// their standard error is for a successor, and there is none.
func TestLastWordsOfServersThatNeverGetReadyAreShownOnce(t *testing.T) {
	w := newWorld(t)
	for _, words := range []string{"no memory\n", "no memory\n", "no memory\n", "no time\nat all\n"} {
		w.server().do(order{Op: "exit", N: 2, Text: []byte(words)})
	}
	w.server().ready().end(0)
	if w.said(": no memory\n") != 1 || w.said(": no time\nat all\n") != 1 {
		t.Error("that was not said once")
	}
}
