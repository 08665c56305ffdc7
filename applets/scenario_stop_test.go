package applets_test

import (
	"testing"
	"time"
)

// stopped asks for a stop, and returns how long the answer took.
func (b *bed) stopped(name string) time.Duration {
	begin := time.Now()
	b.mustCall("service.stop", named{"name": name, "wait": true}, nil)
	return time.Since(begin)
}

// Scenario 86: TERM is obeyed, nothing else is sent, and the state follows
// the exit at once.
func TestScenario086AnObeyedTermIsTheWholeStop(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 100ms\"\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	b.stopped("a")
	answered := time.Now()
	b.ended(p)
	if len(b.matching("EXIT a 0")) != 1 || len(b.matching("TERM a")) != 1 {
		t.Errorf("the witness saw %q", b.records())
	}
	if late := time.Since(answered); late > time.Second {
		t.Errorf("the answer came %v before the end", late)
	}
	f := b.full("a")
	if f.State.State != "exited" || f.LastExit == nil || f.LastExit.Killed || f.LastExit.Signal != 0 {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}

// Scenario 87: TERM is ignored; SIGKILL comes at the stop timeout, to the
// whole group, and the record says so.
func TestScenario087AnIgnoredTermEndsInAKillAtTheTimeout(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -ignore-term -fork 2 -fork-ignore-term\"\n[lifecycle]\nstop_timeout_ms = 1000\n")
	b.serve()
	p := b.witnessed(1, "START a").proc
	b.witnessed(2, "START a.child")
	took := b.stopped("a")
	if took < timeout-100*time.Millisecond || took > patience*(timeout+500*time.Millisecond) {
		t.Errorf("the stop took %v, want about %v", took, timeout)
	}
	b.ended(p)
	for _, child := range b.matching("START a.child") {
		b.ended(child.proc)
	}
	if len(b.matching("TERM a")) != 1 || len(b.matching("EXIT a.*")) != 0 {
		t.Errorf("the witness saw %q", b.records())
	}
	f := b.full("a")
	if f.State.State != "exited" || f.LastExit == nil || !f.LastExit.Killed || f.LastExit.Signal != 9 {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}

// Scenario 88: a service that needs most of its stop timeout gets it.
func TestScenario088TheTimeoutIsHonouredBothWays(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -term-delay 1600ms\"\n[lifecycle]\nstop_timeout_ms = 2000\n")
	b.serve()
	b.witnessed(1, "START a")
	b.stopped("a")
	if len(b.matching("EXIT a 0")) != 1 {
		t.Errorf("it was killed early; the witness saw %q", b.records())
	}
	if f := b.full("a"); f.LastExit == nil || f.LastExit.Killed || f.State.State != "exited" {
		t.Errorf("zinit says %s, last exit %+v", f.State.State, f.LastExit)
	}
}
