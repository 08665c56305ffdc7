package spec

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// groups knows which groups are one user's alone. It reads /etc/passwd and
// /etc/group when it is first asked.
type groups struct {
	read    bool
	primary map[uint32][]uint32 // users by their primary group
	names   map[uint32]string   // users by number
	members map[uint32][]string // names of users by group
}

// private tells whether nobody but root and uid is in the group.
func (g *groups) private(uid, gid uint32) bool {
	if gid == 0 {
		return true
	}
	if !g.read {
		g.load()
	}
	mine := gid == uid || slices.Contains(g.primary[gid], uid)
	if !mine {
		return false
	}
	for _, user := range g.primary[gid] {
		if user != uid && user != 0 {
			return false
		}
	}
	for _, name := range g.members[gid] {
		if name != "root" && name != g.names[uid] {
			return false
		}
	}
	return true
}

func (g *groups) load() {
	g.read = true
	g.primary, g.names, g.members = map[uint32][]uint32{}, map[uint32]string{}, map[uint32][]string{}
	eachLine("/etc/passwd", 4, func(f []string) {
		uid, gid := number(f[2]), number(f[3])
		g.names[uid] = f[0]
		g.primary[gid] = append(g.primary[gid], uid)
	})
	eachLine("/etc/group", 4, func(f []string) {
		for name := range strings.SplitSeq(f[3], ",") {
			if name != "" {
				g.members[number(f[2])] = append(g.members[number(f[2])], name)
			}
		}
	})
}

// eachLine hands the fields of each line that has enough of them to do. A file
// that is not there has no lines.
func eachLine(path string, least int, do func([]string)) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if fields := strings.Split(line, ":"); len(fields) >= least {
			do(fields)
		}
	}
}

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return ^uint32(0)
	}
	return uint32(n)
}

// unmappedUID returns the number by which a user namespace shows the owners
// that it does not know; ok is false where it knows them all.
func unmappedUID() (uid uint32, ok bool) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, false
	}
	shown, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil {
		return 0, false
	}
	over := uint64(number(strings.TrimSpace(string(shown))))
	for line := range strings.SplitSeq(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if first, count := uint64(number(f[0])), uint64(number(f[2])); over >= first && over-first < count {
			return 0, false
		}
	}
	return uint32(over), true
}
