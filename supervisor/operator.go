package supervisor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"zinit/graph"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// Cause is who asked.
type Cause struct {
	Kind string // operator, boot, signal, reload
	UID  uint32
	PID  int
	Text string // what was asked, e.g. "start"

	Signal int    // by which it was asked; 0: by none, or it is not known
	Token  string // of a request that may come again; "": it has none
}

// String is the cause as it is shown: "start by uid 0, pid 812".
func (c Cause) String() string {
	if c.Kind == "operator" {
		return fmt.Sprintf("%s by uid %d, pid %d", c.Text, c.UID, c.PID)
	}
	if c.Kind == "signal" {
		sig := "a signal"
		if c.Signal != 0 {
			sig = "signal " + signalName(c.Signal)
		}
		return fmt.Sprintf("%s by %s to pid %d", c.Text, sig, c.PID)
	}
	if c.Text != "" {
		return c.Text
	}
	return c.Kind
}

// StartOptions say how to start.
type StartOptions struct {
	NoDeps bool // wait for what it needs without starting it
}

// StopOptions say how to stop or restart.
type StopOptions struct {
	NoDeps  bool // refuse when something alive needs it
	DryRun  bool // only tell what would stop
	Members bool // of targets, also what they pull in and nobody else requires
}

// Start makes services wanted, with what they need, and starts them. It returns
// when that is decided; AwaitStart tells what becomes of it.
func (s *Supervisor) Start(names []string, by Cause, o StartOptions) error {
	by.Text = "start"
	return s.decideBy(by, func(t *turn) error {
		svs, err := t.find(names)
		if err != nil {
			return err
		}
		if s.ending != nil {
			return shuttingDown(names[0])
		}
		for _, sv := range svs {
			if err := s.graph.Refused(sv.name); err != nil {
				return refuse(Cyclic, sv.name, "break it in one of these files, then: zinit reload", "cannot start %q: %v", sv.name, err)
			}
			t.stopRivals(sv)
		}
		t.startAll(svs, !o.NoDeps)
		return nil
	})
}

func shuttingDown(name string) *Error {
	return refuse(ShuttingDown, name, "", "cannot start %q: zinit is shutting down", name)
}

// find looks names up; one that is unknown refuses the whole request.
func (t *turn) find(names []string) ([]*service, error) {
	var svs []*service
	for _, n := range names {
		sv := t.s.services[n]
		if sv == nil || sv.removed {
			return nil, t.s.unknown(n)
		}
		svs = append(svs, sv)
	}
	return svs, nil
}

// startAll makes svs wanted, pulls in what they need, and starts them. All are
// made wanted before the first is started, so that each sees who else comes.
func (t *turn) startAll(svs []*service, pullIn bool) {
	seen := map[*service]bool{}
	var all []*service
	queue := slices.Clone(svs)
	why := map[*service]string{}
	for len(queue) > 0 {
		sv := queue[0]
		queue = queue[1:]
		if seen[sv] {
			continue
		}
		seen[sv] = true
		all = append(all, sv)
		if !pullIn {
			continue
		}
		for _, e := range t.s.graph.Out(sv.name) {
			d := t.s.services[e.To]
			if d == nil || d.removed || seen[d] || (!needs(e.Kind) && e.Kind != graph.Wants) || d.spec.Status == spec.Ignore || t.s.settledUp(d) {
				continue
			}
			why[d] = "needed by " + sv.name
			queue = append(queue, d)
		}
	}
	all = t.inOrder(all)
	t.want(all, why)
	t.follow() // what has failed because of them is on its way again, too
	for _, sv := range all {
		t.start(sv)
	}
}

// inOrder sorts services so that each comes after those it waits for, also
// through others. Members of a cycle come last.
func (t *turn) inOrder(all []*service) []*service {
	if len(all) < 2 {
		return all
	}
	rank := make(map[string]int, len(all))
	for i, name := range t.s.graph.StartOrder() {
		rank[name] = i + 1
	}
	slices.SortStableFunc(all, func(a, b *service) int {
		return cmp.Compare(uint(rank[a.name]-1), uint(rank[b.name]-1)) // 0 becomes the last
	})
	return all
}

// settledUp reports whether d is up, or on its way, or done: a pull-in leaves
// it alone.
func (s *Supervisor) settledUp(d *service) bool {
	return d.rt.Wanted && (d.rt.State == state.Running || d.rt.State == state.Starting) && !d.rt.Queued ||
		d.rt.Satisfies(d.spec.Oneshot)
}

