package keeper

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reapOnce collects what has ended, ours or adopted. It looks first, without
// taking: the number of a process is free the moment its status is taken, so
// that is done under the lock under which signals are sent.
func (k *keeper) reapOnce() {
	births := k.birthsNow()
	pid, code, errno := peek(0)
	if errno == syscall.ECHILD {
		k.awaitBirth(births)
		return
	}
	// What ends together is told together.
	for n := 0; errno == 0 && pid > 0 && n < 16; n++ {
		if code == stopped {
			k.seenStopped(pid)
		} else {
			k.reap(pid, code == byItself)
		}
		pid, code, errno = peek(unix.WNOHANG)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookAtGroups()
	k.flush()
}

// What peek says of a process; anything else is a death by signal.
const (
	byItself = 1 // CLD_EXITED
	stopped  = 5 // CLD_STOPPED
)

// peek returns a process that has ended and is not reaped or was stopped, and
// which of them; 0 with WNOHANG when there is none. Without a child it fails
// with ECHILD.
func peek(flags int) (pid int, code int32, errno syscall.Errno) {
	const (
		atCode = 8 // after si_signo, si_errno
		atPid  = 8 + unsafe.Sizeof(uintptr(0))
	)
	var info [128]byte
	_, _, errno = syscall.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)), uintptr(unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|flags), 0, 0)
	code = *(*int32)(unsafe.Pointer(&info[atCode]))
	return int(*(*int32)(unsafe.Pointer(&info[atPid]))), code, errno
}

// seenStopped takes the news that a process was stopped, without its status
// should it have ended meanwhile. A server is asked for a sign of life.
func (k *keeper) seenStopped(pid int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _, _ = syscall.Syscall6(unix.SYS_WAITID, unix.P_PID, uintptr(pid), 0, uintptr(unix.WSTOPPED|unix.WNOHANG), 0, 0)
	if k.server != nil && k.server.pid == pid && k.conn != nil {
		k.conn.nudge = true
	}
}

func (k *keeper) birthsNow() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.births
}

// awaitBirth sleeps until a child is born after the count that was read before
// there was none.
func (k *keeper) awaitBirth(births uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.births == births {
		k.born.Wait()
	}
}

// reap takes the status of a process that has ended.
func (k *keeper) reap(pid int, exited bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.lookup(pid) == nil && k.cloning {
		k.born.Wait()
	}
	e := k.lookup(pid)
	if e == nil {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // an orphan
	} else {
		k.last(e, exited)
	}
}

func (k *keeper) lookup(pid int) *entry {
	if k.server != nil && k.server.pid == pid && !k.server.reaped {
		return k.server
	}
	return k.children.byPid[pid]
}

// last sees e off: what its zombie still tells, the last signal to its group
// while the zombie pins the number, then its status. Lock held.
func (k *keeper) last(e *entry, exited bool) {
	e.at = monotonic()
	e.dead = true
	e.noExec = !exited && !e.execed && killedBeforeExec(e.pid)
	if e.slot != nil {
		k.settle(e)
	} else if e.report > 0 {
		k.readReport(e)
	}
	if e.atExit != 0 && e.execed && e.seq == 0 { // those who were told to stop are at it
		_ = send(-e.pid, e.atExit)
	}
	var status unix.WaitStatus
	var usage unix.Rusage
	if got, err := unix.Wait4(e.pid, &status, unix.WNOHANG, &usage); err != nil || got != e.pid {
		return // somebody else's look; waitid tells again
	}
	e.status = syscall.WaitStatus(status)
	e.user, e.sys, e.maxRSS = micros(usage.Utime), micros(usage.Stime), int64(usage.Maxrss)
	e.reaped, e.proven = true, ticks()
	delete(k.children.byPid, e.pid)
	switch {
	case e.serves != nil:
		k.serverEnded(e.serves)
	case e.failed:
		k.children.free(e)
	default:
		k.owe(e, Exited)
		k.children.left[e] = struct{}{}
	}
}
