package rpc

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is who calls, as the kernel names it at connect. A program that connects
// and hands the socket on is still the peer. Source: unix(7), SO_PEERCRED.
type Peer struct {
	PID    int
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary; none where the kernel does not tell
}

// Access is what a method needs.
type Access uint8

// Read is for questions, Write for everything that changes something.
const (
	Read Access = iota + 1
	Write
)

// Policy is who may do what: root and the server's own user everything, members
// of Group read, nobody else anything.
type Policy struct {
	Own   uint32 // the server's user
	Group uint32 // 0: there is no such group
}

// May reports whether p may do a.
func (pol Policy) May(p Peer, a Access) bool {
	if p.UID == 0 || p.UID == pol.Own {
		return true
	}
	return a == Read && pol.Group != 0 && (p.GID == pol.Group || slices.Contains(p.Groups, pol.Group))
}

// DefaultPolicy is that of this process and the group zinit.
func DefaultPolicy() Policy {
	gid, _ := zinitGroup()
	return Policy{Own: uint32(os.Geteuid()), Group: gid}
}

// zinitGroup finds the number of the group zinit in /etc/group.
func zinitGroup() (uint32, bool) {
	src, err := os.ReadFile("/etc/group")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(src)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 3 && f[0] == "zinit" {
			n, err := strconv.ParseUint(f[2], 10, 32)
			return uint32(n), err == nil && n > 0
		}
	}
	return 0, false
}

// peerOf asks the kernel who is at the other end.
func peerOf(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var cred *unix.Ucred
	var groups []uint32
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil && cred.Uid != 0 {
			groups = peerGroups(fd)
		}
	})
	if cerr != nil {
		return p, cerr
	}
	if err != nil {
		return p, err
	}
	return Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid, Groups: groups}, nil
}

// peerGroups asks the kernel for the supplementary groups that the peer had at
// connect. /proc would tell those of whoever has its number by now. Source:
// net/core/sock.c, SO_PEERGROUPS, Linux 4.13.
func peerGroups(fd uintptr) []uint32 {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4]
		case errno != unix.ERANGE || int(size/4) <= len(groups):
			return nil
		}
		groups = make([]uint32, size/4)
	}
}
