package supervisor

import (
	"container/heap"
	"fmt"
)

// Where max_parallel_starts is set, a service that nothing else blocks waits for
// a start slot; slots go by name. waiters are those who wait for one.
type waiters []*service

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].name < w[j].name }
func (w waiters) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiters) Push(x any)        { *w = append(*w, x.(*service)) }
func (w *waiters) Pop() any {
	old := *w
	last := old[len(old)-1]
	*w = old[:len(old)-1]
	return last
}

// noSlot reports whether a service that would start has to wait for a slot, and
// then puts it among those who do.
func (t *turn) noSlot(sv *service) bool {
	most := t.s.config.Settings.MaxParallelStarts
	if most == 0 || sv.spec.Target || t.s.starting+t.starting < most {
		return false
	}
	if !sv.slot {
		t.touch(sv)
		sv.slot = true
		heap.Push(&t.s.waiters, sv)
	}
	return true
}

// freeSlots starts those who wait, by name, as long as there are slots. It reports
// whether there was one.
func (t *turn) freeSlots() (any bool) {
	most := t.s.config.Settings.MaxParallelStarts
	for len(t.s.waiters) > 0 && (most == 0 || t.s.starting+t.starting < most) {
		sv := heap.Pop(&t.s.waiters).(*service)
		t.touch(sv)
		sv.slot = false
		t.clear(sv)
		any = true
	}
	return any
}

// rewait makes the list of those who wait afresh. The lock is held.
func (s *Supervisor) rewait() {
	s.waiters = s.waiters[:0]
	for _, name := range s.names {
		if sv := s.services[name]; sv.slot {
			s.waiters = append(s.waiters, sv) // in the order of names, which is a heap's
		}
	}
}

// slotBlocker says that a start slot is waited for.
func (s *Supervisor) slotBlocker() blocker {
	n := s.config.Settings.MaxParallelStarts
	return blocker{name: "start slot", text: fmt.Sprintf("a start slot (%d of %d in use)", min(s.starting, n), n)}
}
