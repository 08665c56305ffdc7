package logs

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxTotal is what all stores together may take on a machine with memory
// enough, in bytes.
const maxTotal = 64 << 20

// DefaultTotal returns how much memory all stores together may take when
// nothing else is said: 64 MiB or 5 % of the memory there is, whichever is
// less. Memory is what the machine has, or the control group of this process
// or one above it may use.
func DefaultTotal() int64 {
	total := int64(maxTotal) * 20
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		total = min(total, int64(min(uint64(info.Totalram)*uint64(info.Unit), 1<<62)))
	}
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return min(total, groupLimit(string(groups), os.ReadFile)) / 20
}

// groupLimit returns the least memory limit of the control groups in groups,
// which is like /proc/self/cgroup, and of all above them that can be seen.
func groupLimit(groups string, read func(string) ([]byte, error)) int64 {
	least := int64(1) << 62
	groupFiles(groups, "memory.max", "memory.limit_in_bytes", read, func(text string) bool {
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
		return false
	})
	return least
}

// OOMKills returns how many processes of the control group of this process were
// ever killed for want of memory; -1: nothing here counts them.
func OOMKills() int64 {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	return oomKills(string(groups), os.ReadFile)
}

func oomKills(groups string, read func(string) ([]byte, error)) int64 {
	count := int64(-1)
	groupFiles(groups, "memory.events", "memory.oom_control", read, func(text string) bool {
		_, text, _ = strings.Cut("\n"+text, "\noom_kill ")
		text, _, _ = strings.Cut(text, "\n")
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			count = n
		}
		return err == nil
	})
	return count
}

// groupFiles shows found what is in a file of each control group in groups, and of
// all above it that can be seen, from the inside out, until it has enough. In
// version 1 the file is called v1.
func groupFiles(groups, v2, v1 string, read func(string) ([]byte, error), found func(text string) (enough bool)) {
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", v2
		if parts[1] == "memory" {
			root, file = "/sys/fs/cgroup/memory", v1
		} else if parts[1] != "" {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if b, err := read(path.Join(root, dir, file)); err == nil && found(string(b)) {
				return
			}
			if dir == "/" {
				break
			}
		}
	}
}

// LimitTotal sets how much memory all stores together may take, in bytes; 0
// or less means DefaultTotal. When they need more, the largest gives way
// first; what it drops is counted like everything that is dropped. A store that
// was taken over and whose service nobody has configured keeps DefaultBuffer.
func (p *Pump) LimitTotal(bytes int64) {
	if bytes <= 0 {
		bytes = DefaultTotal()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.lenient = bytes, false
	for name, s := range p.stores {
		if s.limit == noLimit {
			s.limit = p.limit(name)
		}
		p.settle(s)
	}
}

// Quarter leaves of every store the newest quarter, in whole pages, and returns
// how many bytes were dropped. It comes after Adopt and before Attach, when nobody
// knows yet how much each may keep, and changes no limit.
func (p *Pump) Quarter() (dropped int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stores {
		head := s.floor.Load()
		s.dropTo(s.tail - (s.tail-head)/4)
		p.count(s)
		dropped += int64(s.floor.Load() - head)
	}
	return dropped
}

// giveStep is how much more is dropped than has to be, so that the largest
// store need not be looked for with every page.
const giveStep = 64 << 10

// giveWay drops from the largest store until all fit, or nothing is left that
// could be dropped.
func (p *Pump) giveWay() {
	for p.used > p.total {
		var largest *store
		for _, s := range p.stores {
			if largest == nil || s.cost > largest.cost {
				largest = s
			}
		}
		if largest == nil {
			return
		}
		before := p.used
		largest.dropTo(largest.floor.Load() + uint64(min(before-p.total+giveStep, largest.cost)))
		if p.count(largest); p.used >= before {
			return
		}
	}
}
