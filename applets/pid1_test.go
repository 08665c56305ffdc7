package applets_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Scenario 18: TERM to a container with ten services is an orderly stop, and
// the status is 0.
func TestScenario018AnOrderlyStopEndsWithZero(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	for i := range 10 {
		name := fmt.Sprintf("s%d", i)
		x.service(name, "[service]\nexec = \"wit -last-words 20 -term-delay 100ms\"\n")
	}
	x.runs()
	x.witnessed(10, "START s.")
	begin := time.Now()
	x.terminates(0)
	if took := time.Since(begin); took > patience*1100*time.Millisecond {
		t.Errorf("the stop took %v; each service needs 100 ms", took)
	}
	if n := len(x.matching("EXIT s. 0")); n != 10 {
		t.Errorf("%d of 10 services ended by themselves", n)
	}
	for i := range 10 {
		if want := fmt.Sprintf("s%d | line 00000020\n", i); !strings.Contains(x.said.String(), want) {
			t.Errorf("stdout lacks the last words of s%d", i)
		}
	}
}

// Scenario 23: shutdown, poweroff and reboot in a container end it; reboot(2)
// would kill PID 1 by a signal.
func TestScenario023AContainerEndsWithoutRebooting(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"system.shutdown", "system.reboot", "system.poweroff"} {
		x := newBox(t)
		x.service("a", "[service]\nexec = \"wit\"\n")
		x.runs()
		x.witnessed(1, "START a")
		x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
		x.mustCall(method, nil, nil)
		st := x.ends(patience * 15 * time.Second)
		if !st.Exited() || st.ExitCode() != 0 {
			t.Errorf("after %s PID 1 ended with %v", method, st)
		}
		if len(x.matching("EXIT a 0")) != 1 {
			t.Errorf("%s: the witness saw %q", method, x.records())
		}
	}
}

// Scenario 25: the reader of stdout goes away while services talk. EPIPE on
// descriptors 1 and 2 would end a Go program that did not ask for SIGPIPE.
func TestScenario025AReaderThatGoesAwayIsNotMissed(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.service("talks", "[service]\nexec = \"wit -lines -1 -rate 200\"\n")
	x.service("comes-back", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart_delay_ms = 1\n")
	x.Env = append(x.Env, "ZINIT_LOG_LEVEL=debug")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	x.files = []*os.File{null, w, w}
	x.runs()
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatalf("nothing came out: %v", err)
	}
	r.Close()
	x.witnessed(1, "START comes-back")
	talker := x.running("talks")
	for i := range 3 {
		x.crash("comes-back")
		x.witnessed(i+2, "START comes-back")
	}
	if !talker.alive() {
		t.Errorf("the talking service felt it: %q", x.matching("(EXIT|START|SIGNAL) talks.*"))
	}
	x.terminates(0)
	if len(x.matching("EXIT talks 0")) != 1 {
		t.Errorf("the witness saw %q", x.matching(". talks.*"))
	}
}

// Scenario 26: closed, full and odd standard streams.
func TestScenario026OddStandardStreamsAreSurvived(t *testing.T) {
	t.Parallel()
	streams := map[string]func(t *testing.T) *os.File{
		"closed":      func(*testing.T) *os.File { return nil },
		"a full pipe": fullPipe,
		"/dev/full": func(t *testing.T) *os.File {
			f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		},
	}
	for name, open := range streams {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newBox(t)
			x.service("talks", "[service]\nexec = \"wit -lines -1 -rate 500\"\n")
			x.service("crashes", "[service]\nexec = \"wit -exit 1 -after 10ms\"\n[lifecycle]\nrestart_delay_ms = 1\nmax_restarts = 5\n")
			x.Env = append(x.Env, "ZINIT_LOG_LEVEL=debug")
			f := open(t)
			x.files = []*os.File{f, f, f}
			x.runs()
			x.witnessed(1, "START talks")
			x.witnessed(6, "EXIT crashes 1")
			x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
			x.running("talks")
			x.terminates(0)
			if len(x.matching("EXIT talks 0")) != 1 {
				t.Errorf("no orderly end of the service: %q", x.matching(". talks.*"))
			}
		})
	}
}

// fullPipe is the write end of a pipe that nobody reads and nothing fits in.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(p[1], true); err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := syscall.Write(p[1], block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if err := syscall.SetNonblock(p[1], false); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(p[1]), "full")
	t.Cleanup(func() { w.Close(); syscall.Close(p[0]) })
	return w
}

// Any other signal to PID 1 does nothing, and none is passed on.
func TestOtherSignalsToPID1DoNothing(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.service("a", "[service]\nexec = \"wit\"\n")
	x.runs()
	x.witnessed(1, "START a")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	for _, sig := range []syscall.Signal{
		syscall.SIGWINCH, syscall.SIGALRM, syscall.SIGCONT, syscall.SIGURG, syscall.SIGCHLD, syscall.SIGPIPE,
		syscall.SIGUSR2, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGTSTP, syscall.SIGABRT, 40, 64,
	} {
		if err := x.init.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	x.throughout(300*time.Millisecond, "after a volley of signals", func() error {
		if n := len(x.records()); n != 1 {
			return fmt.Errorf("the witness saw %q", x.records())
		}
		return x.call("system.ping", nil, nil)
	})
	x.terminates(0)
}

// An orphan of a service is adopted and reaped by PID 1.
func TestOrphansAreReapedInAContainer(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.service("a", "[service]\nexec = \"wit -fork 3 -fork-mode double\"\n")
	x.runs()
	x.witnessed(3, "START a.child")
	x.await("no zombie below PID 1", func() error {
		for _, pid := range allPids() {
			if parentOf(pid) == x.init.Pid && strings.HasPrefix(statusField(pid, "State"), "Z") {
				return fmt.Errorf("pid %d is one", pid)
			}
		}
		return nil
	})
	x.await("three orphans", func() error { // a child may print before the one between has ended
		adopted := 0
		for _, pid := range allPids() {
			if parentOf(pid) == x.init.Pid && strings.Contains(processOf(pid).cmdline(), "a.child") {
				adopted++
			}
		}
		if adopted != 3 {
			return fmt.Errorf("PID 1 is the parent of %d", adopted)
		}
		return nil
	})
	x.terminates(0)
}
