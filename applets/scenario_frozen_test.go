package applets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zinit/testdata/frozen"
)

// The programs of two services lie where nobody answers. They wait in their exec;
// everything else goes on: others start, print, crash, come back and stop, servers
// are killed and replaced. One of the two can be stopped; the other runs, once, when
// the mount answers.
func TestAFrozenBinaryDelaysItsServiceOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	text, err := os.ReadFile(filepath.Join(built, "wit"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "frozen")
	thaw := frozen.Program(t, path, text)
	for _, name := range []string{"frozen", "given-up"} {
		b.service(name, fmt.Sprintf("[service]\nexec = %q\n[lifecycle]\nstart_timeout_ms = 3600000\nstop_timeout_ms = 1000\n", path))
	}
	b.needs("steady", "wit -lines -1 -rate 100", "")
	b.service("crash", "[service]\nexec = \"wit -after 50ms -exit 3\"\n[lifecycle]\nrestart_delay_ms = 1\nrestart_delay_max_ms = 1\nmax_restarts = 0\n")
	b.needs("again", "wit", "")
	b.needs("waits", "wit", "", "requires frozen")
	b.serve("--shutdown-timeout", "20s")
	steady := b.witnessed(1, "START steady").proc
	b.awaitState("frozen", "starting")
	b.awaitState("waits", "blocked")
	for range 5 {
		crashes := len(b.matching("START crash"))
		b.killServer()
		begin := time.Now()
		b.mustCall("service.restart", named{"name": "again", "wait": true}, nil)
		b.must("logs", "steady", "-n", "3")
		if took := time.Since(begin); took > patience*10*time.Second {
			t.Errorf("a restart of another service and a look at a log took %v", took)
		}
		b.witnessed(crashes+2, "START crash")
		b.awaitState("frozen", "starting")
	}
	b.mustCall("service.stop", named{"name": "given-up", "wait": true}, nil)
	if n := len(b.matching("START (frozen|given-up|waits)")); n != 0 {
		t.Fatalf("%d of what is held have started", n)
	}
	thaw()
	b.witnessed(1, "START frozen")
	b.awaitState("frozen", "running")
	b.awaitState("waits", "running")
	b.killServer()
	b.awaitState("given-up", "exited")
	if n := len(b.matching("START (frozen|given-up)")); n != 1 {
		t.Errorf("%d starts of what was held, want 1: %q", n, b.matching("START (frozen|given-up)"))
	}
	if !steady.alive() || len(b.matching("(START|TERM) steady")) != 1 {
		t.Errorf("another service felt it: %q", b.matching(".* steady.*"))
	}
	b.mustCall("service.stop", named{"name": "steady", "wait": true}, nil)
	var lines []logLine
	b.mustCall("logs.filter", named{"name": "steady", "stream": "stdout"}, &lines)
	for i, l := range lines {
		if want := fmt.Sprintf("line %08d", i+1); l.Content != want || l.Dropped != 0 {
			t.Fatalf("line %d is %+v, want %q", i+1, l, want)
		}
	}
}
