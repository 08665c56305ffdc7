package applets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// ownBinary makes this bed run a copy of zinit that is nobody else's, and
// returns its path. What the keeper holds is the file, whatever its name.
func (b *bed) ownBinary() string {
	name := filepath.Join(b.dir, "zinit")
	text, err := os.ReadFile(filepath.Join(built, "zinit"))
	if err == nil {
		err = os.WriteFile(name, text, 0o755)
	}
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	b.program = name
	return name
}

// serverless takes the right to execute zinit away and kills the server: no
// other can start until giveBack.
func (b *bed) serverless() (giveBack func()) {
	var v version
	b.mustCall("system.version", nil, &v)
	file, err := os.Open(fmt.Sprintf("/proc/%d/exe", v.KeeperPID))
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	mode := func(m os.FileMode) {
		if err := file.Chmod(m); err != nil {
			b.t.Fatalf("%v", err)
		}
	}
	mode(0o644)
	if err := b.kill(v.PID); err != nil {
		b.t.Fatalf("%v", err)
	}
	return func() {
		mode(0o755)
		file.Close()
	}
}

// misses waits until n servers in a row could not be started, and returns the
// lines that say so.
func (b *bed) misses(n int, since string) []string {
	var lines []string
	b.await(fmt.Sprintf("%d servers that cannot be started", n), func() error {
		lines = regexp.MustCompile(`(?m)^.*server \d+ .*cannot run: .*$`).FindAllString(b.said.String()[len(since):], -1)
		if len(lines) < n {
			return fmt.Errorf("%d lines tell of one", len(lines))
		}
		return nil
	})
	return lines
}

// ticks is the processor time that a process has used, in hundredths of a second.
func ticks(pid int) (sum int) {
	f := statFields(pid)
	for _, field := range f[11:13] {
		n := 0
		_, _ = fmt.Sscan(field, &n)
		sum += n
	}
	return sum
}

