package applets_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// churn is a random set of service files; some crash, some need others. One in
// leaveOut is not there.
func churn(r *rand.Rand, n, leaveOut int) map[string]string {
	files := map[string]string{}
	for i := range n {
		if r.IntN(leaveOut) == leaveOut-1 && leaveOut > 1 {
			continue
		}
		exec := []string{"wit", "wit", fmt.Sprintf("wit -after %dms -exit 3", 20+r.IntN(200))}[r.IntN(3)]
		text := fmt.Sprintf("[service]\nexec = %q\ndescription = \"%d\"\n", exec, r.IntN(3))
		if other := fmt.Sprintf("s%02d", r.IntN(i+1)); files[other] != "" {
			text += fmt.Sprintf("[dependencies]\n%s = [%q]\n", []string{"requires", "after", "wants"}[r.IntN(3)], other)
		}
		files[fmt.Sprintf("s%02d", i)] = text + "[lifecycle]\nrestart_delay_ms = 10\nrestart_delay_max_ms = 20\nmax_restarts = 0\n"
	}
	return files
}

var endsByItself = regexp.MustCompile(` -after \S+ -exit 3`)

// lay makes the service files those.
func (b *bed) lay(files map[string]string) {
	old := glob(filepath.Join(b.etc, "services", "*.toml"))
	for name, text := range files {
		b.service(name, text)
	}
	for _, path := range old {
		if name := filepath.Base(path); files[name[:len(name)-len(".toml")]] == "" {
			os.Remove(path)
		}
	}
}

// Scenario 126: reload after reload while services crash, are stopped and
// started. There is never more than one process of each, and in the end all is as
// if zinit had been started on the last files.
func TestScenario126ReloadsUnderChurn(t *testing.T) {
	t.Parallel()
	notShort(t)
	const services = 16
	rounds, whole := stormKills(40)
	if whole {
		rounds *= 10
	}
	r := rand.New(rand.NewPCG(126, uint64(time.Now().UnixNano())))
	b, fresh := newBed(t), newBed(t)
	b.lay(churn(r, services, 5))
	b.serve()
	var v version
	b.mustCall("system.version", nil, &v)
	open := keeperCosts(v.KeeperPID).fds
	verbs := []string{"service.start", "service.stop", "service.restart"}
	taken := 0
	for range rounds {
		b.lay(churn(r, services, 5))
		var refused *rpcError
		switch err := b.call("system.reload", nil, nil); {
		case err == nil:
			taken++
		case !errors.As(err, &refused) || !strings.Contains(refused.Message, "is removed, but"): // what runs may need it
			t.Fatal(err)
		}
		for range 4 { // what is not there any more is refused
			_ = b.call(verbs[r.IntN(3)], named{"name": fmt.Sprintf("s%02d", r.IntN(services))}, nil)
		}
		b.onlyOneEach()
		<-time.After(50 * time.Millisecond)
	}
	if taken < rounds/10 {
		t.Errorf("%d of %d reloads were taken", taken, rounds)
	}
	last := churn(r, services, 1)
	for name, text := range last { // nothing crashes any more
		last[name] = endsByItself.ReplaceAllString(text, "")
	}
	b.lay(last)
	fresh.lay(last)
	fresh.serve()
	b.mustCall("system.reload", named{"restart": true}, nil)
	names := slices.Sorted(maps.Keys(last))
	b.mustCall("service.start", named{"names": names}, nil)
	for _, name := range names {
		b.awaitState(name, "running")
		fresh.awaitState(name, "running")
	}
	if is, want := b.definitions(), fresh.definitions(); is != want {
		t.Errorf("in force is\n%s\na fresh start has\n%s", is, want)
	}
	b.onlyOneEach()
	b.await("the descriptors of what is gone to be closed", func() error {
		if n := keeperCosts(v.KeeperPID).fds; n > open+3*services {
			return fmt.Errorf("%d became %d", open, n)
		}
		return nil
	})
	if n := len(b.descendants()); n != len(names)+2 {
		t.Errorf("%d processes for %d services, keeper and server: %v", n, len(names), b.descendants())
	}
}

// onlyOneEach wants at most one living process of every name.
func (b *bed) onlyOneEach() {
	living := map[string][]proc{}
	for _, r := range b.matching("START .*") {
		if r.proc.alive() {
			living[r.name] = append(living[r.name], r.proc)
		}
	}
	for name, all := range living {
		if len(all) > 1 {
			b.t.Fatalf("%d processes of %s live: %v", len(all), name, all)
		}
	}
}

// Scenario 174: what a service costs to be started and stopped is given back. A
// few thousand times would show a leak of some bytes each; `make storm` does that.
func TestScenario174ManyStartsCostNothing(t *testing.T) {
	t.Parallel()
	notShort(t)
	cycles, whole := 300, false
	if _, whole = stormKills(0); whole {
		cycles = 5000
	}
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -lines 3 -ready-fd 3\"\nready = \"fd:3\"\nstatus = \"stop\"\n[logging]\nbuffer_bytes = \"64KiB\"\n")
	b.service("job", "[service]\nexec = \"wit -exit 0\"\noneshot = true\nstatus = \"stop\"\n[logging]\nbuffer_bytes = \"64KiB\"\n")
	b.serve()
	cycle := func(n int) {
		for range n {
			b.mustCall("service.start", named{"names": []string{"a", "job"}, "wait": true}, nil)
			b.mustCall("service.stop", named{"names": []string{"a", "job"}, "wait": true}, nil)
		}
	}
	var v version
	b.mustCall("system.version", nil, &v)
	cycle(cycles / 3)
	keeper, server := keeperCosts(v.KeeperPID), keeperCosts(v.PID)
	cycle(cycles)
	for who, c := range map[string]struct {
		pid    int
		before costs
	}{"keeper": {v.KeeperPID, keeper}, "server": {v.PID, server}} {
		b.await("the "+who+" to cost what it did", func() error {
			now := keeperCosts(c.pid)
			if now.fds > c.before.fds+2 || now.threads > c.before.threads+4 || now.rss > c.before.rss+(3<<20) {
				return fmt.Errorf("%+v became %+v; open: %q", c.before, now, fds(c.pid))
			}
			return nil
		})
		t.Logf("%s after %d starts: %+v, after %d more: %+v", who, 2*cycles/3, c.before, 2*cycles, keeperCosts(c.pid))
	}
	if n := len(b.matching("START a")); n != cycles+cycles/3 {
		t.Errorf("%d starts, want %d", n, cycles+cycles/3)
	}
}
