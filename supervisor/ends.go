package supervisor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/state"
)

// The exit statuses of a container's zinit, as shells and container engines
// count them. An orderly stop ends with 0, a main service with its own.
const (
	statusNeverRan      = 1
	statusStuck         = 3 // something could not be stopped
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

// finalSweep is what the keeper may need of a shutdown's time when the services
// are stopped: TERM to whatever is left, two seconds, SIGKILL.
const finalSweep = 2500 * time.Millisecond

// conclude looks at what the turn has come to: in a container the end for good
// of a service that carries it is the end of zinit, in the same frame; on a
// machine it is an emergency.
func (t *turn) conclude() {
	s := t.s
	if s.opt.Mode == Machine {
		t.emergencies()
	}
	if s.opt.Mode != Container || s.ending != nil {
		return
	}
	var first *service // what follows from its end may end in the same turn
	for _, sv := range t.touched {
		if t.endedForGood(sv) && carries(sv) && (first == nil || sv.rt.Seq < first.rt.Seq) {
			first = sv
		}
	}
	switch {
	case first != nil:
		status := endStatus(&first.rt)
		t.end("shutdown", status, fmt.Sprintf("%s has ended for good (%s), status %d", first.name, s.endText(first), status))
	case s.opt.ExitWhenIdle && t.idle():
		t.end("shutdown", 0, "nothing runs any more")
	default:
		return
	}
	t.settle()
}

// endedForGood reports whether sv has ended in this turn with no restart to
// come, though it is wanted: what an operator stopped has not.
func (t *turn) endedForGood(sv *service) bool {
	rt := &sv.rt
	return (rt.State == state.Exited || rt.State == state.Failed) && rt.Seq != sv.undo.rt.Seq && rt.RetryAt == 0 && rt.Wanted && !sv.removed
}

// carries reports whether zinit ends with sv: with any end of a main service,
// with the failure of a critical one.
func carries(sv *service) bool {
	return sv.spec.Main || sv.spec.Critical && sv.rt.State == state.Failed
}

// idle reports whether nothing lives, waits or is to be started again.
func (t *turn) idle() bool {
	if t.s.alive+t.alive > 0 {
		return false
	}
	for _, sv := range t.s.services {
		if sv.rt.State == state.Blocked || sv.rt.RetryAt != 0 {
			return false
		}
	}
	return true
}

// end begins the end of everything. What the keeper needs for its sweep is part
// of the bound; when the longest chain of stop timeouts exceeds the rest, all
// shrink by one factor.
func (t *turn) end(how string, status int, why string) {
	s := t.s
	bound := s.bound()
	services := int64(bound - min(finalSweep, bound*3/10))
	e := &ending{how: how, since: t.mono, by: t.mono + services, scale: 1, status: status}
	if chain, room := s.longestChain(), services*9/10; chain > room {
		e.scale = float64(room) / float64(chain)
	}
	s.ending = e
	t.undoes = append(t.undoes, func() { s.ending = nil })
	s.say(LevelInfo, "%s: %s; stopping everything, at most %s", how, why, bound)
	t.stopEverything()
}

// endStatus is the exit status that the end of a service stands for. One that
// failed never ends with 0.
func endStatus(rt *state.Service) int {
	switch rt.Failure.Kind {
	case state.DependencyFailed, state.MissingDependency, state.Cycle, state.Lost:
		return statusNeverRan
	case state.SpawnError:
		switch unix.Errno(rt.Failure.Code) {
		case 0:
			return statusNeverRan
		case unix.ENOENT:
			return statusNotFound
		}
		return statusNotExecutable
	}
	switch {
	case rt.Last.Signal != 0:
		return statusSignal + rt.Last.Signal
	case rt.State == state.Failed && rt.Last.Code == 0:
		return statusNeverRan
	}
	return rt.Last.Code
}

// Unsaid is why the command given to zinit did not run, in a line; "" when it
// did, for then its status and its own words say all.
func (s *Supervisor) Unsaid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[MainName]
	if s.opt.Main == nil || sv == nil || sv.rt.State != state.Failed {
		return ""
	}
	switch sv.rt.Failure.Kind {
	case state.ExitCode, state.Signal:
		return ""
	}
	return failureText(sv) + "\n"
}

// endText says how sv ended, without what comes next.
func (s *Supervisor) endText(sv *service) string {
	switch {
	case sv.rt.State == state.Failed:
		return failureText(sv)
	case sv.spec.Target:
		return "stopped"
	}
	return exitText(sv.rt.Last)
}
