package applets_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Scenario 3: a storm of signals on the keeper, of those that mean something
// and those that do not, from many senders. It lives, costs what it did,
// restarts its server no more often than it can, and services feel nothing.
func TestScenario003AStormOfSignals(t *testing.T) {
	t.Parallel()
	each := 5000
	if testing.Short() {
		each = 500
	}
	b := newBed(t)
	b.needs("a", "wit", "")
	b.serve()
	p := b.witnessed(1, "START a").proc
	var v version
	b.mustCall("system.version", nil, &v)
	before := keeperCosts(v.KeeperPID)
	signals := []syscall.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, 40}
	var senders sync.WaitGroup
	for _, sig := range signals {
		senders.Go(func() {
			for range each {
				_ = syscall.Kill(v.KeeperPID, sig)
			}
		})
	}
	senders.Wait()
	var after version
	b.await("an answer after the storm, of another server", func() error {
		if err := b.call("system.version", nil, &after); err != nil {
			return err
		}
		if after.Generation == v.Generation {
			return fmt.Errorf("the server is still number %d", v.Generation)
		}
		return nil
	})
	b.await("the keeper to cost what it did", func() error {
		now := keeperCosts(v.KeeperPID)
		if now.fds > before.fds+4 || now.threads > before.threads+2 || now.rss > before.rss+(4<<20) {
			return fmt.Errorf("%+v became %+v", before, now)
		}
		return nil
	})
	if after.KeeperPID != v.KeeperPID || !p.alive() {
		t.Errorf("keeper %d became %d; the service lives: %v", v.KeeperPID, after.KeeperPID, p.alive())
	}
	if n := after.Generation - v.Generation; n == 0 || n > uint64(each)/4 {
		t.Errorf("%d servers for %d times SIGUSR1", n, each)
	}
	b.mustCall("service.restart", named{"name": "a", "wait": true}, nil)
	if n := len(b.matching("SIGNAL a.*")); n != 0 {
		t.Errorf("the service got %d of the signals", n)
	}
}

// Scenario 5: orphans by the hundred end around the keeper, which reaps them
// all, while services crash and each crash is known.
func TestScenario005AFloodOfOrphans(t *testing.T) {
	t.Parallel()
	const orphans, crashes = 2000, 20
	b := newBed(t)
	// A subshell that ends at once leaves its sleep to the keeper.
	b.service("flood", fmt.Sprintf("[service]\nexec = \"sh -c 'i=0; while [ $i -lt %d ]; do (sleep 0.$((i %% 10)) &) ; i=$((i+1)); done; wit -exit 0'\"\noneshot = true\n", orphans))
	b.service("crash", "[service]\nexec = \"wit -after 20ms -exit 3\"\n[lifecycle]\nrestart_delay_ms = 1\nrestart_delay_max_ms = 1\nmax_restarts = 19\nstability_period_ms = 86400000\n")
	b.serve()
	var v version
	b.mustCall("system.version", nil, &v)
	b.witnessed(crashes, "EXIT crash 3")
	b.witnessed(1, "EXIT flood 0")
	b.await("every orphan to be reaped", func() error {
		if n := len(childrenOf(v.KeeperPID)); n != 1 {
			return fmt.Errorf("the keeper has %d children", n)
		}
		return nil
	})
	b.awaitState("crash", "failed")
	if f := b.full("crash"); f.Run != crashes || f.Attempts != crashes-1 || f.LastExit == nil || f.LastExit.Code == nil || *f.LastExit.Code != 3 {
		t.Errorf("run %d, %d restarts, last exit %+v; the witness saw %d ends", f.Run, f.Attempts, f.LastExit, crashes)
	}
	b.awaitState("flood", "exited")
}

// Scenarios 127, 151: the server is killed in the middle of reloads of a
// hundred files, again and again. What is in force is wholly old or wholly new.
func TestScenario151AReloadIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	notShort(t)
	const services = 100
	rounds, whole := stormKills(15)
	if whole {
		rounds = 200
	}
	b := newBed(t)
	write := func(version int) {
		for i := range services {
			b.service(fmt.Sprintf("s%02d", i), fmt.Sprintf("[service]\nexec = \"wit\"\nstatus = \"stop\"\ndescription = \"%d\"\n", version))
		}
		b.service("runs", fmt.Sprintf("[service]\nexec = \"wit\"\ndescription = \"%d\"\n", version))
	}
	write(0)
	b.serve()
	p := b.witnessed(1, "START runs").proc
	for round := 1; round <= rounds; round++ {
		write(round)
		var v version
		b.mustCall("system.version", nil, &v)
		gone := make(chan error, 1)
		go func() { gone <- b.call("system.reload", named{"token": fmt.Sprint(round)}, nil) }()
		<-time.After(time.Duration(round%20) * time.Millisecond)
		if err := b.kill(v.PID); err != nil {
			t.Fatal(err)
		}
		answered := <-gone == nil
		inForce := b.descriptions()
		if len(inForce) != 1 {
			t.Fatalf("round %d: %v are in force together", round, inForce)
		}
		is := 0
		for text := range inForce {
			_, _ = fmt.Sscan(text, &is)
		}
		if is != round && (answered || is != round-1) {
			t.Fatalf("round %d: version %d is in force; the reload was answered: %v", round, is, answered)
		}
		b.mustCall("system.reload", named{"token": fmt.Sprint(round, "again")}, nil)
		if inForce := b.descriptions(); inForce[fmt.Sprint(round)] != services+1 {
			t.Fatalf("round %d: after another reload %v", round, inForce)
		}
	}
	if !p.alive() || len(b.matching("(START|TERM) runs")) != 1 {
		t.Errorf("a service that only changed on disk felt it: %q", b.records())
	}
}

