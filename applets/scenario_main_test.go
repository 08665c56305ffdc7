package applets_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wantStatus waits for the end of PID 1, by itself, with a status.
func (x *box) wantStatus(status int) {
	st := x.ends(patience * 20 * time.Second)
	if !st.Exited() || st.ExitCode() != status {
		x.t.Fatalf("PID 1 ended with %v, want exit status %d", st, status)
	}
}

// Scenario 19: the status of a container is that of its main service; every
// other service has its orderly stop first.
func TestScenario019TheMainServiceGivesTheStatus(t *testing.T) {
	t.Parallel()
	for how, status := range map[string]int{
		"-exit 0": 0, "-exit 1": 1, "-exit 42": 42, "-exit 255": 255, "-die SEGV": 139, "-die ABRT": 134, "-die KILL": 137,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			x := newBox(t)
			x.service("db", "[service]\nexec = \"wit -term-delay 50ms\"\n")
			x.service("web", "[service]\nexec = \"wit -last-words 3\"\n[dependencies]\nrequires = [\"db\"]\n")
			x.service("job", "[service]\nexec = \"wit -after 300ms "+how+"\"\nmain = true\n[dependencies]\nrequires = [\"web\"]\n[lifecycle]\nrestart = \"never\"\n")
			x.runs()
			x.wantStatus(status)
			if len(x.matching("EXIT web 0")) != 1 || len(x.matching("EXIT db 0")) != 1 {
				t.Errorf("no orderly stop of the others: %q", x.records())
			}
			x.ordered("EXIT web 0", "TERM db")
			if !strings.Contains(x.said.String(), "web | line 00000003\n") {
				t.Error("the last words of web are missing")
			}
		})
	}
}

// What cannot be run has the status that a shell would give.
func TestAMainServiceThatCannotRunGivesTheStatusOfAShell(t *testing.T) {
	t.Parallel()
	for exec, status := range map[string]int{"nosuchprogram": 127, "/etc/zinit/services/m.toml": 126} {
		x := newBox(t)
		x.service("m", fmt.Sprintf("[service]\nexec = %q\nmain = true\n[lifecycle]\nrestart = \"never\"\n", exec))
		x.service("a", "[service]\nexec = \"wit\"\n")
		x.runs()
		x.wantStatus(status)
	}
}

// zinit init -- CMD is a tini with a supervisor inside: the status is that of
// the command.
func TestACommandGivesTheStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		argv   string
		status int
	}{
		{"wit -exit 0 -after 300ms", 0}, {"wit -exit 42 -after 300ms", 42}, {"wit -exit 255", 255}, {"wit -die SEGV", 139},
		{"wit -die KILL", 137}, {"nosuchprogram", 127}, {"/etc/zinit/services", 126},
	} {
		t.Run(c.argv, func(t *testing.T) {
			t.Parallel()
			x := newBox(t)
			x.service("a", "[service]\nexec = \"wit\"\n")
			x.Args = append(x.Args, append([]string{"--"}, strings.Fields(c.argv)...)...)
			x.runs()
			x.wantStatus(c.status)
			if n := len(x.matching("START a")); n != len(x.matching("EXIT a 0")) {
				t.Errorf("no orderly stop of the service: %q", x.records())
			}
		})
	}
}

// The output of a command is copied as it is, and nothing is added to it.
func TestACommandSpeaksForItself(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.Args = append(x.Args, "--", "wit", "-lines", "3", "-exit", "5", "-after", "300ms")
	x.runs()
	x.wantStatus(5)
	if got, want := x.said.String(), "line 00000001\nline 00000002\nline 00000003\n"; got != want {
		t.Errorf("stdout is %q, want %q", got, want)
	}
}

// Signals that do not stop zinit are the command's; so are those that would
// mean something else without a command.
func TestSignalsGoToTheCommand(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.service("a", "[service]\nexec = \"wit\"\n")
	x.Args = append(x.Args, "--", "wit")
	x.runs()
	x.witnessed(1, "START main")
	x.witnessed(1, "START a")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	var v version
	x.mustCall("system.version", nil, &v)
	for _, sig := range []string{"HUP", "USR1", "USR2", "WINCH", "QUIT"} {
		if err := x.init.Signal(unix.SignalNum("SIG" + sig)); err != nil {
			t.Fatal(err)
		}
		x.witnessed(1, "SIGNAL main SIG"+sig)
	}
	if n := len(x.matching("SIGNAL a.*")); n != 0 {
		t.Errorf("another service was signalled: %q", x.records())
	}
	was := v.PID
	if x.mustCall("system.version", nil, &v); v.PID != was {
		t.Error("USR1 replaced the server")
	}
	x.terminates(0)
	if len(x.matching("TERM main")) != 1 || len(x.matching("EXIT a 0")) != 1 {
		t.Errorf("no orderly stop: %q", x.records())
	}
}

