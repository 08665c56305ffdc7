package applets_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopServer stops the server where it is: there is none until it is
// continued or killed, which the test must do within the keeper's patience of
// ten seconds.
func (b *bed) stopServer() (p proc, goOn func()) {
	var v version
	b.mustCall("system.version", nil, &v)
	p = processOf(v.PID)
	if err := freeze(v.PID); err != nil {
		b.t.Fatalf("%v", err)
	}
	return p, func() { _ = syscall.Kill(v.PID, syscall.SIGCONT) }
}

// finishOff kills a stopped server, if the keeper has not done so already.
func (b *bed) finishOff(p proc) {
	if p.alive() {
		_ = b.kill(p.pid)
	}
}

// Scenario 16: SIGQUIT to the server has Go print its stacks; they are found in
// the log of its successor.
func TestScenario016TheServersDumpIsNotLost(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "")
	b.serve()
	p := b.witnessed(1, "START a").proc
	var v version
	b.mustCall("system.version", nil, &v)
	if err := syscall.Kill(v.PID, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	b.await("the dump in zinit's own log", func() error {
		text := b.must("logs", "zinit", "-n", "100000")
		for _, part := range []string{"SIGQUIT: quit", "goroutine 1 "} {
			if !strings.Contains(text, part) {
				return fmt.Errorf("%q is not there", part)
			}
		}
		return nil
	})
	b.killServer()
	if n := strings.Count(b.must("logs", "zinit", "-n", "100000"), "SIGQUIT: quit"); n != 1 {
		t.Errorf("the dump is shown %d times", n)
	}
	if !p.alive() {
		t.Error("the service felt it")
	}
}

// Scenario 146: services end while there is no server. Afterwards every
// status is right, and its policy was applied once.
func TestScenario146ExitsInTheAbsenceAreAllKnown(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.exitsInTheAbsence(t, func() (back func()) {
		old, _ := b.stopServer()
		return func() { b.finishOff(old) }
	})
}

// The same, when the server has been killed and zinit's file cannot be executed.
func TestScenario146ExitsWithoutABinaryAreAllKnown(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.ownBinary()
	b.exitsInTheAbsence(t, func() (back func()) {
		said := b.said.String()
		giveBack := b.serverless()
		b.misses(4, said)
		return giveBack
	})
}

