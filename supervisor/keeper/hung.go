package keeper

import (
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// A server is hung when it owes an answer and gives no sign of life for ten
// ticks in a row. It owes an answer
//
//   - from its start until it has taken its whole welcome, and
//   - from each message that the keeper has sent until it says that it is done
//     with it.
//
// That word, recSeen, is given by the Client when what is told has been
// delivered, so the whole way is covered: the process runs, it reads, and
// whoever decides has taken the news. What it decided is not asked for: a fact
// may stay unacknowledged for long by a server that is well and cannot write
// its journal. Nor would an empty socket do as an answer: one that takes a
// message and then stands still has an empty socket.
//
// A server that is seen stopped is sent a message that asks for nothing, and
// so owes an answer like any other; one that is continued gives it.
//
// Each tick counts once however long it really took: after a pause of the whole
// machine it is one tick later, and the server has the other nine to answer.
// While nothing is owed nobody counts: no heartbeats, no wake-ups.

// tidyEvery is after how many births what they have left behind is given back, at
// the first tick without anything owed: some 250 bytes each. To collect sooner
// would take more than it gives, for the notes of a collection stay: 250 KiB for
// the first, 180 for the next three (measured).
const tidyEvery = 1024

// The ticks of a clock.
const (
	patienceTicks = 10 // without a sign of life, and until an upgrade is ready
	mercyTicks    = 2  // from SIGABRT, which has Go say where it stood, to SIGKILL
	buryTicks     = 5  // from SIGKILL until it is given up: it is stuck in the kernel
)

// clock counts the ticks of one server's life. The keeper's lock guards it.
type clock struct {
	timer   *time.Timer // made once
	running bool
	signs   uint64 // of life, seen at the last tick
	silent  int    // ticks in a row that an answer is owed
	unready int    // ticks that an upgrade was not ready
	doom    int    // 0, or ticks since SIGABRT and one
}

const (
	doomAbort = 1
	doomKill  = doomAbort + mercyTicks
	doomBury  = doomKill + buryTicks
)

func (t *clock) doomed() bool { return t.doom > 0 }

// owing reports whether the server at the other end of c owes an answer.
func (c *conn) owing() bool {
	return !c.dead && (!c.greeted || c.seen < c.told)
}

// onTrial reports whether an upgrade is still to become ready.
func (c *conn) onTrial() bool { return c.from.trial && !c.ready }

// watch has the clock of c run until nothing is owed. Lock held.
func (k *keeper) watch(c *conn) {
	if c.clock.running || c.over || !c.owing() && !c.onTrial() && !c.clock.doomed() {
		return
	}
	c.clock.running = true
	if c.clock.timer == nil {
		c.clock.timer = k.after(k.opt.Tick, "clock", func() { k.tick(c) })
	} else {
		c.clock.timer.Reset(k.opt.Tick)
	}
}

// tick counts one tick, and ends a server whose time is up.
func (k *keeper) tick(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := &c.clock
	t.running = false
	if c.over {
		return
	}
	if t.doomed() {
		k.pursue(c)
	} else {
		k.count(c)
	}
	if k.watch(c); !t.running && k.births-k.tidied >= tidyEvery {
		k.tidied = k.births
		go k.guarded("memory", debug.FreeOSMemory)
	}
}

// count counts one tick of a server that may live. Lock held.
func (k *keeper) count(c *conn) {
	t := &c.clock
	if t.signs != c.signs || !c.owing() {
		t.signs, t.silent = c.signs, 0
	} else {
		t.silent++
	}
	if c.onTrial() {
		t.unready++
	}
	within := patienceTicks * k.opt.Tick
	switch {
	case t.silent >= patienceTicks:
		k.condemn(c, fmt.Sprintf("hung: it gave no answer for %v", within))
	case t.unready >= patienceTicks:
		k.condemn(c, fmt.Sprintf("was not ready within %v", within))
	}
}

// condemn begins to end a server that is at fault. Lock held.
func (k *keeper) condemn(c *conn, fault string) {
	c.fault = fault
	c.clock.doom = doomAbort
	k.unserved(c)
	c.server.kill(unix.SIGABRT)
	c.server.kill(unix.SIGCONT) // one that is stopped would not take it
	k.watch(c)
}

// killServer ends a server, if there is one, at once. Lock held.
func (k *keeper) killServer(c *conn) {
	if c != nil && c.clock.doom < doomKill {
		c.clock.doom = doomKill
		k.unserved(c)
		c.server.kill(unix.SIGKILL)
		k.watch(c)
	}
}

// pursue counts one tick of a server that is being ended. Lock held.
func (k *keeper) pursue(c *conn) {
	c.clock.doom++
	switch c.clock.doom {
	case doomKill:
		c.server.kill(unix.SIGKILL)
	case doomBury:
		c.finish()
		if k.conn == c {
			_ = unix.Shutdown(c.out.fd, unix.SHUT_RDWR) // what it has left is read, no more
		}
	}
}

// unserved notes that the server at the other end of c serves no longer. Lock
// held.
func (k *keeper) unserved(c *conn) {
	if k.conn == c {
		k.setReady(false)
	}
}