func (t *turn) want(all []*service, why map[*service]string) {
	for _, sv := range all {
		next := sv.rt
		next.Wanted, next.Starter, next.Boot = true, t.cause, next.Boot || t.boot
		if next.State == state.Exited || next.State == state.Failed {
			next.Attempts, next.RetryAt = 0, t.mono // due: those that come after it wait
			next.Boot = t.boot
		}
		if next.Queued && !next.Again { // a stop that was not told yet is taken back,
			next.Queued = t.leaves(sv) // or becomes a restart
			next.Again = next.Queued
		}
		if w := why[sv]; w != "" {
			next.Starter = w
		}
		t.touch(sv)
		t.set(sv, next)
	}
}

// leaves reports whether something that sv needs waits for sv to stop.
func (t *turn) leaves(sv *service) bool {
	return slices.ContainsFunc(t.s.graph.Out(sv.name), func(e graph.Edge) bool {
		d := t.s.services[e.To]
		return needs(e.Kind) && d != nil && d.rt.Queued
	})
}

// start gives sv the event of an operator's or a dependent's start.
func (t *turn) start(sv *service) {
	ev := t.held(sv, state.StartFree, state.StartHeld)
	t.apply(sv, ev, sv.rt.Starter)
}

// stopRivals stops what conflicts with a service that an operator starts.
func (t *turn) stopRivals(sv *service) {
	for _, e := range t.s.graph.Out(sv.name) {
		other := t.s.services[e.To]
		if e.Kind == graph.Conflicts && other != nil && (other.rt.Alive() || other.rt.Wanted) {
			rival := []*service{other}
			t.takeDown(t.withUsers(rival), rival, false)
		}
	}
}

// withUsers returns svs and all that need them, alive or wanted, in the order
// in which they were found.
func (t *turn) withUsers(svs []*service) []*service {
	seen := map[*service]bool{}
	var all []*service
	queue := slices.Clone(svs)
	for len(queue) > 0 {
		sv := queue[0]
		queue = queue[1:]
		if seen[sv] {
			continue
		}
		seen[sv] = true
		all = append(all, sv)
		for _, e := range t.s.graph.In(sv.name) {
			if d := t.s.services[e.From]; d != nil && needs(e.Kind) && (d.rt.Alive() || d.rt.Wanted) {
				queue = append(queue, d)
			}
		}
	}
	return all
}

// active reports whether there is a run to stop. What only has processes left of
// an ended run is not: those have their own deadline.
func active(rt *state.Service) bool {
	return rt.State == state.Starting || rt.State == state.Running || rt.State == state.Stopping
}

// takeDown stops services, each after those that need it; again says that they
// come back. What is only bound to one of asked, and not asked for itself, comes
// back with it; asked nil means all.
func (t *turn) takeDown(all, asked []*service, again bool) {
	var bound map[*service]bool
	if asked != nil {
		bound = t.bound(all, asked)
	}
	for _, sv := range all {
		back := again || bound[sv]
		next := sv.rt
		next.Wanted, next.Boot = back, false
		if active(&next) && next.State != state.Stopping {
			next.Queued, next.Again, next.RetryAt = true, back, 0
		}
		t.touch(sv)
		t.set(sv, next)
	}
	for _, sv := range all {
		switch back := again || bound[sv]; {
		case sv.rt.Queued:
			t.look(sv)
		case !back:
			t.apply(sv, state.Stop, "")
		case sv.rt.State == state.Stopping:
			t.apply(sv, state.Restart, "")
		}
	}
}

// bringDown stops services that come back: of all, those asked for and those that
// need them, what has a run to stop and was not stopped before.
func (t *turn) bringDown(all, asked []*service) {
	t.takeDown(slices.DeleteFunc(all, func(sv *service) bool {
		return !active(&sv.rt) || !sv.rt.Wanted && !slices.Contains(asked, sv)
	}), nil, true)
}

