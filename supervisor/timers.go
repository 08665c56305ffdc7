package supervisor

import (
	"container/heap"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/state"
)

// timers is a heap of services by the time at which each is to be looked at:
// one entry a service, however often its deadlines change. What is due is read
// from the service, so an entry that has become too early does nothing.
type timers []*service

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].armed < h[j].armed }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}
func (h *timers) Push(x any) {
	sv := x.(*service)
	*h = append(*h, sv)
	sv.place = len(*h)
}
func (h *timers) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	last.armed, last.place = 0, 0
	return last
}

// deadline returns the earliest deadline of rt, 0 for none.
func deadline(rt *state.Service) int64 {
	var first int64
	for _, at := range [...]int64{rt.StartBy, rt.StopBy, rt.RetryAt, rt.LeftBy, rt.ProbeAt, rt.LookBy} {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

// A pause of the machine, the container or this process must not be taken for
// the time that a service had. So while a service is starting or stopping the
// loop wakes once a second, and a tick that comes late by more than lateness
// moves every deadline by as much.
const (
	tick     = int64(1e9)
	lateness = int64(1e9)
)

// hurried reports whether rt has a deadline that a pause must not eat.
func hurried(rt *state.Service) bool { return rt.StartBy != 0 || rt.StopBy != 0 || rt.LeftBy != 0 }

// watch counts the services with such a deadline, and begins to tick with the
// first.
func (s *Supervisor) watch(sv *service) {
	if is := hurried(&sv.rt); is != sv.watched {
		sv.watched = is
		if s.watched--; is {
			s.watched += 2
		}
		if is && s.watched == 1 {
			s.tickAt = s.opt.Now() + tick
		}
	}
}

// caughtUp moves every deadline when the tick is late. The lock is held.
func (s *Supervisor) caughtUp(now int64) (late int64) {
	if s.watched == 0 {
		return 0
	}
	if late = now - s.tickAt; s.tickAt == 0 || late < lateness {
		late = 0
	}
	s.tickAt = now + tick
	return late
}

// postpone moves every deadline of a service by a pause.
func postpone(rt *state.Service, late int64) {
	for _, at := range [...]*int64{&rt.StartBy, &rt.StopBy, &rt.LeftBy, &rt.RetryAt, &rt.ProbeAt, &rt.LookBy} {
		if *at != 0 {
			*at += late
		}
	}
}

// arm sees to it that sv is looked at when its earliest deadline is due.
func (s *Supervisor) arm(sv *service) {
	s.watch(sv)
	at := deadline(&sv.rt)
	if at == 0 || (sv.armed != 0 && sv.armed <= at) {
		return
	}
	sv.armed = at
	if sv.place > 0 {
		heap.Fix(&s.timers, sv.place-1)
	} else {
		heap.Push(&s.timers, sv)
	}
}

// next returns the next deadline, 0 for none. The lock is held.
func (s *Supervisor) next() int64 {
	at := int64(0)
	if len(s.timers) > 0 {
		at = s.timers[0].armed
	}
	if e := s.ending; e != nil && e.by != 0 && (at == 0 || e.by < at) {
		at = e.by
	}
	if s.watched > 0 && s.tickAt < at {
		at = s.tickAt
	}
	return at
}

// fire carries out every deadline that has passed.
func (s *Supervisor) fire() {
	now := s.opt.Now()
	s.mu.Lock()
	s.alarm.rang()
	late := s.caughtUp(now)
	s.mu.Unlock()
	if late > 0 {
		s.pausedFor(late)
	}
	for {
		s.mu.Lock()
		if len(s.timers) == 0 || s.timers[0].armed > now {
			s.mu.Unlock()
			break
		}
		sv := heap.Pop(&s.timers).(*service)
		if d := deadline(&sv.rt); d > now {
			s.arm(sv)
			s.mu.Unlock()
			continue
		}
		s.mu.Unlock()
		if err := s.decide("timer", func(t *turn) error { t.own = true; t.due(sv, now); return nil }); err != nil {
			s.say(LevelError, "cannot act on a timer of %q: %v; trying again in 1 s", sv.name, err)
			s.soon(time.Second, func() { s.rearm(sv) })
		}
	}
	s.fireEnding(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm.set(s.next())
}

// pausedFor moves all deadlines by the length of a pause.
func (s *Supervisor) pausedFor(late int64) {
	s.say(LevelInfo, "zinit was paused for %s; all deadlines move by as much", short(late))
	s.decide("pause", func(t *turn) error {
		if s.ending != nil && s.ending.by != 0 {
			s.ending.by += late
		}
		for _, name := range s.names {
			sv := s.services[name]
			if next := sv.rt; deadline(&next) != 0 {
				postpone(&next, late)
				t.touch(sv)
				t.set(sv, next)
			}
		}
		return nil
	})
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
		rt.Failure.Text = t.s.unmet(sv)
		t.set(sv, rt)
		t.apply(sv, state.StartTimeout, "start timeout")
	case past(rt.StopBy) && t.mayStillBeTold(&rt):
		t.stopExecLate(sv)
	case past(rt.StopBy) && !rt.Killed:
		t.apply(sv, state.StopTimeout, "stop timeout")
	case past(rt.StopBy):
		t.apply(sv, state.Unkillable, "still there after SIGKILL")
	case past(rt.ProbeAt):
		t.askHealth(sv)
	case past(rt.LookBy):
		t.lookAgain(sv)
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
