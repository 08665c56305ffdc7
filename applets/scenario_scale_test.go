package applets_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Scenario 71: a chain of 2000, a fan-in of 2000 and 2000 alone. All start and
// stop in good time, in order, and the server stays small. Most are targets,
// which cost no process; every 250th link of the chain is a service.
func TestScenario071ThousandsStartAndStopInOrder(t *testing.T) {
	t.Parallel()
	const size, step, limit = 2000, 250, 60 * time.Second
	const service = "wit -ready-fd 3"
	b := newBed(t)
	var real []string
	var leaves strings.Builder
	for i := range size {
		name := fmt.Sprintf("chain%04d", i)
		switch {
		case i == 0:
			b.needs(name, service, "ready = \"fd:3\"")
			real = append(real, name)
		case i%step == 0 || i == size-1:
			b.needs(name, service, "ready = \"fd:3\"", fmt.Sprintf("requires chain%04d", i-1))
			real = append(real, name)
		default:
			b.target(name, fmt.Sprintf("[target]\n[dependencies]\nrequires = [\"chain%04d\"]\n", i-1))
		}
		fmt.Fprintf(&leaves, "\"leaf%04d\",", i)
		b.target(fmt.Sprintf("leaf%04d", i), "[target]\n[dependencies]\nrequires = [\"chain0000\"]\n")
		b.target(fmt.Sprintf("alone%04d", i), "[target]\n")
	}
	b.service("fan", "[service]\nexec = \"wit -ready-fd 3\"\nready = \"fd:3\"\n[dependencies]\nrequires = ["+leaves.String()+"]\n")
	last := real[len(real)-1]

	begin := time.Now()
	b.serve()
	b.witnessed(len(real)+1, "START .*")
	b.awaitState(last, "running")
	b.awaitState("fan", "running")
	b.awaitState(fmt.Sprintf("alone%04d", size-1), "running")
	t.Logf("up in %v", time.Since(begin))
	for i := range real[1:] {
		b.ordered("START "+real[i], "START "+real[i+1])
	}
	b.ordered("START "+real[0], "START fan")

	begin = time.Now()
	out := b.must("stop", real[0])
	if !strings.Contains(out, "chain1999") || !strings.Contains(out, "leaf1999") || strings.Contains(out, "alone") {
		t.Errorf("the stop says %.300q", out)
	}
	for i := range real[1:] {
		b.ordered("EXIT "+real[i+1]+" 0", "TERM "+real[i])
	}
	b.ordered("EXIT fan 0", "TERM "+real[0])
	b.must("start", last, "fan")
	if took := time.Since(begin); took > patience*limit {
		t.Errorf("stop and start took %v", took)
	} else {
		t.Logf("stop and start took %v", took)
	}
	b.witnessed(2*(len(real)+1), "START .*")
	b.never(100*time.Millisecond, 2*(len(real)+1), "START .*")

	var v version
	b.mustCall("system.version", nil, &v)
	for _, pid := range []int{v.PID, v.KeeperPID} {
		if kib := residentKiB(t, pid); kib > int(patience)*200<<10 {
			t.Errorf("pid %d holds %d KiB", pid, kib)
		}
	}
	if code, err := b.stop(patience * limit); err != nil || code != 0 {
		t.Errorf("shutdown: status %d, %v", code, err)
	}
}

// residentKiB is the memory of a process, as the kernel counts it.
func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("no VmRSS in %s", text)
	}
	return kib
}
