package keeper

import (
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// held is what the keeper keeps open for its servers, by opaque names. What it
// makes itself, the read ends of a run's pipes, is in the run's entry.
type held struct {
	fds   map[string][]int
	count int // with those of the runs
}

// put records fds under name and returns what must be closed: what they
// replace, or they themselves when there is an errno.
func (h *held) put(name string, fds []int) (surplus []int, errno syscall.Errno) {
	old := h.fds[name]
	switch {
	case name == "" || len(fds) == 0:
		return fds, syscall.EINVAL
	case len(fds) > MaxFDs:
		return fds, syscall.E2BIG
	case h.count-len(old)+len(fds) > maxHeld:
		return fds, syscall.ENFILE
	}
	h.fds[name] = fds
	h.count += len(fds) - len(old)
	return old, 0
}

// drop forgets name and returns what must be closed.
func (h *held) drop(name string) (surplus []int) {
	old := h.fds[name]
	h.count -= len(old)
	delete(h.fds, name)
	return old
}

// heldFrom is the lowest number of what is held. Below are our own and those
// that starting children need, which get a table without the rest.
const heldFrom = 512

// up moves a descriptor to where the held ones are, if it can.
func up(fd int) int {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, heldFrom)
	if err != nil {
		return fd
	}
	unix.Close(fd)
	return high
}

var ends = [...]string{"out", "err", "ready"}

// pipeName is the name by which a pipe of a run is held; ParsePipe splits it.
func pipeName(k runKey, end int) string {
	return "pipe/" + k.tag + "/" + strconv.FormatUint(k.run, 10) + "/" + ends[end]
}

// makePipes makes the pipes of e: output and errors but on a terminal, and
// readiness when it is asked for. It returns the write ends, -1 where there is
// none, and lends them to the child. Read ends do not block, because server and
// keeper share them; write ends do, because services expect it. Given to the
// run's user they can be opened again as /dev/stdout.
func (e *entry) makePipes(s *Spawn, slot *slot) (write [len(ends)]int, errno syscall.Errno) {
	wanted := [len(ends)]bool{s.TTY == "", s.TTY == "", s.ReadyFD > 0}
	for end := range ends {
		write[end] = -1
		if !wanted[end] {
			continue
		}
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			return write, errnoOf(err)
		}
		e.pipes[end], write[end] = int32(up(fds[0])), fds[1]
		slot.lent = append(slot.lent, fds[1])
		_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETFL, 0)
		if s.Cred != nil {
			_ = unix.Fchown(fds[1], int(s.Cred.UID), int(s.Cred.GID))
		}
	}
	return write, 0
}

// closePipes closes what was made for a run that never had a process.
func (e *entry) closePipes() {
	for end, fd := range e.pipes {
		if fd > 0 {
			unix.Close(int(fd))
			e.pipes[end] = 0
		}
	}
}

// drop forgets what is held under name and returns what must be closed. Lock
// held.
func (k *keeper) drop(name string) (surplus []int) {
	tag, run, end, _ := ParsePipe(name)
	e, at := k.children.byKey[runKey{tag, run}], slices.Index(ends[:], end)
	if e == nil || at < 0 || e.pipes[at] == 0 {
		return k.held.drop(name)
	}
	surplus = []int{int(e.pipes[at])}
	e.pipes[at] = 0
	k.held.count--
	k.children.free(e)
	return surplus
}

// errnoOf returns the errno in an error of x/sys/unix.
func errnoOf(err error) syscall.Errno {
	if errno, ok := err.(syscall.Errno); ok {
		return errno
	}
	return syscall.EIO
}

// openNull returns what is every service's stdin: /dev/null, or where there is
// none an empty file that nothing can be written to.
func openNull() (int, error) {
	if fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		return fd, nil
	}
	fd, err := unix.MemfdCreate("null", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return fd, err
}
