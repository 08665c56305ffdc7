package supervisor

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"zinit/supervisor/state"
)

// killGrace is the time between SIGKILL and the word "unkillable".
const killGrace = int64(5e9)

// turn is one decision: everything that follows from one request or one piece
// of news. Steps are applied one after the other; when none is left, the turn
// is recorded in one frame, and only then acted upon. A turn that cannot be
// recorded is undone whole.
type turn struct {
	s        *Supervisor
	cause    string
	wall     int64
	mono     int64
	ended    int64 // when what it decides on ended, as the keeper saw it; 0: nothing did
	touched  []*service
	looks    []*service   // to be looked at, because something around them changed
	free     []*service   // blocked by nothing any more
	gone     []string     // services forgotten in this turn
	done     []Transition // told on the bus after the frame
	acts     []func()     // carried out after the frame, in order
	token    string       // of the request; "": it has none
	specs    uint64       // accepted definitions change to "specs/N"; 0: they do not
	alive    int          // by how many the living services change
	starting int          // and those that are starting
	number   uint64       // of the transition being applied, 0: none
	after    uint64       // the transition that what is done now follows from, 0: none
	boot     bool         // what it starts, the boot starts
	own      bool         // what happened to a service follows from its own last transition
	seq      uint64       // of the supervisor before the turn
	undoes   []func()     // put back what is not a service's
}

