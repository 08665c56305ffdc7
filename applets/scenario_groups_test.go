package applets_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serveGroups is serve where each service gets a cgroup; elsewhere the test is
// skipped. The VM ring has them everywhere.
func (b *bed) serveGroups(t *testing.T) {
	t.Helper()
	b.service("probe", "[service]\nexec = \"sleep 1000\"\n")
	b.env = append(b.env, "ZINIT_CGROUPS=1")
	b.serve()
	b.awaitState("probe", "running")
	if f := b.full("probe"); !strings.HasPrefix(f.Held, "cgroup /") {
		skipRing(t, "cgroups", "services are held by their "+f.Held, "as root, run: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
}

// Scenario 89: a child in a session of its own that ignores TERM is gone when the
// service is, and is named before it is killed.
func TestScenario089AnEscapedSessionEndsWithItsService(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -fork 1 -fork-mode session -fork-ignore-term\"\n[lifecycle]\nstop_timeout_ms = 2000\n")
	b.serveGroups(t)
	child := b.witnessed(1, "START a.child").proc
	if took := b.stopped("a"); took < 1900*time.Millisecond {
		t.Errorf("the stop took %v; its timeout is 2 s, and a child ignores TERM", took)
	}
	if b.here(child).alive() {
		t.Error("the service is stopped, and its child lives")
	}
	b.witnessed(1, "TERM a.child")
	b.witnessed(1, "EXIT a 0")
	if f := b.full("a"); f.State.State != "exited" {
		t.Errorf("zinit says %s: %s", f.State.State, f.Reason)
	}
	if text := b.must("logs", "zinit"); !strings.Contains(text, fmt.Sprintf("a: still there: pid %d ", child.pid)) {
		t.Errorf("the log does not name pid %d:\n%s", child.pid, text)
	}
}

// post_exec runs when nothing of the run is left, wherever it went.
func TestPostExecWaitsForAnEscapedSession(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -fork 1 -fork-mode session -fork-ignore-term\"\n"+
		"[lifecycle]\nstop_timeout_ms = 1000\npost_exec = \"wit -look -kind POST -exit 0\"\n")
	b.serveGroups(t)
	child := b.witnessed(1, "START a.child").proc
	b.stopped("a")
	b.witnessed(1, "POST a")
	if left := b.matching("LEFT a .*"); len(left) != 0 || b.here(child).alive() {
		t.Errorf("post_exec found %q", left)
	}
	if f := b.full("a"); f.State.State != "exited" {
		t.Errorf("zinit says %s: %s", f.State.State, f.Reason)
	}
}

// Scenario 45: what a main process leaves behind in another session is ended
// before the next run, and there is no "running" without a main process.
func TestScenario045ADoubleForkIsEndedBeforeTheNextRun(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -fork 1 -fork-mode double -fork-ignore-term -after 300ms -exit 1\"\n"+
		"[lifecycle]\nstop_timeout_ms = 1500\nmax_restarts = 1\nrestart_delay_ms = 10\n")
	b.serveGroups(t)
	child := b.witnessed(1, "START a.child").proc
	b.witnessed(1, "EXIT a 1")
	b.await("the reason to name the child", func() error {
		f := b.full("a")
		if f.Run == 1 && f.State.State == "running" && len(b.matching("EXIT a 1")) > 0 && f.State.PID == 0 {
			return final{fmt.Errorf("it is running without a main process")}
		}
		if !strings.Contains(f.Reason, fmt.Sprintf("pid %d ", child.pid)) {
			return fmt.Errorf("%s: %s", f.State.State, f.Reason)
		}
		return nil
	})
	b.witnessed(2, "START a")
	if b.here(child).alive() {
		t.Error("the second run began while the first one's child lived")
	}
}

// No kill of the server, at any moment of a stop, loses a session that escaped.
func TestAnEscapedSessionIsFoundBySuccessors(t *testing.T) {
	t.Parallel()
	t.Run("with cgroups", func(t *testing.T) { t.Parallel(); escapes(t, newBed(t), (*bed).serveGroups) })
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.env = append(b.env, "ZINIT_CGROUPS=0")
		escapes(t, b, func(b *bed, _ *testing.T) { b.serve() })
	})
}

// A pre_exec leaves nobody behind either, whether it is stopped or fails. With cgroups
// a stop during pre_exec, which has no main process to end, once waited for ever for a
// session that had long been killed.
func TestASessionThatEscapedFromPreExecEndsWithIt(t *testing.T) {
	t.Parallel()
	t.Run("with cgroups", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.service("fails", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart = \"never\"\n"+
			"pre_exec = \"wit -n fails -fork 1 -fork-mode session -fork-ignore-term -after 300ms -exit 3\"\n")
		preExec(t, b, (*bed).serveGroups)
		b.awaitState("fails", "failed")
		child := b.witnessed(1, "START fails.child").proc
		b.await("the end of it", func() error {
			if b.here(child).alive() {
				return fmt.Errorf("pid %d lives", child.pid)
			}
			return nil
		})
	})
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.env = append(b.env, "ZINIT_CGROUPS=0")
		preExec(t, b, func(b *bed, _ *testing.T) { b.serve() })
	})
}

func preExec(t *testing.T, b *bed, serve func(*bed, *testing.T)) {
	b.service("a", "[service]\nexec = \"sleep 1000\"\n[lifecycle]\nstop_timeout_ms = 1000\n"+
		"pre_exec = \"wit -n a -fork 1 -fork-mode session -fork-ignore-term\"\n")
	serve(b, t)
	child := b.witnessed(1, "START a.child").proc
	b.stopped("a")
	if b.here(child).alive() {
		t.Error("the service is stopped, and what its pre_exec left lives")
	}
	b.witnessed(1, "TERM a.child")
}

