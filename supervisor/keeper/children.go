package keeper

import (
	"cmp"
	"maps"
	"slices"
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

// entry is one run: spawning → alive → exited → gone → over. A run that
// failed before its exec is over when that is acknowledged and its process,
// if it had one, is reaped. What is over is not told of, and is freed when none
// of its pipes is held any more. The keeper's lock guards all of it. It is
// small, because a thousand of them are most of the keeper's memory.
type entry struct {
	key    runKey
	serves *conn  // a server's end of this; nil: it is a run
	pid    int    // 0: no process ever existed
	start  uint64 // field 22 of its stat
	atExit syscall.Signal
	seq    uint64 // highest signal acted on

	step   string
	errno  syscall.Errno
	at     int64
	user   int64 // processor time, microseconds
	sys    int64
	maxRSS int64  // KiB
	place  uint64 // among those added
	proven uint64 // when its group was last known never to have been empty, as start; see groups.go

	slot   *slot            // while it is before its exec
	report int32            // the same for a child of the exec-steps applet: where it reports; else 0
	pipes  [len(ends)]int32 // the read ends that are held; 0: none
	status syscall.WaitStatus

	acked  kinds
	owed   kinds // to be told to the present server
	queued bool  // it is in keeper.owing
	execed bool
	failed bool
	dead   bool // its main process is a zombie
	reaped bool // its main process has ended and its number is free
	gone   bool
	noExec bool
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
func (e *entry) spawning() bool { return e.slot != nil || e.report > 0 }

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
		UserUS: e.user, SysUS: e.sys, MaxRSSKB: e.maxRSS,
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
	left  map[*entry]struct{} // exited, and somebody of their group lives
	added uint64
}

func newChildren() children {
	return children{byKey: map[runKey]*entry{}, byPid: map[int]*entry{}, left: map[*entry]struct{}{}}
}

func (c *children) add(e *entry) {
	c.byKey[e.key] = e
	if e.pid > 0 {
		c.byPid[e.pid] = e
	}
	c.added++
	e.place = c.added
}

// free forgets e if nothing of it is left.
func (c *children) free(e *entry) {
	if e.over() && e.pipes == [len(ends)]int32{} {
		delete(c.byKey, e.key)
	}
}

// inOrder returns all runs as they were spawned.
func (c *children) inOrder() []*entry {
	runs := slices.AppendSeq(make([]*entry, 0, len(c.byKey)), maps.Values(c.byKey))
	slices.SortFunc(runs, func(a, b *entry) int { return cmp.Compare(a.place, b.place) })
	return runs
}
