package supervisor

import (
	"container/heap"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/state"
)

// timers is a heap of deadlines. An entry is only a reminder: what is due is
// read from the service, so a stale entry does nothing.
type timers []reminder

type reminder struct {
	at int64
	sv *service
}

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)        { *h = append(*h, x.(reminder)) }
func (h *timers) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// deadline returns the earliest deadline of rt, 0 for none.
func deadline(rt *state.Service) int64 {
	var first int64
	for _, at := range [...]int64{rt.StartBy, rt.StopBy, rt.RetryAt, rt.LeftBy} {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

// arm sees to it that sv is looked at when its earliest deadline is due.
func (s *Supervisor) arm(sv *service) {
	at := deadline(&sv.rt)
	if at == 0 || (sv.armed != 0 && sv.armed <= at) {
		return
	}
	sv.armed = at
	heap.Push(&s.timers, reminder{at, sv})
}

// next returns the next deadline, 0 for none. The lock is held.
func (s *Supervisor) next() int64 {
	at := int64(0)
	if len(s.timers) > 0 {
		at = s.timers[0].at
	}
	if e := s.ending; e != nil && e.by != 0 && (at == 0 || e.by < at) {
		at = e.by
	}
	return at
}

// fire carries out every deadline that has passed.
func (s *Supervisor) fire() {
	now := s.opt.Now()
	s.mu.Lock()
	s.alarm.rang()
	s.mu.Unlock()
	for {
		s.mu.Lock()
		if len(s.timers) == 0 || s.timers[0].at > now {
			s.mu.Unlock()
			break
		}
		sv := heap.Pop(&s.timers).(reminder).sv
		sv.armed = 0
		if d := deadline(&sv.rt); d > now {
			s.arm(sv)
			s.mu.Unlock()
			continue
		}
		s.mu.Unlock()
		if err := s.decide("timer", func(t *turn) error { t.own = true; t.due(sv, now); return nil }); err != nil {
			s.say(LevelError, "cannot act on a timer of %q: %v; trying again in 1 s", sv.name, err)
			time.AfterFunc(time.Second, func() { s.later(func() { s.rearm(sv) }) })
		}
	}
	s.fireEnding(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm.set(s.next())
}

func (s *Supervisor) rearm(sv *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arm(sv)
	s.alarm.set(s.next())
}

// due turns the deadlines of sv that have passed into events.
func (t *turn) due(sv *service, now int64) {
	past := func(at int64) bool { return at != 0 && at <= now }
	t.touch(sv)
	rt := sv.rt
	switch {
	case past(rt.RetryAt):
		t.retry(sv)
	case past(rt.StartBy):
		t.apply(sv, state.StartTimeout, "start timeout")
	case past(rt.StopBy) && !rt.Killed:
		t.apply(sv, state.StopTimeout, "stop timeout")
	case past(rt.StopBy):
		t.apply(sv, state.Unkillable, "still there after SIGKILL")
	case past(rt.LeftBy):
		next := rt
		next.LeftBy = t.mono + killGrace
		t.signal(sv, &next, unix.SIGKILL)
		t.set(sv, next)
	}
}

// retry is the end of a backoff.
func (t *turn) retry(sv *service) {
	if t.s.ending != nil || !sv.rt.Wanted {
		next := sv.rt
		next.RetryAt = 0
		t.set(sv, next)
		return
	}
	t.apply(sv, t.held(sv, state.RetryFree, state.RetryHeld), "restart due")
}
