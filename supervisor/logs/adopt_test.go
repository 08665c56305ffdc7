package logs

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
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

// After a shortage of memory a quarter of every store stays, before anybody has
// said how much each may keep. What is missing is counted like all that is
// dropped, memory is given back, and the limits are as before.
func TestAQuarterOfEveryStoreStays(t *testing.T) {
	const much = 1 << 20
	sizes := map[string]int64{"small": 100, "pages": 8 * page(), "big": much}
	p, k := newPump(t)
	p.LimitTotal(1 << 30)
	for name, size := range sizes {
		p.Configure(name, 1<<30)
		o := attach(t, p, name, 1, Stdout)
		o.write(string(bytes.Repeat([]byte("x\n"), int(size/2))))
		waitFor(t, "all to be stored", func() bool { kept, _ := p.Size(name); return kept == size })
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
	if err := next.Adopt(k.all(t)); err != nil {
		t.Fatal(err)
	}
	before := next.used
	var sum int64
	told := next.Quarter()
	for name, size := range sizes {
		kept, dropped := next.Size(name)
		sum += dropped
		if most := size/4 + page(); kept < size/4 || kept > most || kept+dropped != size {
			t.Errorf("%s: of %d bytes %d are kept and %d dropped; want %d to %d kept", name, size, kept, dropped, size/4, most)
		}
		if first := next.Tail(name, -1)[0]; first.Dropped != dropped {
			t.Errorf("%s: before the first line %d bytes are said to be missing, want %d", name, first.Dropped, dropped)
		}
		if blocks := blocksOf(t, next.stores[name].data); blocks > kept+page() {
			t.Errorf("%s: its file takes %d bytes, for %d", name, blocks, kept)
		}
	}
	if told != sum || before-next.used < sum {
		t.Errorf("%d bytes are said to be dropped, %d were; the count of memory went from %d to %d", told, sum, before, next.used)
	}
	next.Configure("big", 1<<30)
	next.LimitTotal(1 << 30)
	o := attach(t, next, "big", 2, Stdout)
	o.write(string(bytes.Repeat([]byte("y\n"), much/2)))
	_, dropped := next.Size("big")
	waitFor(t, "all to be stored", func() bool { kept, _ := next.Size("big"); return kept+dropped == 2*much })
}

// blocksOf is how much memory a file takes.
func blocksOf(t *testing.T, fd int) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
