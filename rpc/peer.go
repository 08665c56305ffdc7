package rpc

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Peer is who calls, as the kernel names it at connect. A program that connects
// and hands the socket on is still the peer. Source: unix(7), SO_PEERCRED.
type Peer struct {
	PID    int
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary, as far as /proc tells
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
	cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if cerr != nil {
		return p, cerr
	}
	if err != nil {
		return p, err
	}
	p = Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
	if p.UID != 0 {
		p.Groups = groupsOf(p.PID)
	}
	return p, nil
}

// groupsOf reads the supplementary groups of a process.
func groupsOf(pid int) []uint32 {
	src, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(src)) {
		list, ok := strings.CutPrefix(line, "Groups:")
		if !ok {
			continue
		}
		var out []uint32
		for _, word := range strings.Fields(list) {
			if n, err := strconv.ParseUint(word, 10, 32); err == nil {
				out = append(out, uint32(n))
			}
		}
		return out
	}
	return nil
}
