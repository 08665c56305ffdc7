package supervisor

import (
	"zinit/graph"
	"zinit/supervisor/state"
)

// standing is what a service means to its neighbours.
type standing struct {
	satisfies bool // one that requires it may start
	pending   bool // one that comes after it must wait for its outcome
	alive     bool // one that conflicts with it must wait, one it needs must outlive it
	hopeless  bool // it cannot come up by itself
	lost      bool // one that is bound to it must stop
}

// standing judges the runtime value rt of sv.
func (s *Supervisor) standing(sv *service, rt *state.Service) standing {
	st := standing{satisfies: rt.Satisfies(sv.spec.Oneshot), alive: rt.Alive()}
	st.pending = rt.Wanted && !rt.Settled()
	ended := rt.State == state.Failed || rt.State == state.Exited
	st.hopeless = rt.Wanted && ended && rt.RetryAt == 0 && !st.satisfies
	// A oneshot that runs again is lost only when that fails; one that is done and
	// becomes something else, when that does not come up: a reload starts it.
	st.lost = !st.satisfies && (!sv.spec.Oneshot || ended || rt.State == state.Inactive) && !becomes(sv, rt)
	return st
}

// becomes reports whether sv was a oneshot, is done as that and is wanted as what it
// is now.
func becomes(sv *service, rt *state.Service) bool {
	return sv.cur.Oneshot && !sv.spec.Oneshot && rt.Wanted && rt.State == state.Exited && rt.OK
}

// needs reports whether an edge of this kind must be satisfied.
func needs(k graph.Kind) bool { return k == graph.Requires || k == graph.BindsTo }

// count adds by to what sv's tally holds of an edge of kind k whose other end
// has the standing st.
func (tl *tally) count(k graph.Kind, st standing, by int) {
	switch k {
	case graph.Requires, graph.BindsTo:
		if !st.satisfies {
			tl.need += by
		}
		if st.hopeless {
			tl.doom += by
		}
		if st.lost && k == graph.BindsTo {
			tl.bound += by
		}
	case graph.After:
		if st.pending {
			tl.order += by
		}
	case graph.Conflicts:
		if st.alive {
			tl.clash += by
		}
	}
}

// recount makes sv's tally afresh, for a graph that has been swapped.
func (s *Supervisor) recount(sv *service) {
	sv.tally = tally{}
	for _, e := range s.graph.Out(sv.name) {
		other := s.services[e.To]
		switch {
		case other != nil:
			sv.count(e.Kind, s.standing(other, &other.rt), +1)
		case needs(e.Kind):
			sv.need++
			sv.doom++
			if e.Kind == graph.BindsTo {
				sv.bound++
			}
		}
	}
	if s.graph.Refused(sv.name) != nil {
		sv.need++
		sv.doom++
	}
	for _, e := range s.graph.In(sv.name) {
		other := s.services[e.From]
		if other == nil || !other.rt.Alive() || e.Kind == graph.Conflicts || e.Kind == graph.Wants {
			continue
		}
		if needs(e.Kind) {
			sv.users++
		}
		sv.followers++
	}
}

// tellAbove tells those that depend on sv what it was to them and is now.
func (t *turn) tellAbove(sv *service, was, is standing) {
	if was == is {
		return
	}
	for _, e := range t.s.graph.In(sv.name) {
		if d := t.s.services[e.From]; d != nil {
			t.touch(d)
			d.count(e.Kind, was, -1)
			d.count(e.Kind, is, +1)
			t.look(d)
		}
	}
	if was.alive != is.alive {
		t.tellBelow(sv, is.alive)
	}
}

// tellBelow tells what sv needs or comes after that sv is alive or no more.
func (t *turn) tellBelow(sv *service, alive bool) {
	by := -1
	if alive {
		by = 1
	}
	t.alive += by
	for _, e := range t.s.graph.Out(sv.name) {
		d := t.s.services[e.To]
		if d == nil || e.Kind == graph.Conflicts || e.Kind == graph.Wants {
			continue
		}
		t.touch(d)
		if needs(e.Kind) {
			d.users += by
		}
		d.followers += by
		t.look(d)
	}
}
