package keeper

import (
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The end of an exec is seen by a word in the child's slot: the kernel clears
// it and wakes whoever waits for it when the child leaves our memory, be it by
// exec or by death. One goroutine waits for all of them at once.

// futexWait is struct futex_waitv.
type futexWait struct {
	val      uint64
	addr     uint64
	flags    uint32
	reserved uint32
}

const (
	sysFutexWaitv = 449 // on all processors, since Linux 5.16
	futexSize32   = 2
	futexWaitOp   = 0 // FUTEX_WAIT; neither is private, the kernel wakes the shared one
	futexWakeOp   = 1 // FUTEX_WAKE
	futexOp       = 5 // FUTEX_WAKE_OP

	futexTID = 1<<30 - 1 // FUTEX_TID_MASK
	// futexWaiters is FUTEX_OP(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 31, FUTEX_OP_CMP_EQ, 0):
	// it sets FUTEX_WAITERS, which is bit 31. Source: futex(2).
	futexWaiters = (2|8)<<28 | 31<<12
)

// pollStarting is how often the starting children are looked at where
// futex_waitv does not exist. Nothing is polled when none is starting.
const pollStarting = 2 * time.Millisecond

// tellSpawned is how long an exec may take before its child is told of alone.
const tellSpawned = 20 * time.Millisecond

// watchOnce waits for the first of the starting children to leave its slot,
// or for a new one to join them, and settles those that have left.
func (k *keeper) watchOnce() {
	list, n, untold := k.watched()
	var until *unix.Timespec
	if untold {
		t := unix.NsecToTimespec(monotonic() + int64(tellSpawned))
		until = &t
	}
	_, _, errno := syscall.Syscall6(sysFutexWaitv, uintptr(unsafe.Pointer(&list[0])), uintptr(n), 0, uintptr(unsafe.Pointer(until)), unix.CLOCK_MONOTONIC, 0)
	if errno == syscall.ENOSYS || errno == syscall.EPERM {
		k.watchPolling(list[0].val, n > 1)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settleAll()
	k.flush()
}

// watched lists the words to wait for: the kick word and one a child. A word
// that has changed before the wait makes the wait return at once.
// untold says that one of them is not known to the server yet.
func (k *keeper) watched() (list [slotCount + 1]futexWait, n int, untold bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list[0] = waitFor(k.arena.kick, atomic.LoadUint32(k.arena.kick))
	n = 1
	for _, e := range k.starting {
		alive := atomic.LoadUint32(&e.slot.head.alive)
		if gone(alive) {
			alive = 1 // no child's: the wait returns at once
		}
		list[n] = waitFor(&e.slot.head.alive, alive)
		n++
		untold = untold || e.owed.has(Spawned)
	}
	return list, n, untold
}

func waitFor(word *uint32, val uint32) futexWait {
	return futexWait{val: uint64(val), addr: uint64(uintptr(unsafe.Pointer(word))), flags: futexSize32}
}

// watchPolling waits for a kick, and while a child is starting not for long.
func (k *keeper) watchPolling(kicks uint64, starting bool) {
	var timeout *unix.Timespec
	if starting {
		t := unix.NsecToTimespec(int64(pollStarting))
		timeout = &t
	}
	_, _, _ = syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(k.arena.kick)), futexWaitOp, uintptr(kicks), uintptr(unsafe.Pointer(timeout)), 0, 0)
}

// kick tells the watcher of children it does not know. In a burst of spawns
// that is done once, at its end: meanwhile who spawns looks for himself. Lock
// held.
func (k *keeper) kick() {
	if !k.unseen {
		return
	}
	k.unseen = false
	atomic.AddUint32(k.arena.kick, 1)
	_, _, _ = syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(k.arena.kick)), futexWakeOp, 1, 0, 0, 0)
}