func escapes(t *testing.T, b *bed, serve func(*bed, *testing.T)) {
	b.service("a", "[service]\nexec = \"wit -fork 1 -fork-mode session -fork-ignore-term\"\n[lifecycle]\nstop_timeout_ms = 1500\n")
	serve(b, t)
	child := b.witnessed(1, "START a.child").proc
	b.mustCall("service.stop", named{"name": "a"}, nil)
	b.witnessed(1, "EXIT a 0") // its group is gone
	b.killServer()
	b.killServer()
	if f := b.full("a"); f.State.State != "stopping" && b.here(child).alive() {
		t.Errorf("it is %s, and its child lives", f.State.State)
	}
	b.awaitState("a", "exited")
	if b.here(child).alive() {
		t.Error("the service is stopped, and its child lives")
	}
	b.must("start", "a")
	b.witnessed(2, "START a")
}

// Scenario 89 without cgroups, best effort: the session that escaped is found by
// what it inherited, and ends before its service counts as stopped; another's is left
// alone.
func TestScenario089WithoutCgroupsAnEscapedSessionIsFound(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.env = append(b.env, "ZINIT_CGROUPS=0")
	for _, name := range []string{"a", "b"} {
		b.service(name, "[service]\nexec = \"wit -fork 1 -fork-mode session -fork-ignore-term\"\n[lifecycle]\nstop_timeout_ms = 500\n")
	}
	b.serve()
	a, other := b.witnessed(1, "START a.child").proc, b.witnessed(1, "START b.child").proc
	b.stopped("a")
	if b.here(a).alive() {
		t.Error("the service is stopped, and its child lives")
	}
	b.witnessed(1, "TERM a.child")
	if !b.here(other).alive() || len(b.matching("TERM b.*")) != 0 {
		t.Error("a session of another service was ended too")
	}
}

// Without a tree of cgroups a limit that does not hold is said once, and the
// service runs.
func TestLimitsThatDoNotHoldAreSaidOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.env = append(b.env, "ZINIT_CGROUPS=0")
	b.service("a", "[service]\nexec = \"wit -after 20ms -exit 1\"\n[resources]\nmemory_max = \"64MiB\"\n[lifecycle]\nmax_restarts = 3\nrestart_delay_ms = 1\n")
	b.service("b", "[service]\nexec = \"wit\"\n")
	b.service("c", "[service]\nexec = \"wit\"\n[resources]\nmemory_max = \"64MiB\"\ncpu_max = 1.5\n")
	b.serve()
	b.await("a to give up", func() error {
		if f := b.full("a"); !strings.Contains(f.Reason, "gave up") {
			return fmt.Errorf("%s", f.Reason)
		}
		return nil
	})
	if n := strings.Count(b.must("logs", "zinit"), ": a: what [resources] says does not hold"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	f := b.full("a")
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "[resources]") || f.Held != "process group" {
		t.Errorf("warnings %q, held by %q", f.Warnings, f.Held)
	}
	if shown, _, _ := b.zinit("status", "a"); !strings.Contains(shown, "does not hold") {
		t.Errorf("status shows\n%s", shown)
	}
	wanted := "Resources:   cpu_max 1.5 (does not hold), memory_max 64.0 MiB (does not hold)\n"
	if shown, _, _ := b.zinit("status", "c"); !strings.Contains(shown, wanted) {
		t.Errorf("status shows\n%s\nwant %s", shown, wanted)
	}
	b.killServer()
	if f := b.full("c"); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "[resources]") {
		t.Errorf("a successor warns %q", f.Warnings)
	}
	if f := b.full("b"); len(f.Warnings) != 0 || f.Held != "process group" {
		t.Errorf("b, which sets none: %q, held by %q", f.Warnings, f.Held)
	}
}

// status tells of a limit whether the cgroup holds it, also after a takeover.
func TestStatusTellsWhichLimitsHold(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[resources]\npids_max = 77\n")
	b.serveGroups(t)
	b.awaitState("a", "running")
	dir := strings.TrimPrefix(b.full("a").Held, "cgroup ")
	for range 2 {
		text, err := os.ReadFile(dir + "/pids.max")
		holds := err == nil && string(text) == "77\n"
		shown := b.must("status", "a")
		row, refused := strings.Contains(shown, "Resources:   pids_max 77\n"), strings.Contains(shown, "Resources:   pids_max 77 (does not hold)\n")
		if warned := strings.Contains(shown, "Warning:     what [resources]"); row != holds || refused == holds || warned == holds {
			t.Errorf("pids.max is %q (%v), status shows\n%s", text, err, shown)
		}
		b.killServer()
	}
}

// A zinit that ends leaves no cgroup behind.
func TestNoCgroupIsLeftBehind(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.serveGroups(t)
	dir := strings.TrimPrefix(b.full("probe").Held, "cgroup ")
	tree := dir[:strings.LastIndexByte(dir, '/')]
	if _, err := os.Stat(tree); err != nil {
		t.Fatal(err)
	}
	if _, err := b.stop(90 * time.Second); err != nil {
		t.Fatal(err)
	}
	b.await("the tree to be removed", func() error {
		var st syscall.Stat_t
		if err := syscall.Stat(tree, &st); err != syscall.ENOENT {
			return fmt.Errorf("%s: %v", tree, err)
		}
		return nil
	})
}
