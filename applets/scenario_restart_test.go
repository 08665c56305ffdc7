package applets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Scenario 36: each crash is one restart, and at no time do two main
// processes of the service live.
func TestScenario036ACrashIsOneRestart(t *testing.T) {
	t.Parallel()
	const kills = 100
	b := newBed(t)
	b.service("a", `
[service]
exec = "wit"
[lifecycle]
restart = "always"
restart_delay_ms = 1
restart_delay_max_ms = 20
max_restarts = 0
stability_period_ms = 600000
`)
	b.serve()
	for i := range kills {
		b.witnessed(i+1, "START a")
		b.ended(b.crash("a"))
	}
	b.witnessed(kills+1, "START a")
	b.awaitState("a", "running")
	b.never(200*time.Millisecond, kills+1, "START a")
	starts := b.matching("START a")
	for i, r := range starts[:kills] {
		if r.proc.alive() {
			t.Errorf("pid %d, run %d of %d, still lives", r.proc.pid, i+1, kills+1)
		}
	}
	f := b.full("a")
	if f.Run != kills+1 || f.Attempts != kills {
		t.Errorf("zinit says run %d, %d restarts in a row; the witness saw %d runs", f.Run, f.Attempts, kills+1)
	}
}

// Scenario 42: a stop that follows a restart wins, however close it comes.
func TestScenario042AStopBeatsARestart(t *testing.T) {
	t.Parallel()
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart = \"always\"\nrestart_delay_ms = 1\n")
	b.serve()
	for i := range rounds {
		b.mustCall("service.start", named{"name": "a", "wait": true}, nil)
		b.mustCall("service.restart", named{"name": "a"}, nil)
		<-time.After(time.Duration(i%6) * time.Millisecond)
		b.mustCall("service.stop", named{"name": "a", "wait": true}, nil)
		f := b.full("a")
		if f.State.State != "exited" || f.State.PID != 0 || f.Wanted {
			t.Fatalf("round %d: after the stop it is %s, pid %d, wanted %v", i, f.State.State, f.State.PID, f.Wanted)
		}
		for _, r := range b.matching("START a") {
			if r.proc.alive() {
				t.Fatalf("round %d: pid %d lives after the stop", i, r.proc.pid)
			}
		}
	}
	n := len(b.matching("START a"))
	b.never(300*time.Millisecond, n, "START a")
}

// Scenario 48: five hundred exits at one moment are five hundred records with
// the right codes, although SIGCHLD does not queue.
func TestScenario048SimultaneousExitsAreAllRecorded(t *testing.T) {
	t.Parallel()
	n := 500
	if testing.Short() {
		n = 50
	}
	b := newBed(t)
	gate := filepath.Join(b.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b.service(fmt.Sprintf("s%03d", i), fmt.Sprintf(
			"[service]\nexec = \"wit -gate %s -exit %d\"\noneshot = true\n[lifecycle]\nrestart = \"never\"\n", gate, i%256))
	}
	b.serve()
	b.witnessed(n, "START s.*")
	w, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.witnessed(n, "EXIT s.*")
	b.await("every exit to be known", func() error {
		var list []full
		if err := b.call("service.list_full", nil, &list); err != nil {
			return err
		}
		if len(list) != n {
			return fmt.Errorf("%d services are listed", len(list))
		}
		for _, f := range list {
			if f.State.State != "exited" && f.State.State != "failed" {
				return fmt.Errorf("%s is %s", f.Name, f.State.State)
			}
		}
		return nil
	})
	for _, r := range b.matching("EXIT s.*") {
		want, _ := strconv.Atoi(r.detail)
		f := b.full(r.name)
		if f.LastExit == nil || f.LastExit.Code == nil || *f.LastExit.Code != want || f.LastExit.PID != r.proc.pid {
			t.Errorf("%s (pid %d) ended with %d, zinit says %+v", r.name, r.proc.pid, want, f.LastExit)
		}
		if ok := f.State.State == "exited"; ok != (want == 0) {
			t.Errorf("%s ended with %d and is %s", r.name, want, f.State.State)
		}
	}
}

// Scenario 57: a command that is gone before anybody has written down its pid
// is still the service's.
func TestScenario057AnExitBeforeTheBookkeepingIsAttributed(t *testing.T) {
	t.Parallel()
	services, rounds := 4, 250
	if testing.Short() {
		rounds = 25
	}
	b := newBed(t)
	for i := range services {
		b.service(fmt.Sprintf("t%d", i), "[service]\nexec = \"true\"\noneshot = true\nstatus = \"stop\"\n")
	}
	b.serve()
	var all sync.WaitGroup
	for i := range services {
		all.Go(func() {
			name := fmt.Sprintf("t%d", i)
			for range rounds {
				if err := b.call("service.start", named{"name": name, "wait": true}, nil); err != nil {
					t.Errorf("start %s: %v", name, err)
					return
				}
			}
		})
	}
	all.Wait()
	for i := range services {
		f := b.full(fmt.Sprintf("t%d", i))
		if f.Run != uint64(rounds) || f.State.State != "exited" {
			t.Errorf("%s is %s after run %d, want exited after %d", f.Name, f.State.State, f.Run, rounds)
		}
		if f.LastExit == nil || f.LastExit.Run != f.Run || f.LastExit.Code == nil || *f.LastExit.Code != 0 {
			t.Errorf("%s: last exit %+v", f.Name, f.LastExit)
		}
	}
	if text := b.said.String(); strings.Contains(text, "unknown") {
		t.Errorf("zinit met something unknown:\n%s", text)
	}
}
