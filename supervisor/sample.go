package supervisor

import (
	"math"
	"sync"

	"zinit/supervisor/cgroup"
)

// What a service uses right now is the difference between two samples. Nobody
// sleeps for the second: the last one that anybody has asked for is kept. The first
// question about a run, and one that comes too soon after another, gets the average
// since the run began.

// sampleMS is the least time between two samples that make a rate.
const sampleMS = 200

// sample is what a service had used at a time.
type sample struct {
	pid   int // of the main process: another run, another count
	at    int64
	cpuMS int64
}

// samples are the last ones, by service.
type samples struct {
	mu   sync.Mutex
	last map[string]sample
}

// rate turns a count into a share of one processor in percent, and keeps it. Times
// are milliseconds of one clock.
func (sm *samples) rate(name string, now sample, begun int64) float64 {
	sm.mu.Lock()
	defer sm.mu.Unlock()
	was, ok := sm.last[name]
	if ok && was.pid == now.pid && now.at-was.at < sampleMS {
		return share(now.cpuMS, now.at-begun)
	}
	if sm.last == nil {
		sm.last = map[string]sample{}
	}
	sm.last[name] = now
	if !ok || was.pid != now.pid || now.cpuMS < was.cpuMS {
		return share(now.cpuMS, now.at-begun)
	}
	return share(now.cpuMS-was.cpuMS, now.at-was.at)
}

func (sm *samples) forget(name string) {
	sm.mu.Lock()
	defer sm.mu.Unlock()
	delete(sm.last, name)
}

// share is so many milliseconds of so many, in percent.
func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return math.Round(float64(part)*1000/float64(whole)) / 10
}

// byGroup replaces what was added up from /proc by what the kernel has counted for
// a cgroup, as far as it has.
func (st *Stats) byGroup(f cgroup.Facts) {
	if f.Memory >= 0 {
		st.MemoryBytes = f.Memory
	}
	if f.CPUUS >= 0 {
		st.CPUMS = f.CPUUS / 1000
	}
}

// belong are the processes of a service, by pid: those in its cgroup or, without
// one, its family.
func (s *Supervisor) belong(all map[int]Process, name string, r roots) []Process {
	if s.groups.tree == nil {
		return family(all, r[:]...)
	}
	pids, err := s.groups.tree.Pids(name)
	if err != nil || len(pids) == 0 {
		return family(all, r[:]...)
	}
	var list []Process
	for _, pid := range pids {
		if p, ok := all[pid]; ok {
			list = append(list, p)
		}
	}
	return byPID(list)
}
