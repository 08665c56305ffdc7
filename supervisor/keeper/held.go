package keeper

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// held is what the keeper keeps open for its servers, by opaque names. Those
// it makes itself are the read ends of a run's pipes.
type held struct {
	fds   map[string][]int
	count int
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

func pipeName(k runKey, end int) string {
	return fmt.Sprintf("pipe/%s/%d/%s", k.tag, k.run, ends[end])
}

// pipes are the pipes of one run: output, errors and, when asked for,
// readiness.
type pipes struct {
	read, write [len(ends)]int
	from, n     int // those from from and below n are there
}

// makePipes makes them. Read ends do not block, because server and keeper
// share them; write ends do, because services expect it. Given to the run's
// user they can be opened again as /dev/stdout.
func makePipes(s *Spawn) (p pipes, errno syscall.Errno) {
	n := 2
	if s.ReadyFD > 0 {
		n = 3
	}
	if s.TTY != "" {
		p.from, p.n = 2, 2
	}
	for p.n < n {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			p.close()
			return pipes{}, errnoOf(err)
		}
		p.read[p.n], p.write[p.n] = up(fds[0]), fds[1]
		p.n++
		_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETFL, 0)
		if s.Cred != nil {
			_ = unix.Fchown(fds[1], int(s.Cred.UID), int(s.Cred.GID))
		}
	}
	return p, 0
}

func (p *pipes) close() {
	closeAll(p.read[p.from:p.n])
	p.closeWrite()
}

func (p *pipes) closeWrite() { closeAll(p.write[p.from:p.n]) }

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