// bound returns what is left of all without asked, those that require one of
// them, directly or through others, and what was stopped before.
func (t *turn) bound(all, asked []*service) map[*service]bool {
	left := map[*service]bool{}
	for _, sv := range all {
		left[sv] = true
	}
	for queue := slices.Clone(asked); len(queue) > 0; queue = queue[1:] {
		sv := queue[0]
		if !left[sv] {
			continue
		}
		left[sv] = false
		for _, e := range t.s.graph.In(sv.name) {
			if d := t.s.services[e.From]; left[d] && e.Kind == graph.Requires {
				queue = append(queue, d)
			}
		}
	}
	for _, sv := range all {
		left[sv] = left[sv] && sv.rt.Wanted
	}
	return left
}

// Stop stops services, those that need them first. also names what goes with
// the ones asked for.
func (s *Supervisor) Stop(names []string, by Cause, o StopOptions) (also []string, err error) {
	by.Text = "stop"
	return s.takeDownByName(names, by, o, false)
}

// Restart stops services and those that need them, and starts them again. What
// is not running is started. also names what goes with the ones asked for.
func (s *Supervisor) Restart(names []string, by Cause, o StopOptions) (also []string, err error) {
	by.Text = "restart"
	return s.takeDownByName(names, by, o, true)
}

// takeDownByName decides a stop or a restart; it returns the names of those
// that go with the ones asked for.
func (s *Supervisor) takeDownByName(names []string, by Cause, o StopOptions, again bool) (also []string, err error) {
	err = s.decideBy(by, func(t *turn) error {
		svs, err := t.find(names)
		if err != nil {
			return err
		}
		if again && s.ending != nil {
			return shuttingDown(names[0])
		}
		all := t.withUsers(svs)
		for _, sv := range all {
			if !slices.Contains(names, sv.name) && sv.rt.Alive() {
				also = append(also, sv.name)
			}
		}
		if o.NoDeps && len(also) > 0 {
			return refuse(Refused, names[0], "leave out --no-deps to stop them too", "cannot stop %q alone: needed by %s", names[0], joinNames(also))
		}
		if o.Members {
			members, err := t.members(svs, all)
			if err != nil {
				return err
			}
			for _, sv := range members {
				also = append(also, sv.name)
			}
			all, svs = append(all, members...), append(svs, members...)
		}
		if o.DryRun {
			return nil
		}
		if !again {
			t.takeDown(all, svs, false)
			return nil
		}
		t.bringDown(all, svs)
		var idle []*service
		for _, sv := range svs {
			if !active(&sv.rt) {
				idle = append(idle, sv)
			}
		}
		t.startAll(idle, true)
		return nil
	})
	return also, err
}

// members returns what targets pull in, also through targets in them, and is up
// or wanted, by name: without going, which stops anyway, and without what is
// required by something else.
func (t *turn) members(targets, going []*service) ([]*service, error) {
	set := map[*service]bool{}
	for queue := slices.Clone(targets); len(queue) > 0; queue = queue[1:] {
		sv := queue[0]
		if !sv.spec.Target {
			return nil, refuse(Refused, sv.name, "stop it without --members", "cannot stop the members of %q: it is no target", sv.name)
		}
		for _, e := range t.s.graph.Out(sv.name) {
			d := t.s.services[e.To]
			if d == nil || set[d] || slices.Contains(going, d) || !needs(e.Kind) && e.Kind != graph.Wants || !d.rt.Alive() && !d.rt.Wanted {
				continue
			}
			set[d] = true
			if d.spec.Target {
				queue = append(queue, d)
			}
		}
	}
	kept := func(sv *service, _ bool) bool {
		return slices.ContainsFunc(t.withUsers([]*service{sv}), func(d *service) bool { return !set[d] && !slices.Contains(going, d) })
	}
	maps.DeleteFunc(set, kept) // withUsers looks through others: one pass is enough
	return slices.SortedFunc(maps.Keys(set), func(a, b *service) int { return cmp.Compare(a.name, b.name) }), nil
}

// Kill sends a signal to the processes of a service; nothing else is decided.
func (s *Supervisor) Kill(name string, sig syscall.Signal, by Cause) error {
	by.Text = "kill -s " + signalName(int(sig))
	return s.decideBy(by, func(t *turn) error {
		sv := s.services[name]
		if sv == nil {
			return s.unknown(name)
		}
		if rootsOf(sv) == (roots{}) {
			return refuse(NotRunning, name, "", "service not running: %s", name)
		}
		if err := t.operatorSignal(sv, sig, state.ToGroup); err != nil {
			return err
		}
		s.say(LevelInfo, "%s: signal %s sent (%s)", name, signalName(int(sig)), by)
		return nil
	})
}
