package applets_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Scenario 80: who says READY=1 is a child that is gone before anybody can look at
// it. None of them is lost, whatever else the machine does.
func TestScenario080AShortLivedNotifierIsHeard(t *testing.T) {
	t.Parallel()
	services, rounds := 8, 60
	if testing.Short() {
		rounds = 5
	}
	b := newBed(t)
	for i := range services {
		b.service(fmt.Sprintf("s%d", i), "[service]\nexec = \"wit -n helper -say READY=1 -exit 0; exec sleep 1000\"\nready = \"notify\"\nstatus = \"stop\"\n[lifecycle]\nrestart = \"never\"\n")
	}
	b.serve()
	var all sync.WaitGroup
	for i := range services {
		all.Go(func() {
			name := named{"name": fmt.Sprintf("s%d", i), "wait": true}
			for round := range rounds {
				var a struct {
					Outcomes []struct{ State, Reason string }
				}
				if err := b.call("service.start", name, &a); err != nil || len(a.Outcomes) != 1 || a.Outcomes[0].State != "running" {
					t.Errorf("round %d of %v: %+v, %v", round, name, a, err)
					return
				}
				if err := b.call("service.stop", name, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(b.matching("SAID helper")); n != services*rounds || len(b.matching("UNHEARD .*")) != 0 {
		t.Errorf("%d helpers have said it, want %d", n, services*rounds)
	}
	if text := b.must("logs", "zinit"); strings.Contains(text, "not believed") {
		t.Errorf("some were not believed:\n%s", text)
	}
}

// Scenario 81: what another user's service or a plain user says for a service is
// not believed, however often it is said; that is told, and not as often.
func TestScenario081AnotherUserIsNotBelieved(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		skipRing(t, "real", "somebody else takes root", "run make test as root")
	}
	b := newBed(t)
	if err := emptyWit(b.wit); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	say := []string{"wit", "-say", `READY=1\nSTATUS=owned\nMAINPID=1\nSTOPPING=1`, "-exit", "0"}
	b.service("victim", "[service]\nexec = \"wit\"\nready = \"notify\"\n")
	b.service("liar", fmt.Sprintf("[service]\nuser = \"nobody\"\nexec = '''export NOTIFY_SOCKET=$DIR/z.sock.notify/victim; for i in 1 2 3 4 5 6 7 8 9; do %s '%s' -n lie -exit 0; done; exec sleep 1000'''\n", strings.Join(say[:2], " "), say[2]))
	b.serve()
	b.witnessed(1, "START victim")
	b.witnessed(9, "EXIT lie 0")
	login := exec.Command(filepath.Join(built, "wit"), append(say[1:], "-n", "login")...)
	login.Env = append(b.env, "NOTIFY_SOCKET="+b.dir+"/z.sock.notify/victim")
	login.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.throughout(300*time.Millisecond, "the victim is believed to have spoken", func() error {
		if f := b.full("victim"); f.State.State != "starting" || f.Says != "" {
			return fmt.Errorf("%s, says %q", f.State.State, f.Says)
		}
		return nil
	})
	heard := len(b.matching("SAID .*")) - len(b.matching("UNHEARD .*"))
	if n := strings.Count(b.must("logs", "zinit"), "was not believed"); n > 3 || (n == 0) != (heard == 0) {
		t.Errorf("%d warnings about %d lies that reached the socket", n, heard)
	}
}

// Scenario 84: a probe that cannot be run is a probe that has failed, once an
// interval, with its reason to be seen.
func TestScenario084AProbeThatCannotRunIsAskedNoMoreOften(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\nready = \"spawned\"\n[health]\ntype = \"exec\"\ntarget = \"/no/such/probe\"\ninterval_ms = 200\nretries = 1000\n")
	b.serve()
	b.awaitState("a", "running")
	start := time.Now()
	var h struct {
		Health struct {
			Failures int
			Last     string
		}
	}
	b.await("some failures", func() error {
		b.mustCall("service.status_full", named{"name": "a"}, &h)
		if h.Health.Failures < 5 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	if most := int(time.Since(start)/(200*time.Millisecond)) + 2; h.Health.Failures > most {
		t.Errorf("%d probes in %v", h.Health.Failures, time.Since(start))
	}
	if shown, _, _ := b.zinit("status", "a"); !strings.Contains(shown, "no such file") {
		t.Errorf("status shows\n%s", shown)
	}
	if f := b.full("a"); f.State.State != "running" || f.Run != 1 {
		t.Errorf("it is %s in run %d: %s", f.State.State, f.Run, f.Reason)
	}
}