// A server that is replaced changes nothing for the command.
func TestACommandOutlivesTheServer(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.Args = append(x.Args, "--", "wit", "-gate", "/w/gate", "-exit", "7")
	if err := syscall.Mkfifo(x.Root+".w/gate", 0o666); err != nil {
		t.Fatal(err)
	}
	x.runs()
	x.witnessed(1, "START main")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	var v version
	x.mustCall("system.version", nil, &v)
	if err := x.kill(x.here(proc{pid: v.PID}).pid); err != nil {
		t.Fatal(err)
	}
	x.await("the next server", func() error {
		was := v.PID
		if err := x.call("system.version", nil, &v); err != nil || v.PID == was {
			return fmt.Errorf("pid %d, %v", v.PID, err)
		}
		return nil
	})
	gate, err := os.OpenFile(x.Root+".w/gate", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	gate.Close()
	x.wantStatus(7)
	if n := len(x.matching("START main")); n != 1 {
		t.Errorf("the command was started %d times", n)
	}
}

// A container without a main service stays up until somebody stops it, or
// ends when it is idle, if it was told to.
func TestAContainerEndsWhenIdleIfToldTo(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		x := newBox(t)
		x.service("one", "[service]\nexec = \"wit\"\noneshot = true\n")
		x.service("two", "[service]\nexec = \"wit -exit 0 -after 100ms\"\noneshot = true\n[dependencies]\nrequires = [\"one\"]\n")
		x.service("one", "[service]\nexec = \"wit -exit 0 -after 100ms\"\noneshot = true\n")
		if told {
			x.Args = append(x.Args, "--exit-when-idle")
		}
		x.runs()
		if told {
			x.wantStatus(0)
			x.ordered("EXIT one 0", "START two")
			continue
		}
		x.witnessed(1, "EXIT two 0")
		x.await("an idle container", func() error { return x.call("system.ping", nil, nil) })
		x.terminates(0)
	}
}

// Scenario 21: more requests to stop are no more stops; the second shortens
// what remains to two seconds.
func TestScenario021StopSignalsDoNotAddUp(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.service("polite", "[service]\nexec = \"wit\"\n")
	x.service("stubborn", "[service]\nexec = \"wit -ignore-term\"\n[lifecycle]\nstop_timeout_ms = 60000\n")
	x.Args = append(x.Args, "--shutdown-timeout", "60s")
	x.runs()
	x.witnessed(1, "START stubborn")
	x.witnessed(1, "START polite")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	begin := time.Now()
	if err := x.init.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.witnessed(1, "TERM stubborn")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := x.init.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	x.wantStatus(0)
	if took := time.Since(begin); took < time.Second || took > patience*8*time.Second {
		t.Errorf("the stop took %v, want the two seconds of a second request", took)
	}
	for _, name := range []string{"polite", "stubborn"} {
		if n := len(x.matching("TERM " + name)); n != 1 {
			t.Errorf("%s got TERM %d times", name, n)
		}
	}
}

// Scenario 22: what would take 150 s fits into the time that a container
// engine gives, the order is kept, and whoever asks meanwhile is told that the
// stop is forced.
func TestScenario022TheShutdownFitsTheGrace(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	for i := range 5 {
		text := "[service]\nexec = \"wit -ignore-term\"\n[lifecycle]\nstop_timeout_ms = 30000\n"
		if i > 0 {
			text += fmt.Sprintf("[dependencies]\nrequires = [\"s%d\"]\n", i-1)
		}
		x.service(fmt.Sprintf("s%d", i), text)
	}
	x.Args = append(x.Args, "--shutdown-timeout", "5s")
	x.runs()
	x.witnessed(1, "START s4")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	begin := time.Now()
	if err := x.init.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.await("the reason to say it", func() error {
		for _, name := range []string{"s4", "s3", "s2"} { // stopping, and killed
			if f := x.full(name); strings.Contains(f.Reason, "; forced: the shutdown has 2 %") {
				return nil
			}
		}
		return fmt.Errorf("s4: %s", x.full("s4").Reason)
	})
	x.wantStatus(0)
	if took := time.Since(begin); took > patience*5*time.Second {
		t.Errorf("the stop took %v of 5 s", took)
	}
	for i := 4; i > 0; i-- {
		x.ordered(fmt.Sprintf("TERM s%d", i), fmt.Sprintf("TERM s%d", i-1))
	}
}

// Scenario 30: a terminal on descriptor 0 is the command's: its output is not
// logged, and Ctrl-C is for the command alone.
func TestScenario030ACommandOwnsTheTerminal(t *testing.T) {
	t.Parallel()
	for name, controlling := range map[string]bool{"a plain descriptor": false, "its controlling terminal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ownsTheTerminal(t, controlling)
		})
	}
}

func ownsTheTerminal(t *testing.T, controlling bool) {
	x := newBox(t)
	x.tty = controlling
	x.service("a", "[service]\nexec = \"wit\"\n")
	x.Args = append(x.Args, "--", "wit", "-lines", "2")
	master, slave := terminal(t)
	x.files = []*os.File{slave, slave, slave}
	go func() { _, _ = x.said.readFrom(master) }()
	x.runs()
	p := x.running("main")
	x.await("its words on the terminal", func() error {
		if !strings.Contains(x.said.String(), "line 00000002\r\n") {
			return fmt.Errorf("it shows %q", x.said.String())
		}
		return nil
	})
	if fields := statFields(p.pid); len(fields) < 5 || fields[4] == "0" {
		t.Errorf("it has no controlling terminal: stat %q", fields)
	}
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	x.witnessed(1, "SIGNAL main SIGINT")
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	var lines []any
	x.mustCall("logs.get", map[string]any{"name": "main"}, &lines)
	if len(lines) != 0 {
		t.Errorf("its output is logged too: %v", lines)
	}
	x.terminates(0)
	if n := len(x.matching("SIGNAL a.*")); n != 0 {
		t.Errorf("another service was signalled: %q", x.records())
	}
}

// terminal makes a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		skipRing(t, "terminals", err.Error(), "mount devpts on /dev/pts")
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