// descriptions counts the definitions in force by their description.
func (b *bed) descriptions() map[string]int {
	var names []string
	b.mustCallAgain("service.list", nil, &names)
	found := map[string]int{}
	for _, name := range names {
		var def struct {
			Service struct {
				Description string `json:"description"`
			} `json:"service"`
			Description string `json:"description"`
		}
		b.mustCallAgain("service.get", named{"name": name}, &def)
		found[def.Service.Description+def.Description]++
	}
	return found
}

// mustCallAgain is mustCall across a kill.
func (b *bed) mustCallAgain(method string, params, result any) {
	b.await(method, func() error { return b.call(method, params, result) })
}

// Scenario 156: names, texts and environments that look like the journal's own
// words go through a kill as they were, and change nothing else.
func TestScenario156WhatServicesSayStaysWhatItIs(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	odd := "}{\"state\":\"failed\"}[service] name = \"zinit\" \u202e" // a description is one line, control characters are refused
	quoted, _ := json.Marshal(odd)
	lines, _ := json.Marshal(odd + "\n[service]\n}\tx")
	b.service("a.b@c:d-e_f", fmt.Sprintf("[service]\nexec = \"wit -raw all256\"\ndescription = %s\nenv = { ODD = %s }\n", quoted, lines))
	b.service("long", fmt.Sprintf("[service]\nexec = \"wit\"\ndescription = \"%s\"\nenv = { LONG = \"%s\" }\n", strings.Repeat("x", 100<<10), strings.Repeat("y", 100<<10)))
	b.service("fails", "[service]\nexec = [\"/no/such\\n} service = failed\"]\n[lifecycle]\nrestart = \"never\"\n")
	b.service("other", "[service]\nexec = \"wit\"\n")
	b.serve()
	b.witnessed(3, "START .*")
	b.awaitState("fails", "failed")
	b.awaitState("a.b@c:d-e_f", "running")
	logged := ""
	b.await("all of what it prints", func() error {
		if logged = b.must("logs", "--raw", "a.b@c:d-e_f"); len(logged) < 2*256+1 {
			return fmt.Errorf("%d bytes", len(logged))
		}
		return nil
	})
	before, defined := b.everything(), b.definitions()
	if !strings.Contains(fmt.Sprint(before["a.b@c:d-e_f"]), "\u202e") {
		t.Fatal("the odd description is not there to begin with")
	}
	for range 3 {
		b.killServer()
		if after := b.everything(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("before\n%v\nafter\n%v", before, after)
		}
		if after := b.definitions(); after != defined {
			t.Fatalf("before\n%v\nafter\n%v", defined, after)
		}
		if after := b.must("logs", "--raw", "a.b@c:d-e_f"); after != logged {
			t.Fatalf("before\n%q\nafter\n%q", logged, after)
		}
	}
}

// definitions are all accepted definitions, as text.
func (b *bed) definitions() string {
	var names []string
	b.mustCall("service.list", nil, &names)
	var all strings.Builder
	for _, name := range names {
		var raw json.RawMessage
		b.mustCall("service.get", named{"name": name}, &raw)
		fmt.Fprintf(&all, "%s\n", raw)
	}
	return all.String()
}

// Scenario 162: a client that follows goes on after the last line it has shown
// when the server is killed, and shows every line once.
func TestScenario162AFollowerShowsEachLineOnce(t *testing.T) {
	t.Parallel()
	const lines = 400
	b := newBed(t)
	b.service("a", fmt.Sprintf("[service]\nexec = \"wit -lines %d -rate 200\"\n", lines))
	b.serve()
	cmd, out := b.command("logs", "-f", "--raw", "-n", "100000", "a"), &said{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer interrupt(cmd)
	last := fmt.Sprintf("line %08d\n", lines)
	for !strings.Contains(out.String(), last) {
		n := len(out.String())
		b.killServer()
		b.await("a new line", func() error {
			if text := out.String(); len(text) == n && !strings.Contains(text, last) {
				return fmt.Errorf("%d bytes are shown", n)
			}
			return nil
		})
	}
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "line %08d\n", i+1)
	}
	if out.String() != want.String() {
		t.Errorf("the follower showed %d bytes, want %d, each line once:\n%.2000s", len(out.String()), want.Len(), out.String())
	}
}

func interrupt(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
}