// Scenario 4: no server can be started, because zinit's own file lost the right
// to be executed, or also its name, with something else in its place. The keeper
// tries ever more slowly, with one line an attempt, services feel nothing, and
// when the file is well again a server comes.
func TestScenario004AServerThatCannotStart(t *testing.T) {
	t.Parallel()
	notShort(t)
	b := newBed(t)
	file := b.ownBinary()
	b.needs("a", "wit -lines -1 -rate 50", "")
	b.service("b", "[service]\nexec = \"wit\"\n")
	b.serve()
	a, other := b.witnessed(1, "START a").proc, b.witnessed(1, "START b").proc
	var before, after version
	b.mustCall("system.version", nil, &before)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		place []byte // what takes the file's place; nil: nothing
	}{{"/bin/false", []byte("#!/bin/false\n")}, {"a truncated program", good[:len(good)/3]}, {"nothing", nil}} {
		said, used, begin := b.said.String(), ticks(before.KeeperPID), time.Now()
		away := filepath.Join(b.dir, "away")
		if err := os.Rename(file, away); err != nil {
			t.Fatal(err)
		}
		if c.place != nil {
			if err := os.WriteFile(file, c.place, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		giveBack := b.serverless()
		lines := b.misses(6, said)
		pauses := regexp.MustCompile(`another starts in (\S+);`).FindAllStringSubmatch(strings.Join(lines, "\n"), -1)
		last := time.Duration(0)
		for _, p := range pauses {
			d, err := time.ParseDuration(p[1])
			if err != nil || d <= last || d > 30*time.Second {
				t.Errorf("%s: a pause of %q (%v) after one of %v", c.name, p[1], err, last)
			}
			last = d
		}
		if len(pauses) < 4 {
			t.Errorf("%s: no pauses are told of:\n%s", c.name, strings.Join(lines, "\n"))
		}
		took := time.Since(begin)
		if n := ticks(before.KeeperPID) - used; time.Duration(n)*10*time.Millisecond > took/20+200*time.Millisecond {
			t.Errorf("%s: the keeper used %d ms of %v", c.name, 10*n, took)
		}
		if err := os.Rename(away, file); err != nil {
			t.Fatal(err)
		}
		giveBack()
		b.await("a server: "+c.name, func() error { return b.call("system.version", nil, &after) })
		if n := len(b.misses(1, said)); int(after.Generation-before.Generation) != n+1 {
			t.Errorf("%s: server %d became %d with %d lines", c.name, before.Generation, after.Generation, n)
		}
		before = after
	}
	if !a.alive() || !other.alive() || len(b.matching("START .*|TERM .*")) != 2 {
		t.Errorf("the services felt it: %q", b.records())
	}
	b.mustCall("service.stop", named{"name": "a", "wait": true}, nil)
	var lines []logLine
	b.mustCall("logs.filter", named{"name": "a", "stream": "stdout"}, &lines)
	for i, l := range lines {
		if want := fmt.Sprintf("line %08d", i+1); l.Content != want || l.Dropped != 0 {
			t.Fatalf("line %d is %+v, want %q", i+1, l, want)
		}
	}
}

// A stop that is asked for while no server can be started is not lost: the
// keeper ends everything by itself, and says so with its status.
func TestAStopWithoutAServerEndsEverything(t *testing.T) {
	t.Parallel()
	notShort(t)
	b := newBed(t)
	b.ownBinary()
	b.service("a", "[service]\nexec = \"wit\"\n")
	b.service("b", "[service]\nexec = \"wit -ignore-term\"\n")
	b.serve()
	b.witnessed(2, "START .")
	said := b.said.String()
	giveBack := b.serverless()
	defer giveBack()
	b.misses(3, said)
	if status, err := b.stop(60 * time.Second); err != nil || status != 3 {
		t.Errorf("zinit ended with %d, %v; want 3", status, err)
	}
	if len(b.matching("EXIT a 0")) != 1 {
		t.Errorf("the service that heeds TERM had none: %q", b.records())
	}
}

// Scenario 159: the server may have no more memory, and dies of that. Nothing of
// what it knew is lost, no service feels it, as in scenario 144.
func TestScenario159AServerWithoutMemoryIsReplaced(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.everyState()
	b.serve("--shutdown-timeout", "3s")
	b.witnessed(40, "START up..")
	b.witnessed(2, "EXIT gave-up 1")
	for name, state := range map[string]string{"up39": "running", "done": "exited", "gave-up": "failed", "backoff": "failed", "starting": "starting", "blocked": "blocked"} {
		b.awaitState(name, state)
	}
	b.everyWord()
	before, records := b.everything(), len(b.records())
	var v, after version
	b.mustCall("system.version", nil, &v)
	if err := unix.Prlimit(v.PID, unix.RLIMIT_DATA, &unix.Rlimit{}, nil); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 900<<10)
	b.await("the server to have died for want of memory", func() error {
		_ = b.call("service.status", named{"name": large}, nil)
		if err := b.call("system.version", nil, &after); err != nil || after.PID == v.PID {
			return fmt.Errorf("server %d answers, %v", after.PID, err)
		}
		return nil
	})
	if diff := cmp.Diff(before, b.everything()); diff != "" {
		t.Errorf("what zinit knows has changed (-before +after):\n%s", diff)
	}
	if n := len(b.records()); n != records {
		t.Errorf("%d records became %d: %q", records, n, b.records()[records:])
	}
	b.await("its last words", func() error {
		if text := b.must("logs", "zinit", "-n", "100000"); !strings.Contains(text, "out of memory") {
			return fmt.Errorf("they are not in zinit's own log")
		}
		return nil
	})
}

// Scenario 185: a service of the same user does what it can against the server:
// it kills it and stops it, again and again. Others feel nothing of it.
func TestScenario185AServiceThatAttacksItsServer(t *testing.T) {
	t.Parallel()
	notShort(t)
	b := newBed(t)
	b.needs("a", "wit -lines -1 -rate 50", "")
	b.service("attacker", `[service]
exec = """sh -c 'i=0; while [ $i -lt 20 ]; do i=$((i+1))
for p in $(cat /proc/$PPID/task/*/children); do if grep -q [k]eeper-fd /proc/$p/cmdline; then
if [ $i = 10 ]; then kill -STOP $p; else kill -KILL $p; fi; fi; done; sleep 0.05; done; exec wit -exit 0'"""
oneshot = true
status = "stop"
`)
	b.serve()
	a := b.witnessed(1, "START a").proc
	var before, after version
	b.mustCall("system.version", nil, &before)
	b.mustCall("service.start", named{"name": "attacker"}, nil)
	b.witnessed(1, "EXIT attacker 0")
	if err := until(90*time.Second, "an answer", func() error { return b.call("system.version", nil, &after) }); err != nil {
		t.Fatal(err)
	}
	b.awaitState("attacker", "exited")
	if n := after.Generation - before.Generation; n < 5 || after.KeeperPID != before.KeeperPID {
		t.Errorf("%d servers were killed; keeper %d became %d", n, before.KeeperPID, after.KeeperPID)
	}
	if !a.alive() || len(b.matching("START .*")) != 2 {
		t.Errorf("others felt it: %q", b.records())
	}
}

