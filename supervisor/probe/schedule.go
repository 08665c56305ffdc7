package probe

import (
	"math"
	"time"
)

// FirstPause is the pause before the first probe of a starting service. It
// doubles up to the plan's interval.
const FirstPause = 100 * time.Millisecond

// Never is the due time of a schedule with a probe under way.
const Never = math.MaxInt64

// Plan is how a service is to be probed.
type Plan struct {
	Interval    time.Duration // from the end of a probe to the next, above 0
	Retries     int           // failures in a row that mean it is lost, at least 1
	StartPeriod time.Duration // failures that come within it, from the start of the run, do not count
}

// Outcome is what the answer to a probe amounts to.
type Outcome uint8

// The outcomes.
const (
	Nothing Outcome = iota // as before, or it does not count
	Healthy                // the first success of the run, or the first since it was lost
	Lost                   // the last of as many failures in a row as the plan allows
)

// Schedule is the probing of one run. Times are nanoseconds of
// CLOCK_MONOTONIC. All of it may be written down and read back: see Adopt.
// While the service is starting, probes come quickly and failures do not
// count; Up says that it runs. A schedule goes on after Lost, for those that
// only report; who restarts or stops the service drops it.
type Schedule struct {
	Plan     Plan
	Started  int64 // when the run was started
	Due      int64 // when the next probe begins; Never while one is under way
	Pause    int64 // before the probe after this, while starting
	Running  bool  // the service is no longer starting
	Failures int   // in a row that count
	Well     bool  // the last verdict was Healthy
}

// Begin returns the schedule of a run that starts now.
func Begin(p Plan, now int64) Schedule {
	s := Schedule{Plan: p, Started: now}
	s.hurry(now)
	return s
}

// hurry sets the next probe of a starting service.
func (s *Schedule) hurry(now int64) {
	interval := int64(s.Plan.Interval)
	s.Pause = min(max(2*s.Pause, int64(FirstPause)), interval)
	s.Due = now + s.Pause
}

// Start notes that a probe begins, if one is due, and reports whether it is.
func (s *Schedule) Start(now int64) bool {
	if now < s.Due {
		return false
	}
	s.Due = Never
	return true
}

// Up notes that the service runs: from now on failures count. Again, it does
// nothing.
func (s *Schedule) Up(now int64) {
	if s.Running {
		return
	}
	s.Running = true
	if s.Due != Never {
		s.Due = now + int64(s.Plan.Interval)
	}
}

// End notes the answer of the probe under way. An answer to none is nothing.
func (s *Schedule) End(now int64, ok bool) Outcome {
	if s.Due != Never {
		return Nothing
	}
	if !ok && !s.Running {
		s.hurry(now)
		return Nothing
	}
	s.Due = now + int64(s.Plan.Interval)
	if ok {
		return s.succeeded()
	}
	if now-s.Started < int64(s.Plan.StartPeriod) {
		return Nothing
	}
	s.Failures = min(s.Failures+1, math.MaxInt32)
	if s.Failures != s.Plan.Retries {
		return Nothing
	}
	s.Well = false
	return Lost
}

func (s *Schedule) succeeded() Outcome {
	s.Failures = 0
	if s.Well {
		return Nothing
	}
	s.Well = true
	return Healthy
}

// Adopt continues a predecessor's schedule: the answer to a probe that was
// under way will never come, so another one is due.
func (s *Schedule) Adopt(now int64) {
	if s.Due == Never {
		s.Due = now
	}
}

// Shift moves the schedule by a time in which nobody ran: a machine asleep, a
// process stopped.
func (s *Schedule) Shift(by int64) {
	s.Started += by
	if s.Due != Never {
		s.Due += by
	}
}
