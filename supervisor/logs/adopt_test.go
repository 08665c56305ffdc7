package logs

import (
	"bytes"
	"testing"
)

// A successor learns only after it has taken over the stores how much each may
// keep. It used to cut all of them to the default meanwhile: with every kill of
// the server a service that may keep 1 GiB was left with 256 KiB, and all
// together with 64 MiB.
func TestASuccessorCutsNothingBeforeItIsTold(t *testing.T) {
	const much = 4 * DefaultBuffer
	p, k := newPump(t)
	p.Configure("web", 1<<30)
	p.Configure("gone", 1<<30)
	for _, name := range []string{"web", "gone"} {
		o := attach(t, p, name, 1, Stdout)
		o.write(string(bytes.Repeat([]byte("0123456789abcde\n"), much/16)))
		waitFor(t, "all to be stored", func() bool { kept, _ := p.Size(name); return kept == much })
	}
	p.Close(0)
	next, err := NewPump(k)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close(0)
	k.mu.Lock()
	k.p = next
	k.mu.Unlock()
	next.mu.Lock()
	next.total = much // less than what there is, until more is allowed
	next.mu.Unlock()
	if err := next.Adopt(k.all(t)); err != nil {
		t.Fatal(err)
	}
	next.Write([]byte("what zinit says meanwhile cuts nothing either"))
	next.Configure("web", 1<<30)
	next.LimitTotal(1 << 30)
	if kept, dropped := next.Size("web"); kept != much || dropped != 0 {
		t.Errorf("of %d bytes %d were kept, %d dropped", much, kept, dropped)
	}
	if kept, _ := next.Size("gone"); kept > DefaultBuffer+2*page() {
		t.Errorf("a service that nobody configures keeps %d bytes, want %d", kept, DefaultBuffer)
	}
	next.LimitTotal(much / 2)
	if kept, _ := next.Size("web"); kept > much/2 {
		t.Errorf("%d bytes are kept, want %d for all together", kept, much/2)
	}
}
