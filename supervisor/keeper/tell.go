package keeper

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How much goes into one datagram. Small enough that a full socket is soon
// writable again, large enough that a thousand children are few messages.
const (
	fullEvents  = 8 << 10
	fullWelcome = 48 << 10
)

// conn is the keeper's end of the pair with one server. The keeper's lock
// guards all but in, which only the goroutine that serves it touches.
type conn struct {
	in, out *wire
	greeted bool // its welcome is over: events may go
	blocked bool // the socket took no more; the writer goroutine waits for room
	scarce  bool // and room alone will not help: wait a little
	waited  bool // the writer goroutine is using the descriptor
	dead    bool // nobody reads it any more
	nudge   bool // it is owed something to answer: see hung.go
	welcome *welcoming

	life // of the server at the other end
}

// welcoming is a welcome under way.
type welcoming struct {
	head  bool
	runs  []*entry
	names []string
}

// owe notes that e's kind is to be told. Lock held.
func (k *keeper) owe(e *entry, kind EventKind) {
	e.owed.add(kind)
	k.urgent = k.urgent || kind != Spawned
	if !e.queued {
		e.queued = true
		k.owing = append(k.owing, e)
	}
}

// answer owes ev to the server that asked, and to nobody when it is dead:
// its successor will ask again. Lock held.
func (k *keeper) answer(ev Event) {
	if k.conn == nil || k.conn.dead || len(k.answers) >= maxAnswers {
		return
	}
	k.answers, k.urgent = append(k.answers, ev), true
}

// owes reports whether anything waits to be told. Lock held.
func (k *keeper) owes() bool {
	return len(k.answers) > 0 || len(k.owing) > 0 || k.asks.owed() || k.conn != nil && k.conn.nudge
}

// forgive forgets what was owed to a server: the next welcome tells all that
// is still true. Lock held.
func (k *keeper) forgive() {
	for _, e := range k.owing {
		e.owed, e.queued = 0, false
	}
	clear(k.owing)
	k.owing, k.answers = k.owing[:0], k.answers[:0]
	k.asks.told()
}

// flush tells what is owed as far as the socket takes it, and never waits.
// Lock held.
func (k *keeper) flush() {
	c := k.conn
	k.urgent = false
	for c != nil && c.greeted && !c.blocked && !c.dead && k.owes() {
		k.enc.b, k.fds = k.enc.b[:0], k.fds[:0]
		answers, entries := k.packEvents()
		switch errno := c.out.send(k.enc.b, k.fds, unix.MSG_DONTWAIT); {
		case errno == 0:
			k.told(answers, entries)
			c.nudge = false
			c.told++
			k.watch(c)
		case scarce(errno):
			c.blocked, c.scarce = true, errno != syscall.EAGAIN
			k.stuck.Signal()
		default:
			c.dead = true
			k.forgive()
		}
	}
}

// packEvents fills the next datagram and returns how many answers and entries
// are in it. Lock held.
func (k *keeper) packEvents() (answers, entries int) {
	if k.conn.nudge {
		k.enc.end(k.enc.begin(recNudge))
	}
	for _, a := range k.asks.pending() {
		k.enc.event(recEvent, &Event{Kind: Asked, Ask: a})
	}
	for answers < len(k.answers) && len(k.enc.b) < fullEvents {
		k.enc.event(recEvent, &k.answers[answers])
		answers++
	}
	for entries < len(k.owing) && len(k.enc.b) < fullEvents && len(k.fds)+len(ends) < maxPassed {
		k.packEntry(k.owing[entries])
		entries++
	}
	return answers, entries
}

// packEntry appends all that is owed about e, in the order it happened.
func (k *keeper) packEntry(e *entry) {
	for kind := Spawned; kind <= Gone; kind++ {
		if !e.owed.has(kind) {
			continue
		}
		ev := e.event(kind)
		if kind == Spawned {
			ev.FDs = k.packReadEnds(e)
		}
		k.enc.event(recEvent, &ev)
	}
}

// packReadEnds packs the read ends of e that are still held, and names them.
func (k *keeper) packReadEnds(e *entry) []NamedFD {
	k.named = k.named[:0]
	for end, fd := range e.pipes {
		if fd > 0 {
			k.named = append(k.named, NamedFD{Name: pipeName(e.key, end)})
			k.fds = append(k.fds, int(fd))
		}
	}
	return k.named
}

