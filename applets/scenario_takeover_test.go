package applets_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fifty services, in every state there is.
func (b *bed) everyState() {
	for i := range 40 {
		b.needs(fmt.Sprintf("up%02d", i), "wit -lines 3", "")
	}
	b.needs("done", "wit -exit 0", "oneshot = true")
	b.service("failed", "[service]\nexec = \"wit -exit 7\"\n[lifecycle]\nrestart = \"never\"\n")
	b.service("gave-up", "[service]\nexec = \"wit -exit 1\"\n[lifecycle]\nmax_restarts = 1\nrestart_delay_ms = 1\n")
	b.service("backoff", "[service]\nexec = \"wit -exit 1\"\n[lifecycle]\nrestart_delay_ms = 3600000\nrestart_delay_max_ms = 3600000\n")
	b.service("starting", "[service]\nexec = \"wit -ready-fd 3 -ready-after 1h\"\nready = \"fd:3\"\n[lifecycle]\nstart_timeout_ms = 3600000\n")
	b.needs("blocked", "wit", "", "requires starting")
	b.needs("missing", "wit", "", "requires nowhere")
	b.needs("down", "wit", "status = \"stop\"")
	b.service("stopping", "[service]\nexec = \"wit -ignore-term\"\n[lifecycle]\nstop_timeout_ms = 60000\n")
	b.target("all", "[target]\n[dependencies]\nrequires = [\"up00\"]\n")
}

// everyWord waits for what those of everyState that stay up print.
func (b *bed) everyWord() {
	for i := range 40 {
		b.await("the last line of an up service", func() error {
			var lines []any
			b.mustCall("logs.tail", named{"name": fmt.Sprintf("up%02d", i)}, &lines)
			if len(lines) < 3 {
				return fmt.Errorf("there are %d", len(lines))
			}
			return nil
		})
	}
}

// Scenario 144, and F15: the server is killed while everything is quiet. Nothing of
// what it knew is lost, no service feels it.
func TestScenario144AKilledServerIsNotMissed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.everyState()
	b.serve("--shutdown-timeout", "3s")
	b.witnessed(40, "START up..")
	b.witnessed(1, "START stopping")
	b.mustCall("service.stop", named{"name": "stopping"}, nil)
	for name, state := range map[string]string{
		"up39": "running", "done": "exited", "failed": "failed", "gave-up": "failed", "backoff": "failed",
		"starting": "starting", "blocked": "blocked", "missing": "failed", "down": "inactive",
		"stopping": "stopping", "all": "running",
	} {
		b.awaitState(name, state)
	}
	b.witnessed(2, "EXIT gave-up 1")
	b.everyWord()
	before, alive, records := b.everything(), b.living(), len(b.records())
	begin := time.Now()
	b.killServer()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the next server answered after %v", took)
	}
	if diff := cmp.Diff(before, b.everything()); diff != "" {
		t.Errorf("what zinit knows has changed (-before +after):\n%s", diff)
	}
	b.throughout(300*time.Millisecond, "after the kill", func() error {
		if n := len(b.records()); n != records {
			return fmt.Errorf("%d records became %d: %q", records, n, b.records()[records:])
		}
		return nil
	})
	for _, p := range alive {
		if !p.alive() {
			t.Errorf("pid %d is gone", p.pid)
		}
	}
}

// living are the witnesses that run now.
func (b *bed) living() []proc {
	var found []proc
	for _, r := range b.matching("START .*") {
		if r.proc.alive() {
			found = append(found, r.proc)
		}
	}
	return found
}

// counting is the part of a reason that counts down.
var counting = regexp.MustCompile(` in [0-9hms.]+`)

// everything is what zinit tells about all services, less what time alone
// changes.
func (b *bed) everything() map[string]any {
	var names []string
	b.mustCall("service.list", nil, &names)
	all := map[string]any{}
	for _, name := range names {
		var raw json.RawMessage
		b.mustCall("service.status_full", named{"name": name}, &raw)
		var f map[string]any
		if err := json.Unmarshal(raw, &f); err != nil {
			b.t.Fatalf("%v", err)
		}
		for _, k := range []string{"age_ms", "uptime_secs", "next_start_ms"} {
			delete(f, k)
		}
		if reason, ok := f["reason"].(string); ok {
			f["reason"] = counting.ReplaceAllString(reason, " in a while")
		}
		all[name] = f
	}
	return all
}

// Scenario 161: whatever is handed over at a kill is given back. A thousand
// kills would show a leak of one descriptor in ten.
func TestScenario161KillsLeakNothingInTheKeeper(t *testing.T) {
	t.Parallel()
	notShort(t)
	const kills = 200
	b := newBed(t)
	for i := range 10 {
		b.needs(fmt.Sprintf("s%d", i), "wit -lines 2", "")
	}
	b.serve()
	b.witnessed(10, "START s.")
	first, _ := b.killServer()
	keeper := first.KeeperPID
	for range 5 {
		b.killServer()
	}
	before := keeperCosts(keeper)
	for range kills {
		b.killServer()
	}
	b.await("the keeper to cost what it did", func() error {
		now := keeperCosts(keeper)
		if now.fds > before.fds || now.threads > before.threads+2 || now.rss > before.rss+(2<<20) {
			return fmt.Errorf("%+v became %+v after %d kills; open: %q", before, now, kills, fds(keeper))
		}
		return nil
	})
	if n := len(b.matching("START s.")); n != 10 {
		t.Errorf("%d starts of 10 services", n)
	}
	for i := range 10 {
		b.running(fmt.Sprintf("s%d", i))
	}
}

type costs struct {
	fds, threads int
	rss          int64
}

func keeperCosts(pid int) costs {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return costs{len(open), len(tasks), rss(pid)}
}

// A call that comes while there is no server waits for the next one.
func TestACallDuringATakeoverWaits(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "")
	b.serve()
	var v version
	for range 20 {
		b.mustCall("system.version", nil, &v)
		if err := b.kill(v.PID); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := b.zinit("status", "a"); code != 0 {
			t.Fatalf("status right after the kill: exit %d %s", code, errs)
		}
	}
}
