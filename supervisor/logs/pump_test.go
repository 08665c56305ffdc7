package logs

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keeper holds descriptors as the real one does: it answers later, from
// another goroutine.
type keeper struct {
	mu     sync.Mutex
	p      *Pump
	held   map[string]int // dups
	drops  []string
	refuse map[string]int // how many times Hold fails
	silent bool           // no answer
	queue  chan func()
}

func newKeeper(t testing.TB) *keeper {
	k := &keeper{held: map[string]int{}, refuse: map[string]int{}, queue: make(chan func(), 1<<16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range k.queue {
			f()
		}
	}()
	t.Cleanup(func() {
		close(k.queue)
		<-done
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, fd := range k.held {
			unix.Close(fd)
		}
	})
	return k
}

func (k *keeper) Hold(name string, fds ...int) {
	dup, err := unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent {
		unix.Close(dup)
		return
	}
	k.queue <- func() {
		k.mu.Lock()
		if k.refuse[name] > 0 {
			k.refuse[name]--
			err = errors.New("table full")
			unix.Close(dup)
		} else {
			if old, ok := k.held[name]; ok {
				unix.Close(old)
			}
			k.held[name] = dup
		}
		p := k.p
		k.mu.Unlock()
		p.Held(name, err)
	}
}

func (k *keeper) Drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drops = append(k.drops, name)
	k.queue <- func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if fd, ok := k.held[name]; ok {
			unix.Close(fd)
			delete(k.held, name)
		}
	}
}

func (k *keeper) dropped(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.drops {
		if d == name {
			return true
		}
	}
	return false
}

// all returns new descriptors of everything held.
func (k *keeper) all(t testing.TB) map[string][]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string][]int{}
	for name, fd := range k.held {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = []int{dup}
	}
	return out
}

func newPump(t testing.TB) (*Pump, *keeper) {
	t.Helper()
	k := newKeeper(t)
	p, err := NewPump(k)
	if err != nil {
		t.Fatal(err)
	}
	k.p = p
	t.Cleanup(func() { p.Close(0) })
	return p, k
}

// out is the write end of an attached pipe.
type out struct {
	t  testing.TB
	fd int
}

func attach(t testing.TB, p *Pump, service string, run uint64, s Stream) *out {
	t.Helper()
	r, w := pipe2(t)
	p.Attach(service, run, s, r, fmt.Sprintf("pipe/%s/%d/%s", service, run, s))
	return w
}

func pipe2(t testing.TB) (int, *out) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	o := &out{t, fds[1]}
	t.Cleanup(o.close)
	return fds[0], o
}

func (o *out) write(s string) {
	o.t.Helper()
	for b := []byte(s); len(b) > 0; {
		n, err := unix.Write(o.fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			o.t.Errorf("write: %v", err)
			return
		}
		b = b[n:]
	}
}

func (o *out) close() {
	if o.fd >= 0 {
		unix.Close(o.fd)
		o.fd = -1
	}
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
		unix.Poll(nil, 1)
	}
}

// isReady says whether a service has a store that is held.
func isReady(p *Pump, service string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stores[service]
	return s != nil && s.ready()
}

// text shows lines in one string: "out:one out:two~ (3)err:x", ~ is Partial.
func text(lines []Line) string {
	var parts []string
	for _, l := range lines {
		s := l.Stream.String()[3:] + ":" + string(l.Text)
		if l.Partial {
			s += "~"
		}
		if l.Dropped > 0 {
			s = fmt.Sprintf("(%d)", l.Dropped) + s
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func waitText(t testing.TB, p *Pump, service, want string) {
	t.Helper()
	var got string
	end := time.Now().Add(time.Minute)
	for got = text(p.Tail(service, -1)); got != want; got = text(p.Tail(service, -1)) {
		if time.Now().After(end) {
			t.Fatalf("%s has %q, want %q", service, got, want)
		}
		unix.Poll(nil, 1)
	}
}

func TestWhatAServicePrintsIsKept(t *testing.T) {
	p, k := newPump(t)
	o, e := attach(t, p, "web", 1, Stdout), attach(t, p, "web", 1, Stderr)
	o.write("one\ntw")
	waitText(t, p, "web", "out:one out:tw~")
	e.write("oops\n")
	waitText(t, p, "web", "out:one err:oops out:tw~")
	o.write("o\nlast")
	waitText(t, p, "web", "out:one err:oops out:two out:last~")
	o.close()
	waitFor(t, "the pipe's name is dropped", func() bool { return k.dropped("pipe/web/1/stdout") })
	waitText(t, p, "web", "out:one err:oops out:two out:last~")
	if kept, dropped := p.Size("web"); kept != 17 || dropped != 0 {
		t.Errorf("kept %d, dropped %d; want 17, 0", kept, dropped)
	}
}