// told strikes off what a datagram that went out held. Lock held.
func (k *keeper) told(answers, entries int) {
	k.asks.told()
	k.answers = slices.Delete(k.answers, 0, answers)
	for _, e := range k.owing[:entries] {
		e.owed, e.queued = 0, false
	}
	k.owing = slices.Delete(k.owing, 0, entries)
}

// writeOnce waits until the socket that blocked takes more, then flushes. It
// is the only place where the keeper waits to write.
func (k *keeper) writeOnce() {
	fd, scarce := k.awaitStuck()
	if scarce {
		time.Sleep(10 * time.Millisecond)
	} else {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn.waited, k.conn.blocked = false, false
	k.flush()
	k.wrote.Broadcast()
}

// awaitStuck waits until a send would have blocked. The descriptor stays open
// until writeOnce lets go of it.
func (k *keeper) awaitStuck() (fd int, scarce bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.conn == nil || !k.conn.blocked {
		k.stuck.Wait()
	}
	k.conn.waited = true
	return k.conn.out.fd, k.conn.scarce
}

// greet begins a welcome. What happens from here on is told after it, even if
// a part of the welcome that is still to come tells it too. Lock held.
func (k *keeper) greet(c *conn) {
	k.forgive()
	c.greeted = false
	c.welcome = &welcoming{head: true, runs: k.children.inOrder(), names: slices.Sorted(maps.Keys(k.held.fds))}
}

// welcomeNext sends the next message of the welcome. Each waits for the
// server's word that the one before has arrived, so the socket has room.
// Lock held.
func (k *keeper) welcomeNext(c *conn) {
	if c.welcome == nil {
		return
	}
	k.enc.b, k.fds = k.enc.b[:0], k.fds[:0]
	last := k.packWelcome(c.welcome)
	if errno := c.out.send(k.enc.b, k.fds, unix.MSG_DONTWAIT); errno != 0 {
		// A server that is not reading its own welcome is no server.
		c.fault = "did not read its welcome"
		k.killServer(c)
		return
	}
	if last {
		c.welcome, c.greeted = nil, true
		k.flush()
	}
}

// packWelcome fills the next message, and reports whether it is the last.
func (k *keeper) packWelcome(w *welcoming) (last bool) {
	if w.head {
		w.head = false
		k.packHead()
	}
	for len(w.runs) > 0 && len(k.enc.b) < fullWelcome && len(k.fds)+len(ends) <= maxPassed {
		k.packRun(w.runs[0])
		w.runs = w.runs[1:]
	}
	for len(w.names) > 0 && len(k.enc.b) < fullWelcome {
		fds := k.held.fds[w.names[0]]
		if len(k.fds)+len(fds) > maxPassed {
			return false
		}
		k.packHeld(w.names[0], len(fds))
		k.fds = append(k.fds, fds...)
		w.names = w.names[1:]
	}
	if len(w.runs)+len(w.names) > 0 {
		return false
	}
	k.enc.end(k.enc.begin(recWelcomeEnd))
	return true
}

// packRun tells of a run, unless it is over, and of its pipes.
func (k *keeper) packRun(e *entry) {
	if !e.over() {
		ev := e.event(e.phase())
		k.enc.event(recChild, &ev)
	}
	for end, fd := range e.pipes {
		if fd > 0 {
			k.packHeld(pipeName(e.key, end), 1)
			k.fds = append(k.fds, int(fd))
		}
	}
}

// packHeld says under which name the next n descriptors are held.
func (k *keeper) packHeld(name string, n int) {
	at := k.enc.begin(recHeld)
	k.enc.str(name)
	k.enc.num(n)
	k.enc.end(at)
}

// packHead says who the server is, and what was asked and is not acknowledged.
func (k *keeper) packHead() {
	at := k.enc.begin(recWelcome)
	k.enc.u64(k.generation)
	k.enc.num(k.failures)
	k.enc.flag(k.conn.probation)
	k.enc.num(unix.Getpid())
	k.enc.str(k.binaries.failed)
	k.conn.failure = k.binaries.failed != ""
	k.enc.u64(k.binaries.number)
	k.enc.end(at)
	for _, a := range k.asks.unacknowledged() {
		at := k.enc.begin(recAsk)
		k.enc.ask(a)
		k.enc.by(a)
		k.enc.end(at)
	}
	if k.killed {
		k.enc.end(k.enc.begin(recKilled))
	}
}