// F15, B31: whatever signal the server gets, services go on as they were, with
// one process each, and somebody answers.
func TestNoSignalToTheServerReachesAService(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart_delay_ms = 1\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE,
		unix.SIGALRM, unix.SIGSEGV, unix.SIGABRT, unix.SIGPWR, unix.SIGWINCH, unix.SIGCONT, 34, 40} {
		var v version
		b.mustCallAgain("system.version", nil, &v)
		if err := syscall.Kill(v.PID, sig); err != nil {
			t.Fatal(err)
		}
		b.await(fmt.Sprintf("an answer after signal %d", sig), func() error { return b.call("system.version", nil, &v) })
	}
	b.await("the service as it was", func() error {
		if f := b.full("a"); f.State.State != "running" || f.State.PID != p.pid || !p.alive() {
			return fmt.Errorf("%+v, the process lives: %v", f, p.alive())
		}
		return nil
	})
	b.never(200*time.Millisecond, 1, "(START|TERM|SIGNAL|EXIT) a.*")
}

// F72, F74: a process is known by its number and its beginning, not by words of
// its command, and what one zinit remembers is not another's, though their
// services have the same names.
func TestAServerKnowsItsOwnAndNoOthers(t *testing.T) {
	t.Parallel()
	one, two := newBed(t), newBed(t)
	commands := map[string]string{
		"execs": "sh -c 'exec wit'", "assigns": "sh -c 'FOO=1 wit -n assigns; exit'", "links": "%DIR/a-link", "quoted": "'wit'",
	}
	var all []proc
	for _, b := range []*bed{one, two} {
		if err := os.Symlink(filepath.Join(built, "wit"), filepath.Join(b.dir, "a-link")); err != nil {
			t.Fatal(err)
		}
		for name, command := range commands {
			b.service(name, fmt.Sprintf("[service]\nexec = %q\n", strings.Replace(command, "%DIR", b.dir, 1)))
		}
		b.serve()
		b.witnessed(len(commands), "START .*")
		all = append(all, b.living()...)
	}
	for range 3 {
		one.killServer()
		two.killServer()
	}
	for _, b := range []*bed{one, two} {
		for name := range commands {
			b.awaitState(name, "running")
		}
		b.never(100*time.Millisecond, len(commands), "START .*")
	}
	for _, p := range all {
		if !p.alive() {
			t.Errorf("pid %d is gone", p.pid)
		}
	}
	if len(all) != 2*len(commands) {
		t.Errorf("%d processes at the beginning", len(all))
	}
}

// F19, B30: a second zinit on the same socket is refused and told who owns it.
// The first has its socket, its services and its files as before.
func TestASecondZinitIsToldWhoOwnsTheSocket(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "")
	b.serve()
	p := b.witnessed(1, "START a").proc
	var v version
	b.mustCall("system.version", nil, &v)
	inode := func() (st syscall.Stat_t) {
		if err := syscall.Lstat(b.sock, &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	before := inode()
	for range 3 {
		begin := time.Now()
		out, errs, code := b.zinit("server", "--config-dir", b.etc, "--socket", b.sock)
		if code != 1 || !strings.Contains(errs, b.sock) || !matches(fmt.Sprintf(`\b(%d|%d)\b`, v.PID, v.KeeperPID), errs) {
			t.Fatalf("exit %d, want 1, the socket and pid %d or %d\n%s%s", code, v.PID, v.KeeperPID, out, errs)
		}
		if took := time.Since(begin); took > patience*10*time.Second {
			t.Errorf("it was told so after %v", took)
		}
		b.killServer()
		b.mustCall("system.version", nil, &v)
	}
	if after := inode(); after.Ino != before.Ino || after.Ctim != before.Ctim {
		t.Error("the socket was touched")
	}
	if !p.alive() || len(b.matching("(START|TERM) a")) != 1 {
		t.Errorf("the service felt it: %q", b.records())
	}
}

// A question to a zinit without a server says after a while that it waits, and is
// answered when there is one.
func TestAQuestionSaysThatItWaits(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n")
	b.serve()
	_, goOn := b.stopServer()
	defer goOn()
	var words, listed said
	list := b.command("--socket", b.sock, "list")
	list.Stdout, list.Stderr = &listed, &words
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	b.await("a word", func() error {
		if text := words.String(); !strings.Contains(text, "no answer for 3s; waiting") {
			return fmt.Errorf("said %q", text)
		}
		return nil
	})
	goOn()
	if err := list.Wait(); err != nil || !strings.Contains(listed.String(), "a ") {
		t.Errorf("%v; listed %q, said %q", err, listed.String(), words.String())
	}
}