// decide runs f as one turn and commits it. It returns f's error, and then
// nothing has happened; or the journal's.
func (s *Supervisor) decide(cause string, f func(t *turn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &turn{s: s, cause: cause, wall: s.opt.Wall(), mono: s.opt.Now(), seq: s.seq}
	err := f(t)
	if err == nil {
		t.settle()
		t.conclude()
		err = t.commit()
	}
	if err != nil {
		t.rollback()
	}
	return err
}

// rollback puts every touched service back as it was before the turn.
func (t *turn) rollback() {
	t.s.seq, t.s.upgrade = t.seq, t.s.upgradeKept
	changed := false
	for _, sv := range t.touched {
		sv.rt, sv.tally, sv.cur, sv.spec = sv.undo.rt, sv.undo.tally, sv.undo.cur, sv.undo.spec
		changed = changed || sv.slot != sv.undo.slot
		sv.slot = sv.undo.slot
		sv.calls = false
		t.s.leave(sv)
	}
	for _, undo := range slices.Backward(t.undoes) {
		undo()
	}
	if changed {
		t.s.rewait()
	}
}

// touch keeps what sv was before the turn. It is called in some fifty places: copies
// of it there would be 20 KB of the binary.
//
//go:noinline
func (t *turn) touch(sv *service) {
	if sv.mark == t {
		return
	}
	sv.mark, sv.undo = t, t.s.newUndo()
	*sv.undo = undo{sv.rt, sv.tally, sv.slot, sv.cur, sv.spec}
	t.touched = append(t.touched, sv)
}

// spareUndos is how many values of undo are kept for the next turns.
const spareUndos = 32

func (s *Supervisor) newUndo() *undo {
	if len(s.undos) == 0 {
		return new(undo)
	}
	u := s.undos[len(s.undos)-1]
	s.undos = s.undos[:len(s.undos)-1]
	return u
}

// leave ends a turn for sv.
func (s *Supervisor) leave(sv *service) {
	if len(s.undos) < spareUndos {
		s.undos = append(s.undos, sv.undo)
	}
	sv.mark, sv.undo = nil, nil
}

// look queues sv to be looked at before the turn ends.
func (t *turn) look(sv *service) {
	if !sv.calls {
		sv.calls, sv.after = true, t.number
		t.looks = append(t.looks, sv)
	}
}

// settle looks at services until nothing follows any more. Each look comes from
// a change of a neighbour, so the work is that of the edges that changed.
//
// Nothing starts before all else has followed: what one cause brings back is
// waited for by those that come after it.
func (t *turn) settle() {
	for {
		t.follow()
		switch {
		case len(t.free) > 0:
			sv := t.free[0]
			t.free, t.after = t.free[1:], sv.after
			t.clear(sv)
		case !t.freeSlots():
			t.after = 0
			return
		}
	}
}

// follow is settle without the starts.
func (t *turn) follow() {
	for len(t.looks) > 0 {
		sv := t.looks[0]
		t.looks = t.looks[1:]
		sv.calls, t.after = false, sv.after
		t.review(sv)
	}
	t.after = 0
}

// clear starts a service that nothing blocks any more.
func (t *turn) clear(sv *service) {
	if sv.rt.State == state.Blocked && sv.doom == 0 && !sv.blocked() && t.s.ending == nil && !t.noSlot(sv) {
		t.apply(sv, state.Cleared, "")
	}
}

// review asks whether what happened around sv moves it.
func (t *turn) review(sv *service) {
	rt := &sv.rt
	switch {
	case sv.removed && !rt.Alive():
		t.forget(sv)
	case rt.Queued && rt.State != state.Stopping:
		t.reviewQueued(sv)
	case sv.bound > 0 && !sv.cur.Target && (rt.State == state.Running || rt.State == state.Starting) && t.s.ending == nil:
		t.apply(sv, state.Unbound, "")
	case rt.State == state.Blocked && sv.doom > 0:
		t.doom(sv)
	case rt.State == state.Blocked && sv.waitsForPortsOnly() && rt.LookBy == 0 && t.s.ending == nil:
		t.lookAtPorts(sv)
	case rt.State == state.Blocked && !sv.blocked():
		t.free = append(t.free, sv)
	case rt.State == state.Running && sv.cur.Target && sv.doom > 0:
		t.doom(sv)
	case rt.State == state.Running && sv.cur.Target && sv.need > 0:
		t.apply(sv, state.Hindered, "")
	case rt.State == state.Failed && rt.Wanted && curable(rt.Failure.Kind) && sv.doom == 0:
		t.apply(sv, state.RetryHeld, "")
	}
}

// curable reports whether a failure goes away by itself with its cause.
func curable(k state.FailureKind) bool {
	return k == state.DependencyFailed || k == state.MissingDependency || k == state.Cycle
}

// reviewQueued stops a service that was waiting for those that need it.
func (t *turn) reviewQueued(sv *service) {
	if sv.users > 0 || (t.s.ending != nil && sv.followers > 0) {
		return
	}
	ev := state.Stop
	if sv.rt.Again {
		ev = state.Restart
	}
	t.apply(sv, ev, "")
}

// held picks the event for a service that something blocks or nothing does.
func (t *turn) held(sv *service, free, held state.Event) state.Event {
	if sv.blocked() || t.s.ending != nil || !sv.rt.Alive() && t.noSlot(sv) {
		return held
	}
	return free
}

// doom fails a service that needs something which cannot come up by itself.
func (t *turn) doom(sv *service) {
	f := state.Failure{Kind: state.DependencyFailed}
	for _, e := range t.s.graph.Out(sv.name) {
		if !needs(e.Kind) {
			continue
		}
		other := t.s.services[e.To]
		if other == nil {
			f = state.Failure{Kind: state.MissingDependency, Text: e.To}
			break
		}
		if t.s.standing(other, &other.rt).hopeless && f.Text == "" {
			f.Text = e.To
		}
	}
	if err := t.s.graph.Refused(sv.name); err != nil {
		f = state.Failure{Kind: state.Cycle, Text: err.Error()}
	}
	t.touch(sv)
	next := sv.rt
	next.Failure = f
	t.set(sv, next)
	t.apply(sv, state.Doomed, "")
}

// keepAsking begins or ends the asking of a service whose state has changed.
func (t *turn) keepAsking(sv *service) {
	if sv.probes() {
		t.watchHealth(sv)
		return
	}
	t.dropProbe(sv)
	if sv.rt.ProbeAt != 0 {
		next := sv.rt
		next.ProbeAt = 0
		t.set(sv, next)
	}
}

// apply carries sv through one row of the table. cause "" is the turn's.
func (t *turn) apply(sv *service, ev state.Event, cause string) {
	from := sv.rt
	next, do, err := sv.rt.Step(ev, t.wall, t.mono)
	if err != nil {
		t.s.say(LevelWarn, "%s: %v (cause: %s)", sv.name, err, t.cause)
		return
	}
	if cause == "" {
		cause = t.causeNow()
		if from.State == state.Stopping && next.State != from.State && t.own {
			cause = from.Cause // who stopped it, not the last of it
		}
	}
	t.touch(sv)
	outer := t.number
	if next.State != from.State {
		t.s.seq++
		t.number = t.s.seq
		next.Cause, next.Seq = cause, t.s.seq
	}
	t.order(sv, &next, do)
	t.set(sv, next)
	if next.State != from.State {
		t.tell(sv, from, ev, cause)
		t.keepAsking(sv)
	}
	t.number = outer
	if sv.cur.Target {
		t.applyTarget(sv, do)
	}
}

// causeNow is the cause of what follows from a neighbour's transition in this
// turn, or else the turn's own.
func (t *turn) causeNow() string {
	if t.after == 0 || len(t.done) == 0 || t.after < t.done[0].Seq {
		return t.cause
	}
	tr := &t.done[t.after-t.done[0].Seq] // their numbers follow each other
	return tr.Name + " is " + tr.To
}

// applyTarget answers for a target, which has no process to wait for.
func (t *turn) applyTarget(sv *service, do state.Effect) {
	switch {
	case do&state.Spawn != 0:
		t.apply(sv, state.Ready, "")
	case do&state.SendStop != 0:
		t.goneBy(sv)
	}
}

// order sets the deadlines that do arms and queues what it orders.
func (t *turn) order(sv *service, next *state.Service, do state.Effect) {
	if do&state.Spawn != 0 {
		sv.ports.free = nil
		was := t.s.standing(sv, &sv.rt)
		sv.cur = sv.spec
		t.tellAbove(sv, was, t.s.standing(sv, &sv.rt))
	}
	if sv.cur.Target {
		next.Live = false
		return
	}
	if do&state.Spawn != 0 {
		run := next.Run
		if sv.cur.PreExec.Given() {
			t.beginHook(sv, next, state.PreHook)
		} else {
			t.act(func() { t.s.spawn(sv, run) })
		}
	}
	if do&state.ArmStart != 0 && sv.spec.StartTimeout > 0 {
		next.StartBy = t.mono + int64(sv.spec.StartTimeout)
	}
	if do&state.SendStop != 0 {
		t.stopBegins(sv, next)
	}
	if do&state.ArmStop != 0 {
		next.StopBy = t.mono + t.s.stopTimeout(sv)
		t.halfWay(next, t.s.stopTimeout(sv))
	}
	if do&state.SendKill != 0 {
		t.signal(sv, next, unix.SIGKILL)
		t.signalHook(sv, next, unix.SIGKILL)
	}
	if do&state.ArmKill != 0 {
		next.StopBy = t.mono + killGrace
	}
	if do&state.ArmRetry != 0 {
		r := sv.rules()
		next.RetryAt = cmp.Or(t.ended, t.mono) + state.Backoff(r.Delay, r.DelayMax, next.Attempts, t.s.opt.Jitter())
	}
	if do&state.SayUnkill != 0 {
		next.StopBy = 0
		pid := next.Pid
		t.act(func() {
			t.s.sayUnkillable(sv.name, pid)
			t.s.nameLeft(sv)
		})
	}
}

func (t *turn) act(f func()) { t.acts = append(t.acts, f) }

// tell notes a transition for the bus and for zinit's own log.
func (t *turn) tell(sv *service, from state.Service, ev state.Event, cause string) {
	because := t.after
	if because == 0 && t.own {
		because = from.Seq
	}
	t.done = append(t.done, Transition{Seq: sv.rt.Seq, Because: because, TimeMS: t.wall / 1e6, Name: sv.name, From: from.State.String(),
		To: sv.rt.State.String(), Event: ev.String(), Run: sv.rt.Run, PID: sv.rt.Pid, Cause: cause, Reason: t.s.reason(sv)})
}

// set gives sv its next value and tells its neighbours what that means for
// them. It is the only place that changes a runtime value.
func (t *turn) set(sv *service, next state.Service) {
	was, is := t.s.standing(sv, &sv.rt), t.s.standing(sv, &next)
	if !sv.cur.Target {
		t.countStarting(sv.rt.State, -1)
		t.countStarting(next.State, +1)
	}
	sv.rt = next
	t.look(sv)
	t.tellAbove(sv, was, is)
}

func (t *turn) countStarting(st state.State, by int) {
	if st == state.Starting {
		t.starting += by
	}
}

// commit records the turn in one frame and then carries it out.
func (t *turn) commit() error {
	t.s.writeHistory(t.done)
	if err := t.s.record(t); err != nil {
		return err
	}
	if t.token != "" {
		t.s.tokens.add(t.token, t.mono)
	}
	t.s.alive += t.alive
	t.s.starting += t.starting
	for _, sv := range t.touched {
		t.s.arm(sv)
		if sv.changed != nil && sv.rt != sv.undo.rt {
			close(sv.changed)
			sv.changed = nil
		}
		t.s.leave(sv)
	}
	t.s.keeper.Cork()
	for _, act := range t.acts {
		act()
	}
	t.s.keeper.Uncork()
	t.s.alarm.set(t.s.next())
	for _, tr := range t.done {
		t.s.bus.Publish(tr)
		t.s.sayTransition(tr)
	}
	t.s.endIfStopped()
	return nil
}
