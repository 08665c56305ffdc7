package keeper

import (
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// garbage returns datagrams that are no requests, or nearly are some: valid
// ones with bytes changed, cut, repeated and joined. None of them may start a
// process or end the keeper in order, which a request of a server may.
func garbage(seed uint64, n int) (list [][]byte) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	requests := everyRequest()
	for len(list) < n {
		var e encoder
		for range 1 + rnd.IntN(3) {
			r := &requests[rnd.IntN(len(requests))]
			e.request(r)
		}
		b := e.b
		for range rnd.IntN(6) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		switch rnd.IntN(4) {
		case 0:
			b = b[:1+rnd.IntN(len(b))]
		case 1:
			for range rnd.IntN(64) {
				b = append(b, byte(rnd.Uint32()))
			}
		}
		if harmless(b) {
			list = append(list, b)
		}
	}
	return list
}

// harmless reports whether b asks for nothing that a keeper does.
func harmless(b []byte) bool {
	yes := true
	_ = records(b, func(kind byte, d *decoder) error {
		_, err := decodeRequest(kind, d)
		switch kind {
		case recSpawn, recEnd, recUpgrade, recHold, recHello, recNext, recReady:
			yes = yes && err != nil
		}
		return err
	})
	return yes
}

func TestGarbageDoesNotStopTheKeeper(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	w := newWorld(t)
	s := w.server().ready()
	first := s.alive(run(1, "exec sleep 1000"))
	s.do(order{Op: "hold", Name: "kept", Text: []byte("x")})
	s.next(Held)
	fds, threads := w.fds(), w.threads()
	for i, b := range garbage(1, n) {
		s.do(order{Op: "raw", Text: b, N: i % 5}) // with descriptors that nobody claims
		if i%100 == 0 {
			s.sync()
		}
	}
	s.sync()
	waitUntil(t, "the keeper's descriptors to be as before", func() bool { return w.fds() <= fds })
	if got := w.threads(); got > threads {
		t.Errorf("the keeper has %d threads, had %d", got, threads)
	}
	s.signal(Signal{Tag: "t", Run: 1, Seq: 1, Sig: unix.SIGCONT})
	for s.next2().Kind != Signaled {
	}
	n2 := s.kill()
	if c := child(t, n2.welcome, "t", 1); c.Pid != first.Pid || c.Phase != Execed {
		t.Errorf("the run is %+v", c)
	}
	if got := n2.ask(order{Op: "read", Name: "kept"}); got != "x" {
		t.Errorf("what was held is now %q", got)
	}
	n2.end(0)
}

// FuzzKeeperRequests: whatever a server sends, the keeper does what it asks
// for or ignores it, closes what nobody claims, and does not panic. No slot is
// free in this keeper, so that a spawn is answered with Busy.
func FuzzKeeperRequests(f *testing.F) {
	for _, r := range everyRequest() {
		var e encoder
		e.request(&r)
		f.Add(e.b)
	}
	for _, b := range garbage(2, 50) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(pair[:])
		k := fuzzed()
		c := &conn{in: k.in, out: &wire{fd: pair[0]}, life: life{done: make(chan struct{}), over: true}}
		k.conn = c
		fd, err := unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		surplus := k.handleAll(c, b, []int{fd}, false)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.flush()
		kept := k.binaries.trial >= 0
		for _, fds := range k.held.fds {
			kept = kept || len(fds) > 0
			closeAll(fds)
		}
		if k.binaries.trial >= 0 {
			unix.Close(k.binaries.trial)
		}
		if kept == (len(surplus) > 0) {
			t.Errorf("the descriptor is kept: %v; to be closed are %v", kept, surplus)
		}
		closeAll(surplus)
		k.children.check(t)
	})
}

// fuzzed is a keeper without processes, goroutines and slots.
func fuzzed() *keeper {
	k := &keeper{
		opt: Options{Tick: DefaultTick, Probation: DefaultProbation, Patience: DefaultPatience}, arena: &arena{},
		binaries: binaries{good: -1, trial: -1}, children: newChildren(), held: held{fds: map[string][]int{}},
		in: newReceiver(-1), hurry: make(chan struct{}, 1), starved: true,
	}
	k.arena.kick = new(uint32)
	for _, c := range []*sync.Cond{&k.born, &k.wrote, &k.stuck, &k.roomy, &k.poked} {
		c.L = &k.mu
	}
	return k
}

// check checks that no entry was made.
func (c *children) check(t *testing.T) {
	t.Helper()
	if len(c.byKey)+len(c.byPid)+len(c.left) > 0 {
		t.Errorf("entries were made: %+v", c.byKey)
	}
}
