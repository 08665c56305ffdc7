package supervisor

import (
	"context"
	"strings"

	"zinit/supervisor/state"
)

func joinNames(names []string) string { return strings.Join(names, ", ") }

// verdict judges whether what was asked of a service has come about. done is
// false while that is still open.
type verdict func(s *Supervisor, sv *service) (o Outcome, done bool)

// AwaitStart returns what became of services that were asked to start: when each
// is ready, done, has failed once, or waits for somebody's act; or as they are
// when ctx ends.
func (s *Supervisor) AwaitStart(ctx context.Context, names []string) ([]Outcome, error) {
	return s.outcomes(ctx, names, true, started)
}

// AwaitStop returns what became of services that were asked to stop: when
// nothing is left of each, or it is known that something will not go; or as
// they are when ctx ends.
func (s *Supervisor) AwaitStop(ctx context.Context, names []string) ([]Outcome, error) {
	out, err := s.outcomes(ctx, names, true, stopped)
	for i := range out {
		out[i].OK = out[i].OK || out[i].State == forgotten
	}
	return out, err
}

// AwaitReload returns how the latest reload of services went: by a reload_exec, when
// that has ended; by a signal at once.
func (s *Supervisor) AwaitReload(ctx context.Context, names []string) ([]Outcome, error) {
	return s.outcomes(ctx, names, true, func(_ *Supervisor, sv *service) (Outcome, bool) {
		if sv.rt.Reload {
			return Outcome{Reason: "reload_exec runs"}, false
		}
		return Outcome{OK: sv.reloadFault == "", Reason: sv.reloadFault}, true
	})
}

// forgotten is the state of a service that was removed while it was waited for.
const forgotten = "removed"

// goals are what AwaitFor can wait for.
var goals = map[string]verdict{"running": runs, "ready": readyOrDone, "exited": ranOut, "stopped": stopped}

// AwaitFor returns when each service is what is waited for: running, ready (or,
// a oneshot, done), exited (its run is over, however) or stopped (nothing of it
// is left); when it is known that this cannot come by itself; or when ctx ends.
func (s *Supervisor) AwaitFor(ctx context.Context, names []string, goal string) ([]Outcome, error) {
	judge := goals[goal]
	if judge == nil {
		return nil, refuse(Invalid, "", "", "cannot wait for %q: running, ready, exited or stopped", goal)
	}
	s.mu.Lock()
	for _, n := range names {
		if s.services[n] == nil {
			defer s.mu.Unlock()
			return nil, s.unknown(n)
		}
	}
	s.mu.Unlock()
	return s.outcomes(ctx, names, true, judge)
}

// runs judges whether a service runs.
func runs(s *Supervisor, sv *service) (Outcome, bool) {
	if sv.rt.State == state.Running && !sv.rt.Queued {
		return Outcome{OK: true}, true
	}
	o := Outcome{Reason: s.reason(sv)}
	switch {
	case !sv.rt.Wanted:
		if o.Reason == "" {
			o.Reason = "nobody has asked for it"
		}
		return o, true
	case sv.rt.State == state.Blocked:
		return o, s.stranded(sv)
	case sv.rt.State == state.Failed || sv.rt.State == state.Exited:
		return o, sv.rt.RetryAt == 0
	}
	return o, s.ending != nil
}

// readyOrDone is runs, and for a oneshot that it has succeeded.
func readyOrDone(s *Supervisor, sv *service) (Outcome, bool) {
	if sv.rt.Satisfies(sv.spec.Oneshot) {
		return Outcome{OK: true}, true
	}
	return runs(s, sv)
}

// ranOut judges whether a run is over.
func ranOut(s *Supervisor, sv *service) (Outcome, bool) {
	switch sv.rt.State {
	case state.Exited, state.Failed:
		return Outcome{OK: true, Reason: s.reason(sv)}, true
	case state.Inactive:
		return Outcome{Reason: "it never ran"}, true
	}
	return Outcome{Reason: s.reason(sv)}, false
}

// outcomes returns what became of each name. With wait it returns when every
// verdict is final, or ctx ends; then those still open are marked pending.
func (s *Supervisor) outcomes(ctx context.Context, names []string, wait bool, judge verdict) ([]Outcome, error) {
	out := make([]Outcome, len(names))
	for i, name := range names {
		o, err := s.outcome(ctx, name, wait, judge)
		if err != nil {
			return nil, err
		}
		out[i] = o
	}
	return out, nil
}

func (s *Supervisor) outcome(ctx context.Context, name string, wait bool, judge verdict) (Outcome, error) {
	for {
		s.mu.Lock()
		sv := s.services[name]
		if sv == nil {
			s.mu.Unlock()
			return Outcome{Name: name, State: forgotten}, nil
		}
		o, done := judge(s, sv)
		o.Name, o.State, o.Pending = name, sv.rt.State.String(), !done
		if sv.changed == nil {
			sv.changed = make(chan struct{})
		}
		changed := sv.changed
		s.mu.Unlock()
		if done || !wait {
			return o, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			o.Reason = "not there yet: " + o.Reason
			return o, nil
		}
	}
}

// started judges a start: over when it is ready or done, at the first failed
// run, or when only somebody else's act can unblock it.
func started(s *Supervisor, sv *service) (Outcome, bool) {
	o := Outcome{Reason: s.reason(sv)}
	switch sv.rt.State {
	case state.Running:
		if sv.rt.Queued {
			return o, false
		}
		o.OK, o.Reason = true, ""
		return o, true
	case state.Exited:
		o.OK = sv.rt.Satisfies(sv.spec.Oneshot)
		return o, true
	case state.Failed, state.Inactive:
		return o, true
	case state.Blocked:
		return o, s.stranded(sv)
	}
	return o, s.ending != nil
}

// stopped judges a stop: over when nothing of the service is left, or when it
// is known that something will not go.
func stopped(s *Supervisor, sv *service) (Outcome, bool) {
	if sv.rt.Stuck {
		return Outcome{Reason: s.reason(sv)}, true
	}
	if sv.rt.Alive() {
		return Outcome{Reason: "stopping"}, false
	}
	o := Outcome{OK: true}
	if sv.rt.Last.Killed && sv.rt.Last.Run == sv.rt.Run {
		o.Reason = "killed after its stop timeout"
	}
	return o, true
}

// stranded reports whether something blocks sv, directly or through others that
// are blocked, that will not end by itself: somebody has to act.
func (s *Supervisor) stranded(sv *service) bool {
	seen := map[*service]bool{sv: true}
	for queue := []*service{sv}; len(queue) > 0; queue = queue[1:] {
		for _, b := range s.blockers(queue[0]) {
			if b.stranded {
				return true
			}
			if other := s.services[b.name]; other != nil && other.rt.State == state.Blocked && !seen[other] {
				seen[other] = true
				queue = append(queue, other)
			}
		}
	}
	return false
}
