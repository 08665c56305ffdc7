package logs

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for many descriptors. Its own descriptor is waited for by the
// Go runtime, so that no thread sits in a system call. add and remove are
// safe for many callers, wait is for one.
type poller struct {
	fd     int
	file   *os.File
	conn   syscall.RawConn
	events [64]unix.EpollEvent
	n      int
	err    error
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot wait for output: epoll_create: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot wait for output: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if err := p.file.SetReadDeadline(time.Time{}); err != nil { // the runtime cannot wait for it
		p.file.Close()
		return nil, fmt.Errorf("cannot wait for output: %w", err)
	}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("cannot wait for output: %w", err)
	}
	return p, nil
}

func (p *poller) add(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// remove must come before fd is closed: the file behind it is open in the
// holder too and would stay registered.
func (p *poller) remove(fd int) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// wait returns what can be read now, waiting for the first; after close it
// fails. The slice is good until the next call.
func (p *poller) wait() ([]unix.EpollEvent, error) {
	if err := p.conn.Read(p.ask); err != nil {
		return nil, err
	}
	return p.events[:p.n], p.err
}

func (p *poller) ask(fd uintptr) bool {
	p.n, p.err = unix.EpollWait(int(fd), p.events[:], 0)
	if p.err == unix.EINTR {
		p.n, p.err = 0, nil
		return true
	}
	return p.n > 0 || p.err != nil
}

func (p *poller) close() { p.file.Close() }
