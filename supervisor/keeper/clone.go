//go:build amd64 || arm64

package keeper

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cloneSteps clones, and the child makes the steps. Both results are the
// parent's; the child never returns.
//
//go:noescape
func cloneSteps(nr, first, second uintptr, head *header, steps *step) (pid, errno uintptr)

// cloneArgs is struct clone_args, VER0 and what follows as far as it is used.
// Source: clone(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
	setTID, setTIDSize, cgroup                                           uint64
}

// cloneArgsVer0 is the size that the first kernels with clone3 know.
const cloneArgsVer0 = 64

// clone starts a child on the prepared slot and returns at once. All signals
// are blocked in the thread across the clone and so in the child, because
// Go's handlers would run there until they are undone. It may share
// our descriptors until its first step: what it needs of them must stay open
// until it has left its slot.
//
// Why not syscall.ForkExec: it waits for the exec inside a raw system call, so
// an exec that hangs keeps its processor and the next collection stops the
// whole process for good; and a failed exec reaps its own child unseen.
func clone(s *slot) (pid int, errno syscall.Errno) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all, old := ^uint64(0), uint64(0)
	mask(&all, &old)
	atomic.StoreUint32(&s.head.alive, 1)
	flags := unix.CLONE_VM | unix.CLONE_CHILD_CLEARTID | uintptr(unix.SIGCHLD)
	if s.forked {
		flags = unix.CLONE_PARENT_SETTID | uintptr(unix.SIGCHLD)
	}
	if s.sharing {
		flags |= unix.CLONE_FILES
	}
	var p, e uintptr
	if s.clears {
		at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.mem))))
		args := cloneArgs{flags: uint64(flags)&^0xff | unix.CLONE_CLEAR_SIGHAND, exitSignal: uint64(unix.SIGCHLD),
			childTID: uint64(uintptr(unsafe.Pointer(&s.head))), parentTID: uint64(uintptr(unsafe.Pointer(&s.head))), stack: at, stackSize: uint64(s.stack()) - at}
		size := uintptr(cloneArgsVer0)
		if s.cgroup >= 0 {
			args.flags |= unix.CLONE_INTO_CGROUP
			args.cgroup, size = uint64(s.cgroup), unsafe.Sizeof(args)
		}
		p, e = cloneSteps(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), size, &s.head, &s.steps[0])
		runtime.KeepAlive(&args)
	} else {
		p, e = cloneSteps(unix.SYS_CLONE, flags, s.stack(), &s.head, &s.steps[0])
	}
	mask(&old, nil)
	return int(p), syscall.Errno(e)
}

// mask sets the signal mask of this thread.
func mask(set, old *uint64) {
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}
