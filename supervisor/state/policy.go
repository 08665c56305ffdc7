package state

import (
	"slices"
	"syscall"
)

// Policy is when a service that ended is started again by itself.
type Policy uint8

const (
	OnFailure Policy = iota // the default: after an end without success
	Always
	Never
)

// Rules are the parts of a service's definition that decide what its end
// means. Times are nanoseconds.
type Rules struct {
	Oneshot      bool
	Policy       Policy
	Delay        int64 // before the first restart; doubles with each
	DelayMax     int64
	MaxRestarts  int   // in a row; 0: no limit
	Stability    int64 // having run this long clears the count
	SuccessCodes []int // besides 0
}

// Success reports whether e is a success by these rules.
func (r Rules) Success(e Exit) bool {
	return e.Signal == 0 && (e.Code == 0 || slices.Contains(r.SuccessCodes, e.Code))
}

// retry decides whether an end is followed by a restart, and counts it.
func (r Rules) retry(s *Service, success bool, mono int64) bool {
	if !s.Wanted || r.Policy == Never || (success && (r.Policy != Always || r.Oneshot)) {
		return false
	}
	if s.ReadyAt != 0 && mono-s.ReadyAt >= r.Stability {
		s.Attempts = 0
	}
	if r.MaxRestarts > 0 && s.Attempts >= r.MaxRestarts {
		return false
	}
	s.Attempts++
	return true
}

// spent reports whether s, which retry refused after a success, would have been
// started again but for its budget: it is not there as it should be.
func (r Rules) spent(s *Service) bool {
	return s.Wanted && r.Policy == Always && !r.Oneshot
}

// ClassifyExit turns the end of the latest run into an event for s, and
// returns s with the exit and, where it is one, the failure recorded. gone
// says that nothing else of the service lives.
func ClassifyExit(s Service, e Exit, r Rules, mono int64) (Service, Event) {
	e.Killed = s.Killed && e.Signal == int(syscall.SIGKILL) // it may have ended by itself just before
	s.Last, s.Live, s.Pid, s.Left = e, false, 0, true
	if s.State == Stopping {
		return s, Ended
	}
	success := r.Success(e)
	early := s.State == Starting && !r.Oneshot
	again := r.retry(&s, success && !early, mono)
	if success && !early && (again || !r.spent(&s)) {
		s.Failure, s.OK = Failure{}, true
		if again {
			return s, DoneRetry
		}
		return s, Done
	}
	s.Failure = Failure{Kind: ExitCode, Code: e.Code, Core: e.Core, Early: early}
	if e.Signal != 0 {
		s.Failure.Kind, s.Failure.Code = Signal, e.Signal
	}
	if again {
		return s, ExitedRetry
	}
	return s, ExitedFinal
}

// ClassifyEnding is ClassifyExit for a service whose post_exec runs before its
// end is told: what it will be is recorded, and Gone... follows.
func ClassifyEnding(s Service, e Exit, r Rules, mono int64) (Service, Event) {
	if s.ReadyAt != 0 && mono-s.ReadyAt >= r.Stability { // leaving the state forgets since when it ran
		s.Attempts = 0
	}
	r.Policy = Never // the restart is judged when nothing is left
	s, _ = ClassifyExit(s, e, r, mono)
	return s, Ending
}

// ClassifySpawn turns a run that could not be started into an event. held says
// that something blocks the next start.
func ClassifySpawn(s Service, text string, r Rules, mono int64, held bool) (Service, Event) {
	s.Live, s.Left, s.Pid = false, false, 0
	if s.State == Stopping {
		return ClassifyGone(s, r, mono, held)
	}
	again := r.retry(&s, false, mono)
	s.Failure = Failure{Kind: SpawnError, Text: text}
	if again {
		return s, SpawnRetry
	}
	return s, SpawnFinal
}

// ClassifyGone turns "nothing of it is left" into an event. held says that
// something blocks the next start.
func ClassifyGone(s Service, r Rules, mono int64, held bool) (Service, Event) {
	s.Live, s.Left, s.Pid = false, false, 0
	if s.State != Stopping {
		return s, LeftGone
	}
	switch {
	case s.Again && held:
		return s, GoneHeld
	case s.Again:
		return s, GoneFree
	case s.Failure.Kind == NoFailure && s.OK && r.retry(&s, true, mono):
		return s, GoneDone
	case s.Failure.Kind == NoFailure && s.OK && r.spent(&s):
		s.Failure, s.OK = Failure{Kind: ExitCode, Code: s.Last.Code}, false
		return s, GoneFinal
	case s.Failure.Kind == NoFailure:
		return s, GoneExited
	case r.retry(&s, false, mono):
		return s, GoneRetry
	}
	return s, GoneFinal
}

// leastDelay is the shortest time before a restart, in nanoseconds. No
// configuration switches it off.
const leastDelay = 1_000_000

// leastSpread is the shortest delay that is spread, in nanoseconds: a tenth of less
// is too little to part those who failed together.
const leastSpread = 10_000_000

// Backoff returns the delay before restart number attempt (from 1): delay,
// doubled with each, at most limit, plus jitter (0 to 1) times a tenth of it.
// Times are nanoseconds.
func Backoff(delay, limit int64, attempt int, jitter float64) int64 {
	d := delay
	for i := 1; i < attempt && d < limit; i++ {
		d *= 2
	}
	if d = min(d, limit); d >= leastSpread {
		d += int64(jitter * float64(d) / 10)
	}
	return max(d, leastDelay)
}
