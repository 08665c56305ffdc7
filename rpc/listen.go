package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what the kernel takes as the path of a socket, less its NUL.
// Source: unix(7).
const maxPath = 107

// queue is how many callers may wait in the socket while a server is replaced.
const queue = 1024

// Vacant fails when path cannot become our socket: a server answers there, it
// is no socket, or it is too long. A socket that nobody answers on is vacant.
func Vacant(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("cannot listen on %s: the path has %d bytes and a socket's may have %d; choose a shorter one with --socket", path, len(path), maxPath)
	}
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	case st.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("cannot listen on %s: there is a %s in the way; move it, or choose another path with --socket", path, kindOf(st.Mode()))
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil // left behind
		}
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	defer c.Close()
	who := "another process"
	if p, err := peerOf(c.(*net.UnixConn)); err == nil {
		who = fmt.Sprintf("pid %d", p.PID)
	}
	return fmt.Errorf("cannot listen on %s: zinit is already running there (%s); zinit --socket %s shutdown ends it", path, who, path)
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m.IsRegular():
		return "file"
	case m&os.ModeSymlink != 0:
		return "symbolic link"
	}
	return "special file"
}

// Listen makes the socket. It is bound under a temporary name, given its owner
// and mode, and then renamed, so that nobody connects before: 0660 for the group
// zinit where that exists and we are root, else 0600.
func Listen(path string) (*net.UnixListener, error) {
	if err := Vacant(path); err != nil {
		return nil, err
	}
	dirMode := os.FileMode(0o755)
	if os.Geteuid() != 0 {
		dirMode = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	tmp := temporary(path)
	sweep(tmp)
	fd, err := bind(tmp)
	if err == nil {
		err = give(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		sweep(tmp)
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return ListenerFromFD(fd)
}

// temporary is a name beside path that is no longer than path where there is no
// room.
func temporary(path string) string {
	if tmp := fmt.Sprintf("%s.%d", path, os.Getpid()); len(tmp) <= maxPath {
		return tmp
	}
	dir, name := filepath.Split(path)
	if name[0] == '~' {
		return dir + "+" + name[1:]
	}
	return dir + "~" + name[1:]
}

// sweep removes a socket of this name that an earlier attempt left, and nothing
// else.
func sweep(path string) {
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
}

// bind makes a socket of mode 0600 that does not listen yet. The mode is set
// before bind: umask(2) is the whole process's.
func bind(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// give lets the group zinit in.
func give(path string) error {
	gid, ok := zinitGroup()
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	if err := os.Lchown(path, 0, int(gid)); err != nil {
		return err
	}
	return os.Chmod(path, 0o660)
}

// ListenerFromFD goes on with a bound socket, which it owns from then on. It
// calls listen(2) again, because that is who the kernel names to callers.
func ListenerFromFD(fd int) (*net.UnixListener, error) {
	if err := unix.Listen(fd, queue); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("cannot listen: it is no unix socket")
	}
	ul.SetUnlinkOnClose(false) // a successor may listen there by then
	return ul, nil
}

// Describe says why a path cannot be called, for a person: its error and what
// that usually means.
func Describe(path string, err error) string {
	var hint string
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint = "no zinit has made it"
	case errors.Is(err, unix.ECONNREFUSED):
		hint = "nobody listens; zinit has ended"
	case errors.Is(err, os.ErrPermission):
		hint = "call as root or as the user that runs zinit"
	}
	var op *net.OpError
	text := err.Error()
	if errors.As(err, &op) {
		text = op.Err.Error()
		text = strings.TrimPrefix(text, "connect: ")
	}
	if hint != "" {
		text += " (" + hint + ")"
	}
	return path + ": " + text
}
