package applets_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc names a process for good: a pid and when it started.
type proc struct {
	pid   int
	start string // field 22 of stat
}

// alive says whether this very process runs; a zombie does not.
func (p proc) alive() bool {
	f := statFields(p.pid)
	return len(f) > 19 && f[19] == p.start && f[0] != "Z" && f[0] != "X"
}

func (p proc) cmdline() string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte(" "))))
}

// statFields are the fields of /proc/PID/stat from the state (3) on; nil when
// there is no such process.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// processOf names the process that has this pid now.
func processOf(pid int) proc {
	if f := statFields(pid); len(f) > 19 {
		return proc{pid, f[19]}
	}
	return proc{pid: pid}
}

// statusField is a line of /proc/PID/status, such as "SigBlk".
func statusField(pid int, name string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// freeze stops a process and waits until each of its threads stands: kill(2) returns
// before those that run on other processors have heard of it.
func freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	return until(90*time.Second, fmt.Sprintf("the threads of %d to stop", pid), func() error {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range threads {
			b, err := os.ReadFile(name)
			if state := string(b[bytes.LastIndexByte(b, ')')+1:]); err == nil && !strings.HasPrefix(state, " T") {
				return fmt.Errorf("%s:%.2s", name, state)
			}
		}
		return nil
	})
}

// parentOf is the pid of the parent, 0 when there is no such process.
func parentOf(pid int) int {
	n, _ := strconv.Atoi(statusField(pid, "PPid"))
	return n
}

// allPids lists the processes of this pid namespace.
func allPids() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	pids := make([]int, 0, len(dirs))
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descendants are the living processes that carry this bed's witness file in
// their environment, whoever their parent is now.
func (b *bed) descendants() []proc {
	mark := []byte("WIT=" + b.wit + "\x00")
	var found []proc
	for _, pid := range allPids() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(env, mark) {
			continue
		}
		if p := processOf(pid); p.alive() {
			found = append(found, p)
		}
	}
	return found
}

// here names a process of a record as we see it: one in another pid namespace
// has another number for us.
func (b *bed) here(p proc) proc {
	if b.ns == "" {
		return p
	}
	for _, pid := range allPids() {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil || ns != b.ns {
			continue
		}
		numbers := strings.Fields(statusField(pid, "NSpid"))
		if len(numbers) > 0 && numbers[len(numbers)-1] == strconv.Itoa(p.pid) {
			return processOf(pid)
		}
	}
	return proc{pid: -1}
}

// fds lists the open descriptors of a process by number.
func fds(pid int) map[string]string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, _ := os.ReadDir(dir)
	open := map[string]string{}
	for _, n := range names {
		if to, err := os.Readlink(filepath.Join(dir, n.Name())); err == nil {
			open[n.Name()] = to
		}
	}
	return open
}

func glob(pattern string) []string {
	names, _ := filepath.Glob(pattern)
	return names
}

// readText is a small file, "" when it cannot be read.
func readText(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}
