package keeper

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the tables. A full one is an answer (Busy, or an errno), never a
// drop.
const (
	maxChildren = 16384
	maxHeld     = 65536
	maxAnswers  = 8192
)

// runKey names a run for good.
type runKey struct {
	tag string
	run uint64
}

// entry is one run: spawning → alive → exited → gone → freed. A run that
// failed before its exec is freed when that is acknowledged and its process,
// if it had one, is reaped. The keeper's lock guards all of it.
type entry struct {
	key    runKey
	serves *conn  // a server's end of this; nil: it is a run
	pid    int    // 0: no process ever existed
	start  uint64 // field 22 of its stat
	atExit syscall.Signal
	seq    uint64 // highest signal acted on

	slot   *slot // while it is before its exec
	needed []int // what it shares with us until then: closed when it has left
	report int   // the same for a child of the exec-steps applet: where it reports; else -1
	execed bool
	failed bool
	dead   bool // its main process is a zombie
	reaped bool // its main process has ended and its number is free
	gone   bool
	noExec bool

	step   string
	errno  syscall.Errno
	status syscall.WaitStatus
	at     int64
	usage  unix.Rusage

	acked  kinds
	owed   kinds // to be told to the present server
	queued bool  // it is in keeper.owing
	place  int   // in children.order

	// proven is when its group was last known never to have been empty, in
	// ticks of CLOCK_BOOTTIME. See groups.go.
	proven uint64
}

// kinds is a set of event kinds.
type kinds uint16

func (k kinds) has(kind EventKind) bool { return k&(1<<kind) != 0 }
func (k *kinds) add(kind EventKind)     { *k |= 1 << kind }

// phase is what happened last.
func (e *entry) phase() EventKind {
	switch {
	case e.failed:
		return Failed
	case e.gone:
		return Gone
	case e.reaped:
		return Exited
	case e.execed:
		return Execed
	}
	return Spawned
}

// spawning reports whether e's process is still before its exec.
func (e *entry) spawning() bool { return e.slot != nil || e.report >= 0 }

// over reports whether nothing more can happen to e that a server must know.
func (e *entry) over() bool {
	if e.failed {
		return e.acked.has(Failed) && (e.reaped || e.pid == 0)
	}
	return e.acked.has(Exited) && e.acked.has(Gone)
}

// event is all that is known about e, told as kind.
func (e *entry) event(kind EventKind) Event {
	return Event{
		Kind: kind, Tag: e.key.tag, Run: e.key.run, Pid: e.pid, StartTime: e.start,
		Step: e.step, Errno: e.errno, Status: e.status, NoExec: e.noExec, AtNS: e.at,
		UserUS: micros(e.usage.Utime), SysUS: micros(e.usage.Stime), MaxRSSKB: int64(e.usage.Maxrss),
		Seq: e.seq,
	}
}

func micros(tv unix.Timeval) int64 { return tv.Nano() / int64(time.Microsecond) }

func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// children is the table of runs.
type children struct {
	byKey map[runKey]*entry
	byPid map[int]*entry      // those whose main process is not reaped
	order []*entry            // as they were spawned; freed ones are nil until it is packed
	freed int                 // how many of order are nil
	left  map[*entry]struct{} // exited, and somebody of their group lives
}

func newChildren() children {
	return children{byKey: map[runKey]*entry{}, byPid: map[int]*entry{}, left: map[*entry]struct{}{}}
}

func (c *children) full() bool { return len(c.byKey) >= maxChildren }

func (c *children) add(e *entry) {
	c.byKey[e.key] = e
	if e.pid > 0 {
		c.byPid[e.pid] = e
	}
	e.place = len(c.order)
	c.order = append(c.order, e)
}

// free forgets e if it is over.
func (c *children) free(e *entry) {
	if !e.over() || c.byKey[e.key] != e {
		return
	}
	delete(c.byKey, e.key)
	delete(c.left, e)
	c.order[e.place] = nil
	c.freed++
	if c.freed > len(c.order)/2 {
		c.pack()
	}
}

// pack closes the gaps in order.
func (c *children) pack() {
	kept := c.order[:0]
	for _, e := range c.order {
		if e != nil {
			e.place = len(kept)
			kept = append(kept, e)
		}
	}
	clear(c.order[len(kept):])
	c.order, c.freed = kept, 0
}
