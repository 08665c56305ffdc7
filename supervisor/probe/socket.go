package probe

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSunPath is what a socket's address holds, without the NUL at its end.
const maxSunPath = 107

// ListenNotify makes the notify socket of a service in a directory, which only
// zinit may write to, and returns it with its path, for NOTIFY_SOCKET. What an
// earlier zinit left there is replaced. Anybody can send to it; who does, the
// kernel says, because SO_PASSCRED is set before anybody can.
func ListenNotify(dir, service string) (fd int, path string, err error) {
	path = socketPath(dir, service)
	if len(path) > maxSunPath {
		return -1, "", fmt.Errorf("cannot make a notify socket: the path %q is longer than %d bytes", path, maxSunPath)
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, "", fmt.Errorf("cannot make a notify socket: %w", err)
	}
	if err = bindNotify(fd, path); err != nil {
		unix.Close(fd)
		return -1, "", fmt.Errorf("cannot make a notify socket at %q: %w", path, err)
	}
	return fd, path, nil
}

func bindNotify(fd int, path string) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return err
	}
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	// A mode set before is cut by the umask, which is not ours to change.
	return unix.Chmod(path, 0o666)
}

// NotifyPath is the path that ListenNotify gives a service's socket.
func NotifyPath(dir, service string) string { return socketPath(dir, service) }

// socketPath is DIR/SERVICE, or a hash of the name where that is too long.
func socketPath(dir, service string) string {
	path := filepath.Join(dir, service)
	if len(path) <= maxSunPath {
		return path
	}
	h := fnv.New64a()
	h.Write([]byte(service))
	return filepath.Join(dir, fmt.Sprintf("+%016x", h.Sum64()))
}

// Notification is one datagram.
type Notification struct {
	Message
	From Sender
}

// peek returns the first datagram of a socket without taking it: the zero
// Message for one that is too long, or whose sender the kernel has not told.
// The error is EAGAIN when there is none.
func peek(fd int) (n Notification, err error) {
	var text [MaxDatagram + 1]byte
	// There is room for the credentials and for nothing else: descriptors that
	// somebody sends along never become ours, and those of sd_notify_barrier(3)
	// are closed when the datagram is taken, which is what it waits for.
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	size, csize, flags, err := receive(fd, text[:], control, unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return n, err
	}
	list, err := unix.ParseSocketControlMessage(control[:csize])
	if err != nil || len(list) == 0 {
		return n, nil
	}
	cred, err := unix.ParseUnixCredentials(&list[0])
	if err != nil {
		return n, nil
	}
	n.From = Sender{Pid: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
	if flags&unix.MSG_TRUNC == 0 {
		n.Message = ParseNotify(text[:size])
	}
	return n, nil
}

// take takes the first datagram away.
func take(fd int) error {
	_, _, _, err := receive(fd, nil, nil, unix.MSG_DONTWAIT)
	return err
}

func receive(fd int, text, control []byte, flags int) (n, cn, got int, err error) {
	for {
		n, cn, got, _, err = unix.Recvmsg(fd, text, control, flags)
		if err != unix.EINTR {
			return n, cn, got, err
		}
	}
}
