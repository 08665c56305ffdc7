package supervisor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tcpListen is the state of a listening socket in /proc/net/tcp. Source:
// include/net/tcp_states.h.
const tcpListen = "0A"

// listeners returns the port of each TCP socket, by its inode, that listens on one
// of ports.
func listeners(proc string, ports []uint16) map[string]uint16 {
	found := map[string]uint16{}
	for _, table := range []string{"tcp", "tcp6"} {
		src, err := os.ReadFile(filepath.Join(proc, "self/net", table))
		if err != nil {
			continue // no such protocol
		}
		for line := range strings.Lines(string(src)) {
			f := strings.Fields(line) // sl local remote st queues timer retransmits uid timeout inode
			if len(f) < 10 || f[3] != tcpListen {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			port, err := strconv.ParseUint(hex, 16, 16)
			if err == nil && slices.Contains(ports, uint16(port)) {
				found[f[9]] = uint16(port)
			}
		}
	}
	return found
}

// socketOwners finds the lowest process that has each socket open.
func socketOwners(proc string, inodes map[string]uint16) map[string]int {
	owners := map[string]int{}
	dirs, _ := os.ReadDir(proc)
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		fds := filepath.Join(proc, d.Name(), "fd")
		list, _ := os.ReadDir(fds)
		for _, fd := range list {
			to, err := os.Readlink(filepath.Join(fds, fd.Name()))
			inode, ok := strings.CutPrefix(to, "socket:[")
			if err != nil || !ok {
				continue
			}
			inode = strings.TrimSuffix(inode, "]")
			if _, wanted := inodes[inode]; wanted && (owners[inode] == 0 || pid < owners[inode]) {
				owners[inode] = pid
			}
		}
	}
	return owners
}

// commOf is the name of a process, "?" when it has just ended.
func commOf(proc string, pid int) string {
	src, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
	if err != nil {
		return "?"
	}
	return strings.TrimSuffix(string(src), "\n")
}
