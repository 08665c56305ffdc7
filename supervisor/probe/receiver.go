package probe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a Receiver's work.
const (
	atATime = 16          // datagrams of one socket before the others have their turn
	unread  = time.Second // after which a socket is looked at again that cannot be read
)

// Receiver hears the notify sockets of all services with one goroutine. With
// no notification it does not wake.
type Receiver struct {
	hear func(service string, n Notification) (again time.Duration)
	poll int
	wake int
	over chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	sockets map[int32]*socket // by descriptor
	byName  map[string]*socket
	closed  bool
}

// socket is one that is heard, as long as it is in the receiver's maps.
type socket struct {
	service string
	fd      int32
}

// NewReceiver starts one. hear is told each notification that says something,
// in the order of its socket, and returns 0 when it is recorded; only then it is
// taken from the socket. Else it is told again after the time that hear returns.
// hear is called by one goroutine, without a lock: it may call Add and Remove.
func NewReceiver(hear func(service string, n Notification) (again time.Duration)) (*Receiver, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot hear notifications: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err != nil {
		unix.Close(poll)
		unix.Close(wake)
		return nil, fmt.Errorf("cannot hear notifications: %w", err)
	}
	r := &Receiver{hear: hear, poll: poll, wake: wake, over: make(chan struct{}), sockets: map[int32]*socket{}, byName: map[string]*socket{}}
	go r.run()
	return r, nil
}

// Add hears a socket of ListenNotify for a service, in place of an earlier one.
// The descriptor is the receiver's from then on, also after an error.
func (r *Receiver) Add(service string, fd int) error {
	r.Remove(service)
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.New("the receiver is closed")
	if !r.closed {
		err = r.watch(unix.EPOLL_CTL_ADD, int32(fd))
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("cannot hear notifications of %q: %w", service, err)
	}
	s := &socket{service, int32(fd)}
	r.sockets[s.fd], r.byName[service] = s, s
	return nil
}

// Remove stops hearing a service and closes its socket.
func (r *Receiver) Remove(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.byName[service]; ok {
		delete(r.byName, service)
		delete(r.sockets, s.fd)
		// Closing alone would not do it: the keeper has the socket open too.
		_ = r.watch(unix.EPOLL_CTL_DEL, s.fd)
		unix.Close(int(s.fd))
	}
}

// Close ends the goroutine and closes all sockets.
func (r *Receiver) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		<-r.over
		return
	}
	r.closed = true
	_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	r.mu.Unlock()
	<-r.over
	for fd := range r.sockets {
		unix.Close(int(fd))
	}
	unix.Close(r.poll)
	unix.Close(r.wake)
}

func (r *Receiver) watch(op int, fd int32) error {
	return unix.EpollCtl(r.poll, op, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd})
}

func (r *Receiver) run() {
	defer close(r.over)
	var events [32]unix.EpollEvent
	for {
		n, err := unix.EpollWait(r.poll, events[:], -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for i := range max(n, 0) {
			if int(events[i].Fd) == r.wake {
				return
			}
			if s := r.socket(events[i].Fd); s != nil {
				if again := r.drain(s); again > 0 {
					r.pause(s, again)
				}
			}
		}
	}
}

func (r *Receiver) socket(fd int32) *socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sockets[fd]
}

// drain tells some of what a socket holds. It returns for how long nothing more
// can be done with it.
func (r *Receiver) drain(s *socket) (again time.Duration) {
	for range atATime {
		var n Notification
		err := r.with(s, func() (err error) { n, err = peek(int(s.fd)); return err })
		if err == nil && n.Says() {
			if again := r.hear(s.service, n); again > 0 {
				return again
			}
		}
		if err == nil {
			err = r.with(s, func() error { return take(int(s.fd)) })
		}
		if err == unix.EAGAIN {
			return 0
		}
		if err != nil {
			return unread
		}
	}
	return 0
}

// with does something with a socket that is still heard, and which therefore
// still has its number. It does not block.
func (r *Receiver) with(s *socket, do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sockets[s.fd] != s {
		return unix.EAGAIN
	}
	return do()
}

// pause leaves a socket alone for a while.
func (r *Receiver) pause(s *socket, again time.Duration) {
	_ = r.with(s, func() error { return r.watch(unix.EPOLL_CTL_DEL, s.fd) })
	time.AfterFunc(again, func() {
		_ = r.with(s, func() error {
			if r.closed {
				return nil
			}
			return r.watch(unix.EPOLL_CTL_ADD, s.fd)
		})
	})
}
