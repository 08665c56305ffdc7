package supervisor

import (
	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
)

// crash ends the server and lets another take over. What was told and is not
// acknowledged is in the welcome; nothing else is known to the successor.
func (w *world) crash() {
	w.t.Helper()
	w.note("crash")
	w.setFull(false)
	for _, fd := range w.s.holding {
		unix.Close(fd)
	}
	w.s.journal.Close()
	unix.Close(w.s.history)
	w.queue, w.wire = nil, -1
	wel := &keeper.Welcome{Generation: w.gen + 1, KeeperPID: 1, Held: map[string][]int{}}
	for _, r := range w.spawned {
		if w.runs[key(r.Tag, r.Run)] != r {
			continue
		}
		wel.Children = append(wel.Children, r.Child)
		if r.watch && !r.unwatched {
			wel.Held[r.pipe()] = []int{-1}
			if r.ready {
				w.queue = append(w.queue, keeper.Event{Kind: newline, Tag: r.Tag, Name: r.pipe()})
			}
		}
	}
	for name, fd := range w.held {
		mine, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			w.t.Fatalf("%v", err)
		}
		wel.Held[name] = []int{mine}
	}
	w.successor()
	w.takes = true
	if err := w.s.Begin(wel); err != nil {
		w.fail("takeover: %v", err)
	}
	w.takes = false
	w.after("takeover")
	first := w.s.first
	w.s.first = nil
	for _, n := range first {
		w.s.take(n)
		w.after("takeover: " + n.event.Kind.String() + " " + n.event.Tag)
	}
	w.allKilled()
}

// full is a journal that takes nothing.
var full = func() *journal.Journal {
	fd, err := unix.MemfdCreate("full", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		panic(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		panic(err)
	}
	j, _, err := journal.Open(fd)
	if err != nil {
		panic(err)
	}
	return j
}()

// setFull lets the journal refuse from now on, or take again.
func (w *world) setFull(on bool) {
	switch {
	case on && w.whole == nil:
		w.whole, w.s.journal = w.s.journal, full
	case !on && w.whole != nil:
		w.s.journal, w.whole = w.whole, nil
	}
}

// close gives back every descriptor.
func (w *world) close() {
	w.setFull(false)
	w.s.journal.Close()
	unix.Close(w.s.history)
	for _, fd := range w.s.holding {
		unix.Close(fd)
	}
	for name := range w.held {
		w.drop(name)
	}
}
