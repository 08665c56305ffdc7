package server

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"zinit/rpc"
	"zinit/supervisor/keeper"
)

// sockets are the control sockets. The keeper holds each with a handle of the
// file that leads to it, so that callers wait in the queue while a server is
// replaced, and a socket whose file was swept away is seen and made again.
type sockets struct {
	client *keeper.Client
	say    func(format string, args ...any)
	serve  func(*net.UnixListener) // nil until callers may come in

	mu    sync.Mutex
	doors []*door
}

type door struct {
	path, held string
	l          *net.UnixListener
	file       int // O_PATH of path; -1: unknown
}

// open takes over the sockets that the keeper holds, and makes the others. What
// is taken over serves even where its file cannot be made again.
func (s *sockets) open(paths []string, held map[string][]int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, path := range paths {
		d := &door{path: path, held: fmt.Sprintf("socket/%d", i), file: -1}
		fds := held[d.held]
		if len(fds) == 0 {
			if err := s.make(d); err != nil {
				return err
			}
			s.doors = append(s.doors, d)
			continue
		}
		l, err := rpc.ListenerFromFD(fds[0])
		if err != nil {
			return fmt.Errorf("cannot take over the socket %s: %w", path, err)
		}
		if d.l = l; len(fds) > 1 {
			d.file = fds[1]
		}
		s.doors = append(s.doors, d)
		s.mend(d)
	}
	return nil
}

// make makes d's socket and gives it to the keeper.
func (s *sockets) make(d *door) error {
	l, err := rpc.Listen(d.path)
	if err != nil {
		return err
	}
	file, err := unix.Open(d.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		var own int
		if own, err = dup(l); err == nil {
			s.client.Hold(d.held, own, file)
		}
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("cannot hand on the socket %s: %w", d.path, err)
	}
	if d.l != nil {
		d.l.Close()
	}
	d.l, d.file = l, file
	return nil
}

// astray reports whether the path no longer leads to d's socket.
func (d *door) astray() bool {
	var now, was unix.Stat_t
	if d.file < 0 || unix.Fstat(d.file, &was) != nil {
		return false
	}
	return unix.Lstat(d.path, &now) != nil || now.Ino != was.Ino || now.Dev != was.Dev
}

// reopen makes again what was swept away.
func (s *sockets) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doors {
		s.mend(d)
	}
}

func (s *sockets) mend(d *door) {
	if !d.astray() {
		return
	}
	if st, err := os.Lstat(d.path); err == nil && st.Mode()&os.ModeSymlink != 0 {
		os.Remove(d.path) // the link; where it leads is not ours
	}
	if err := s.make(d); err != nil {
		s.say("warning: the control socket %s was taken away; %v; a reload by signal tries again\n", d.path, err)
		return
	}
	s.say("the control socket %s was taken away; made it again\n", d.path)
	if s.serve != nil {
		go s.serve(d.l)
	}
}

// let lets callers in.
func (s *sockets) let(serve func(*net.UnixListener)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve = serve
	for _, d := range s.doors {
		go serve(d.l)
	}
}

// close removes the sockets, and leaves alone what others have put there.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doors {
		if !d.astray() {
			os.Remove(d.path)
		}
		d.l.Close()
	}
}

// dup returns a descriptor of l's socket that stays open for the keeper's sake.
func dup(l syscall.Conn) (fd int, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) })
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}
