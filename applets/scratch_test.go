package applets_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Scenario 27: an image with the binary and its configuration, read-only, and
// nothing else. zinit runs the services, says once that it cannot have its
// socket, and ends with 0.
func TestScenario027AReadOnlyScratchImageRuns(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.ReadOnly = true
	user := "1000"
	if os.Getuid() != 0 {
		user = "0" // the only one there is
	}
	x.service("web", fmt.Sprintf("[service]\nexec = \"/bin/wit -lines 2\"\nuser = %q\n", user))
	x.service("db", "[service]\nexec = \"/bin/wit -ready-fd 3\"\nready = \"fd:3\"\n")
	x.runs()
	x.witnessed(1, "START web")
	x.witnessed(1, "START db")
	p := x.running("web")
	if uids := strings.Fields(statusField(p.pid, "Uid")); os.Getuid() == 0 && uids[0] != "1000" {
		t.Errorf("web runs as %q, want 1000", uids)
	}
	x.await("the logs on stdout", func() error {
		if !strings.Contains(x.said.String(), "web | line 00000002\n") {
			return fmt.Errorf("stdout: %s", x.said)
		}
		return nil
	})
	x.terminates(0)
	if n := strings.Count(x.said.String(), "zinit.sock"); n != 1 {
		t.Errorf("the socket is spoken of %d times:\n%s", n, x.said)
	}
	if len(x.matching("EXIT (web|db) 0")) != 2 {
		t.Errorf("the witness saw %q", x.records())
	}
}

// Not even /proc: what zinit reads there it does without.
func TestAContainerWithoutProcRuns(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.NoProc = true
	x.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart_delay_ms = 1\n")
	x.runs()
	x.witnessed(1, "START a")
	x.crash("a")
	x.witnessed(2, "START a")
	x.terminates(0)
	if len(x.matching("EXIT a 0")) != 1 {
		t.Errorf("the witness saw %q", x.records())
	}
}

// An empty image with nothing to do stays up, and ends with 0 when told.
func TestAnEmptyContainerStaysUp(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.runs()
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	x.terminates(0)
}
