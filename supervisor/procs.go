package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process is one process of a service, as /proc tells.
type Process struct {
	PID         int    `json:"pid"`
	Name        string `json:"name"`
	MemoryBytes int64  `json:"memory_bytes"` // resident; what is shared counts for each who shares it
	ParentPID   int    `json:"parent_pid"`
	CPUMS       int64  `json:"cpu_ms"` // its own and that of its children that have ended
	State       string `json:"state"`  // R S D Z T …; proc(5)

	group, session int
	start          int64 // milliseconds after the boot
}

// procTick is the unit of times in /proc/PID/stat, in milliseconds. Source: the
// kernel's USER_HZ, 100 on every architecture that zinit runs on.
const procTick = 10

// processes reads all processes below root, which is /proc but for tests. Those
// that end meanwhile are left out.
func processes(root string) (map[int]Process, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, fmt.Errorf("cannot look at processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot look at processes: %w", err)
	}
	all := make(map[int]Process, len(names))
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, name, "stat"))
		if err != nil {
			continue
		}
		if p, ok := parseStat(src); ok {
			all[p.PID] = p
		}
	}
	return all, nil
}

// parseStat reads /proc/PID/stat. The name stands between the first parenthesis
// and the last, because it may hold any of them. Source: proc(5).
func parseStat(src []byte) (p Process, ok bool) {
	from, to := bytes.IndexByte(src, '('), bytes.LastIndexByte(src, ')')
	if from < 1 || to < from {
		return p, false
	}
	f := bytes.Fields(src[to+1:])
	if len(f) < 22 {
		return p, false
	}
	ok = true
	number := func(text []byte) int64 {
		n, err := strconv.ParseInt(string(text), 10, 64)
		ok = ok && err == nil
		return n
	}
	p = Process{Name: string(src[from+1 : to]), State: string(f[0])}
	p.PID, p.ParentPID = int(number(bytes.TrimSpace(src[:from]))), int(number(f[1]))
	p.group, p.session = int(number(f[2])), int(number(f[3]))
	p.CPUMS = (number(f[11]) + number(f[12]) + number(f[13]) + number(f[14])) * procTick
	p.start = number(f[19]) * procTick
	p.MemoryBytes = number(f[21]) * int64(os.Getpagesize())
	return p, ok && p.PID > 0
}

// family are those of mains, of their sessions and groups, and everybody who
// descends from one of them, by pid.
func family(all map[int]Process, mains ...int) []Process {
	children := map[int][]int{}
	var next []int
	for pid, p := range all {
		children[p.ParentPID] = append(children[p.ParentPID], pid)
		for _, main := range mains {
			if main > 1 && (pid == main || p.session == main || p.group == main) {
				next = append(next, pid)
			}
		}
	}
	var members []Process
	seen := map[int]bool{}
	for len(next) > 0 {
		pid := next[len(next)-1]
		next = next[:len(next)-1]
		if !seen[pid] {
			seen[pid] = true
			members = append(members, all[pid])
			next = append(next, children[pid]...)
		}
	}
	return byPID(members)
}

func byPID(list []Process) []Process {
	sort.Slice(list, func(i, j int) bool { return list[i].PID < list[j].PID })
	return list
}

// sinceBoot is the clock of a process's start, in milliseconds.
func sinceBoot() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1e6
}
