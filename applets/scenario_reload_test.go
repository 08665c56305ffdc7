package applets_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Scenario 117: a reload of what did not change, a hundred times, with files
// touched, keys put in another order and comments written, changes nothing
// that anybody can see.
func TestScenario117AnIdleReloadIsNotNoticed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	texts := []string{
		"[service]\nexec = \"wit\"\ndir = \"/\"\n[lifecycle]\nrestart_delay_ms = 500\nmax_restarts = 3\n",
		"# a comment\n[lifecycle]\nmax_restarts = 3 # and another\nrestart_delay_ms = 500\n[service]\ndir = '/'\nexec = 'wit'\n",
	}
	for i := range 5 {
		b.service(fmt.Sprintf("s%d", i), texts[0])
	}
	b.service("done", "[service]\nexec = \"wit -exit 0\"\noneshot = true\n")
	b.service("failed", "[service]\nexec = \"wit -exit 1\"\n[lifecycle]\nrestart = \"never\"\n")
	b.serve()
	for i := range 5 {
		b.witnessed(1, fmt.Sprintf("START s%d", i))
		b.awaitState(fmt.Sprintf("s%d", i), "running")
	}
	b.awaitState("done", "exited")
	b.awaitState("failed", "failed")
	before := len(b.records())
	told := b.subscribe("events.subscribe")

	var r struct {
		Added, Removed, Changed []string
		Unchanged               int
	}
	for i := range 100 {
		name := fmt.Sprintf("s%d", i%5)
		b.service(name, texts[(i/5+1)%2])
		now := time.Now()
		if err := os.Chtimes(filepath.Join(b.etc, "services", "done.toml"), now, now); err != nil {
			t.Fatal(err)
		}
		b.mustCall("system.reload", nil, &r)
		if len(r.Added)+len(r.Removed)+len(r.Changed) > 0 || r.Unchanged != 7 {
			t.Fatalf("reload %d: %+v", i, r)
		}
	}
	b.throughout(200*time.Millisecond, "after idle reloads", func() error {
		if text := told.String(); text != "" {
			return fmt.Errorf("a subscriber was told %s", text)
		}
		if n := len(b.records()); n != before {
			return fmt.Errorf("%d records became %d", before, n)
		}
		return nil
	})
}

// subscribe makes a subscription on a connection of its own and collects what
// follows the answer.
func (b *bed) subscribe(method string) *said {
	c, err := net.Dial("unix", b.sock)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	all := &said{}
	go func() {
		defer c.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			_, _ = all.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	if _, err := fmt.Fprintf(c, `{"jsonrpc":"2.0","id":1,"method":%q}`+"\n", method); err != nil {
		b.t.Fatalf("%v", err)
	}
	b.await("the answer to "+method, func() error {
		if !strings.Contains(all.String(), "\n") {
			return fmt.Errorf("nothing came")
		}
		return nil
	})
	all.mu.Lock()
	defer all.mu.Unlock()
	all.buf.Reset()
	return all
}

// A server that has said yes to a reload of one service is killed before the keeper
// has heard of its reload_exec. The next server orders it, once, and knows its pid.
func TestAReloadExecIsNotLostWithItsServer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "[lifecycle]\nreload_exec = [\"wit\", \"-kind\", \"RELOAD\", \"-detail\", \"$ZINIT_PID\", \"-exit\", \"0\"]\n")
	b.fillers()
	b.serve()
	p := b.witnessed(1, "START a").proc
	b.unheard("service.reload", named{"name": "a", "token": "once"})
	b.witnessed(1, fmt.Sprintf("RELOAD a %d", p.pid))
	b.mustCall("service.reload", named{"name": "a", "token": "once"}, nil)
	b.killServer()
	b.mustCall("service.reload", named{"name": "a", "token": "again"}, nil)
	b.witnessed(2, "RELOAD a.*")
	if n := len(b.matching("RELOAD a.*")); n != 2 || !p.alive() {
		t.Errorf("reloaded %d times, want 2: %q", n, b.records())
	}
}
