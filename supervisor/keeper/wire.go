package keeper

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wire is one direction of a SOCK_SEQPACKET socket. Its buffers are made once,
// so that passing a message costs no allocation unless descriptors go with it.
// It belongs to one goroutine, or to whoever holds the lock that guards it.
type wire struct {
	fd  int
	buf []byte // receiving only
	oob []byte
	hdr unix.Msghdr
	iov unix.Iovec
}

func newReceiver(fd int) *wire {
	return &wire{fd: fd, buf: make([]byte, maxMessage+1), oob: make([]byte, unix.CmsgSpace(253*4))}
}

// send sends one datagram. It blocks unless flags has MSG_DONTWAIT, and never
// raises SIGPIPE.
func (w *wire) send(b []byte, fds []int, flags int) syscall.Errno {
	w.iov.Base = unsafe.SliceData(b)
	w.iov.SetLen(len(b))
	w.hdr = unix.Msghdr{Iov: &w.iov}
	w.hdr.SetIovlen(1)
	if len(fds) > 0 {
		w.oob = unix.UnixRights(fds...)
		w.hdr.Control = unsafe.SliceData(w.oob)
		w.hdr.SetControllen(len(w.oob))
	}
	for {
		_, _, errno := syscall.Syscall(unix.SYS_SENDMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.hdr)), uintptr(flags|unix.MSG_NOSIGNAL))
		if errno != syscall.EINTR {
			w.iov.Base = nil
			return errno
		}
	}
}

// receive reads one datagram. The bytes are good until the next call; the
// descriptors are the caller's. cut says that some did not arrive. No bytes
// and no error is the end: the peer is gone and its queue is read out.
func (w *wire) receive(flags int) (b []byte, fds []int, cut bool, errno syscall.Errno) {
	w.iov.Base = unsafe.SliceData(w.buf)
	w.iov.SetLen(len(w.buf))
	w.hdr = unix.Msghdr{Iov: &w.iov, Control: unsafe.SliceData(w.oob)}
	w.hdr.SetIovlen(1)
	w.hdr.SetControllen(len(w.oob))
	n, _, errno := syscall.Syscall(unix.SYS_RECVMSG, uintptr(w.fd), uintptr(unsafe.Pointer(&w.hdr)), uintptr(flags|unix.MSG_CMSG_CLOEXEC))
	if errno != 0 {
		return nil, nil, false, errno
	}
	if w.hdr.Controllen > 0 {
		fds = passed(w.oob[:w.hdr.Controllen])
	}
	cut = w.hdr.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0
	return w.buf[:n], fds, cut, 0
}

// passed returns the descriptors in a control message.
func passed(oob []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		if rights, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, rights...)
		}
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