func (b *bed) exitsInTheAbsence(t *testing.T, away func() (back func())) {
	t.Helper()
	gate := b.dir + "/gate"
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 20; i++ {
		b.service(fmt.Sprintf("code%d", i), fmt.Sprintf("[service]\nexec = \"wit -gate %s -exit %d\"\n[lifecycle]\nrestart = \"never\"\n", gate, i))
	}
	for _, sig := range []string{"KILL", "HUP", "USR1"} {
		b.service("die"+sig, fmt.Sprintf("[service]\nexec = \"wit -gate %s -die %s\"\n[lifecycle]\nrestart = \"never\"\n", gate, sig))
	}
	// Each of these comes back once, and then stays.
	b.service("back", fmt.Sprintf("[service]\nexec = \"sh -c 'test -e %s/ran || { touch %s/ran; exec wit -gate %s -exit 30; }; exec wit'\"\n[lifecycle]\nrestart_delay_ms = 1\n", b.dir, b.dir, gate))
	b.serve()
	b.witnessed(24, "START .*")
	back := away()
	begun := time.Now()
	w, err := syscall.Open(gate, syscall.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.witnessed(24, "EXIT .*")
	ended := time.Now()
	syscall.Close(w)
	<-time.After(2500 * time.Millisecond) // what is known later must not look later
	back()
	b.await("a server", func() error { return b.call("system.ping", nil, nil) })
	for i := 1; i <= 20; i++ {
		f := b.full(fmt.Sprintf("code%d", i))
		if e := f.LastExit; e != nil && (e.AtMS < begun.Add(-time.Second).UnixMilli() || e.AtMS > ended.Add(time.Second).UnixMilli()) {
			t.Errorf("code%d ended at %v by its status, between %v and %v in truth", i, time.UnixMilli(e.AtMS), begun, ended)
		}
		if f.State.State != "failed" || f.LastExit == nil || f.LastExit.Code == nil || *f.LastExit.Code != i || f.Run != 1 {
			t.Errorf("code%d: %s, last exit %+v", i, f.State.State, f.LastExit)
		}
	}
	for sig, n := range map[string]int{"KILL": 9, "HUP": 1, "USR1": 10} {
		if f := b.full("die" + sig); f.State.State != "failed" || f.LastExit == nil || f.LastExit.Signal != n || f.LastExit.Killed {
			t.Errorf("die%s: %s, last exit %+v", sig, f.State.State, f.LastExit)
		}
	}
	b.witnessed(2, "START back")
	b.awaitState("back", "running")
	if f := b.full("back"); f.Run != 2 || f.Attempts != 1 || f.LastExit == nil || f.LastExit.Code == nil || *f.LastExit.Code != 30 {
		t.Errorf("back: run %d, %d attempts, last exit %+v", f.Run, f.Attempts, f.LastExit)
	}
	b.never(200*time.Millisecond, 25, "START .*")
}

// Scenario 149, and F76: the server is killed between SIGTERM and SIGKILL. The SIGKILL
// comes when it would have, and the caller's wish stands.
func TestScenario149AStopGoesOnInTheNextServer(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -ignore-term\"\n[lifecycle]\nstop_timeout_ms = 2000\nrestart = \"always\"\nrestart_delay_ms = 1\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	begin := time.Now()
	b.mustCall("service.stop", named{"name": "a"}, nil)
	b.witnessed(1, "TERM a")
	for range 3 {
		b.killServer()
	}
	b.ended(p)
	if took := time.Since(begin); took < timeout-100*time.Millisecond || took > patience*(timeout+2*time.Second) {
		t.Errorf("SIGKILL came after %v, want %v", took, timeout)
	}
	b.awaitState("a", "exited")
	if f := b.full("a"); f.LastExit == nil || !f.LastExit.Killed || f.Wanted {
		t.Errorf("last exit %+v, wanted %v", f.LastExit, f.Wanted)
	}
	b.never(200*time.Millisecond, 2, "(START|TERM) a")
}

// Scenario 160: there is no server for as long as a service needs to fill its
// pipe. Then it waits, and every byte is there afterwards.
func TestScenario160AFullPipeWaitsForTheNextServer(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	b := newBed(t)
	gate := b.dir + "/gate"
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	b.service("a", fmt.Sprintf("[service]\nexec = \"sh -c 'read x <%s; exec wit -raw huge:%d -exit 0'\"\noneshot = true\n[logging]\nbuffer_bytes = \"64MiB\"\n", gate, size))
	b.serve()
	old, _ := b.stopServer()
	w, err := syscall.Open(gate, syscall.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = syscall.Write(w, []byte("go\n"))
	syscall.Close(w)
	p := b.witnessed(1, "START a").proc
	b.await("the writer to sleep in its write", func() error {
		if f := statFields(p.pid); len(f) == 0 || !sleepsInPipe(p.pid) {
			return fmt.Errorf("it is in state %v", f)
		}
		return nil
	})
	b.finishOff(old)
	b.awaitState("a", "exited")
	if n := len(b.must("logs", "a", "--raw", "-n", "100000")); n != size+1 {
		t.Errorf("the log has %d bytes, want %d", n, size+1)
	}
	if len(b.matching("EXIT a 0")) != 1 {
		t.Errorf("the witness saw %q", b.records())
	}
}

// sleepsInPipe reports whether a thread of a process waits for room in a pipe.
func sleepsInPipe(pid int) bool {
	write := fmt.Sprintf("%d 0x1 ", syscall.SYS_WRITE)
	tasks := glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, name := range tasks {
		if strings.HasPrefix(readText(name), write) {
			return true
		}
	}
	return false
}

// Scenario 163: a waiting caller whose server dies asks again, with the same
// token, and is told the truth; what it asked for is done once.
func TestScenario163AWaitingCallerIsToldTheTruth(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 500ms -ready-fd 3 -ready-after 500ms\"\nready = \"fd:3\"\n")
	b.serve()
	b.awaitState("a", "running")
	done := make(chan error, 1)
	go func() {
		cmd := b.command("restart", "a")
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		done <- err
	}()
	b.witnessed(1, "TERM a")
	b.killServer()
	b.witnessed(2, "START a")
	b.killServer()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
		if len(b.matching("READY a")) != 2 {
			t.Error("the answer came before the service was ready")
		}
	case <-time.After(time.Minute):
		t.Fatal("no answer")
	}
	if n := len(b.matching("START a")); n != 2 {
		t.Errorf("%d starts for one restart", n)
	}
	// The same token, asked twice outright, across a kill.
	for range 3 {
		b.mustCall("service.restart", named{"name": "a", "wait": true, "token": "once"}, nil)
		b.killServer()
	}
	if n := len(b.matching("START a")); n != 3 {
		t.Errorf("%d starts, want 3: a token acted twice", n)
	}
}

// Scenario 165: a server that was stopped in the middle of its work is dead
// before its successor begins, and does nothing when it is continued.
func TestScenario165AStoppedServerIsDeadBeforeTheNext(t *testing.T) {
	t.Parallel()
	notShort(t)
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -lines -1 -rate 500\"\n")
	b.serve()
	b.witnessed(1, "START a")
	old, goOn := b.stopServer()
	var v version
	if err := until(60*time.Second, "the successor", func() error {
		if err := b.call("system.version", nil, &v); err != nil {
			return err
		}
		if v.PID == old.pid {
			return errors.New("the stopped one answers") // as it may, for the moment between the SIGABRT and its end
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if old.alive() {
		t.Error("the old one lives")
	}
	goOn()
	b.await("where it stood to be told", func() error {
		if out := b.must("logs", "-n", "10000", "zinit"); !strings.Contains(out, "SIGABRT: abort") {
			return fmt.Errorf("zinit's log: %s", out)
		}
		return nil
	})
	b.mustCall("service.stop", named{"name": "a", "wait": true}, nil)
	var lines []logLine
	b.mustCall("logs.filter", named{"name": "a", "stream": "stdout"}, &lines)
	for i, l := range lines {
		if want := fmt.Sprintf("line %08d", i+1); l.Content != want || l.Dropped != 0 {
			t.Fatalf("line %d is %+v, want %q", i+1, l, want)
		}
	}
	if len(lines) == 0 {
		t.Error("there are no lines")
	}
}
