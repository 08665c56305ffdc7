package supervisor

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"zinit/graph"
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// live lets the history happen.
func (w *world) live() {
	for _, s := range w.p.steps {
		w.next(s)
	}
}

// next lets one step happen. After "cut" the wire to the keeper breaks within
// the next one, and the server with it.
func (w *world) next(s step) {
	if s.verb == "cut" {
		w.cut = s.num(0) + 1
		return
	}
	if s.verb == "sleep" {
		w.cut = 0 // a server does not outlive its wire for so long
	}
	w.note("[%s]", strings.TrimSpace(s.verb+" "+strings.Join(s.args, " ")))
	w.wire = w.cut - 1
	w.step(s)
	w.wire = -1
	w.after(s.verb)
	if w.cut > 0 && !w.isOver() {
		w.crash()
	}
	w.cut = 0
}

// step lets one thing happen.
func (w *world) step(s step) {
	who := s.arg(0)
	switch s.verb {
	case "start", "start-nodeps", "stop", "stop-nodeps", "restart", "kill", "renew", "reload", "reload-restart", "shutdown":
		w.ask(s)
	case "exit", "die", "last", "ready":
		if r := w.latest[who]; r != nil {
			w.happen(r, s)
		}
	case "deaf", "undead", "broken", "leaves":
		h := w.habit(who)
		b := map[string]*bool{"deaf": &h.deaf, "undead": &h.undead, "broken": &h.broken, "leaves": &h.leaves}[s.verb]
		*b = !*b
	case "busy":
		w.habit(who).busy = s.num(1)
	case "full":
		w.setFull(w.whole == nil)
	case "read":
		w.read(s.num(0))
	case "run":
		w.readAll()
	case "sleep":
		w.sleep(time.Duration(s.num(0)) * time.Millisecond)
	case "pause": // nothing runs meanwhile, and nothing is late because of it
		w.now += int64(s.num(0)) * 1e6
		w.s.fire()
	case "wall":
		w.skew += int64(s.num(0)) * 1e6
	case "again":
		if n := len(w.past); n > 0 {
			w.tellAgain(w.past[s.num(0)%n])
		}
	case "crash":
		if !w.isOver() {
			w.crash()
		}
	default:
		w.fail("no step is called %q", s.verb)
	}
}

// isOver says that the server has told the keeper to end everything.
func (w *world) isOver() bool { return w.s.ending != nil && w.s.ending.over }

// happen is something that a process does.
func (w *world) happen(r *run, s step) {
	switch s.verb {
	case "exit":
		w.end(r, s.num(1), 0)
	case "die":
		w.end(r, 0, syscall.Signal(s.num(1)))
	case "last":
		w.gone(r)
	case "ready":
		if r.watch && r.alive && !r.ready {
			r.ready = true
			w.queue = append(w.queue, keeper.Event{Kind: newline, Tag: r.Tag, Name: r.pipe()})
		}
	}
}

// ask is a request. One that is refused changes nothing.
func (w *world) ask(s step) {
	before, wanted := w.snapshot(), w.wanted()
	tw := w.twin()
	var err error
	names := slices.DeleteFunc(slices.Clone(s.args), func(n string) bool {
		sv := w.s.services[n]
		return sv == nil || sv.removed
	})
	if len(names) == 0 && s.files == nil && s.verb != "reload" && s.verb != "shutdown" {
		return
	}
	was := maps.Clone(w.stopped)
	streak := maps.Clone(w.streak)
	switch s.verb {
	case "start":
		w.mayBeStarted(tw.pulledIn(names...))
		err = w.s.Start(names, me, StartOptions{})
	case "start-nodeps":
		w.mayBeStarted(set(names))
		err = w.s.Start(names, me, StartOptions{NoDeps: true})
	case "stop", "stop-nodeps":
		_, err = w.s.Stop(names, me, StopOptions{NoDeps: s.verb == "stop-nodeps"})
	case "restart":
		w.mayBeStarted(tw.pulledIn(names...))
		for n := range tw.needing(names...) {
			w.streak[n] = 0
		}
		_, err = w.s.Restart(names, me, StopOptions{})
	case "kill":
		err = w.kill(names[0], syscall.Signal(max(s.num(1), 1)))
	case "renew":
		err = w.renew(names[0])
	case "reload", "reload-restart":
		err = w.reload(s.files, s.verb == "reload-restart")
	case "shutdown":
		err = w.s.Shutdown("shutdown", me)
	}
	if err != nil {
		w.stopped, w.streak = was, streak
		w.note("refused: %v", firstLine(err.Error()))
		if now := w.snapshot(); now != before {
			w.fail("%s was refused (%v), but changed\n%s\nto\n%s", s.verb, err, before, now)
		}
		w.mayRefuse(err)
		return
	}
	if s.verb == "stop" {
		for _, n := range names {
			if sv := w.s.services[n]; sv != nil && sv.rt.Wanted {
				w.fail("%s was stopped and is still wanted", n)
			}
		}
	}
	for name := range wanted {
		if sv := w.s.services[name]; sv != nil && !sv.rt.Wanted {
			w.stopped[name] = true
		}
	}
}

// renew asks for the reload_exec of a service.
func (w *world) renew(name string) error {
	was := w.owed[name]
	w.owed[name] = w.s.services[name].rt.Run
	err := w.s.ReloadService(name, me)
	if err != nil {
		w.owed[name] = was
	}
	return err
}

// mayRefuse: only for these causes.
func (w *world) mayRefuse(err error) {
	var e *Error
	if !errors.As(err, &e) {
		w.fail("refused for %v", err)
	}
	switch {
	case e.Kind == Unrecorded && w.whole != nil, e.Kind == ShuttingDown && w.s.ending != nil,
		e.Kind == Cyclic, e.Kind == Refused, e.Kind == NotRunning:
	default:
		w.fail("refused for %s: %v", e.Kind, err)
	}
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func (w *world) wanted() map[string]bool {
	m := map[string]bool{}
	for name, sv := range w.s.services {
		if sv.rt.Wanted {
			m[name] = true
		}
	}
	return m
}

// reload changes files and takes over what they say. It is whole, or refused
// and nothing; what has not changed and is up feels nothing; no service that
// could be ordered becomes one that cannot.
func (w *world) reload(change files, restart bool) error {
	next := maps.Clone(w.files)
	for name, text := range change {
		if text == "" {
			delete(next, name)
		} else {
			next[name] = text
		}
	}
	bad := w.twin().bad
	seq, same := map[string]uint64{}, map[string]*spec.Spec{}
	for name, sv := range w.s.services {
		if up(sv) && !sv.removed {
			seq[name], same[name] = sv.rt.SigSeq, sv.spec
		}
	}
	c := configOf(w.t, next)
	var may []string
	w.reloading = true
	defer func() { w.reloading = false }()
	err := w.s.decide("reload", func(t *turn) error {
		p, err := w.s.plan(c)
		if err != nil {
			return err
		}
		if w.s.ending != nil {
			return refuse(ShuttingDown, "", "", "cannot reload: zinit is shutting down")
		}
		may = w.mayStartByReload(p)
		p.restart = restart
		err = t.adopt(p)
		w.mayBeStarted(w.twin().pulledIn(may...))
		return err
	})
	if err != nil {
		return err
	}
	w.files = next
	for name, isBad := range w.twin().bad {
		if isBad && !bad[name] {
			w.fail("a reload was accepted in which %s cannot be ordered", name)
		}
	}
	for name, sp := range same {
		if restart {
			break // what needs a changed one is restarted with it
		}
		// Who is bound to something changed may have lost it.
		lost := len(w.twin().lost(name)) > 0
		if sv := w.s.services[name]; c.Specs[name] != nil && sp.Same(c.Specs[name]) && !sp.Target && sv.rt.SigSeq != seq[name] && !lost {
			w.fail("a reload that does not change %s reached it", name)
		}
	}
	for _, name := range sortedKeys(w.s.services) {
		if sv := w.s.services[name]; sv.removed != (c.Specs[name] == nil) {
			w.fail("after a reload %s is removed=%t", name, sv.removed)
		}
	}
	return nil
}

// mayStartByReload lists whom a reload may start: what is new and starts at
// boot, and what has changed and is wanted.
func (w *world) mayStartByReload(p *plan) []string {
	var may []string
	for _, name := range p.added {
		w.streak[name] = 0
		if p.config.Specs[name].Status == spec.Start {
			may = append(may, name)
		}
	}
	for _, name := range p.changed {
		if w.s.services[name].rt.Wanted {
			may = append(may, name)
		}
	}
	return may
}

// atRest lets everybody behave, waits until nothing follows, and holds what
// must then be true.
func (w *world) atRest() {
	w.t.Helper()
	w.setFull(false)
	w.habits = map[string]*habit{}
	w.note("[everybody behaves]")
	for i := range 200 {
		busy, before := len(w.queue) > 0, w.snapshot()
		for _, r := range w.spawned {
			switch sv := w.s.services[r.Tag]; {
			case r.left && !r.alive:
				w.gone(r)
				busy = true
			case r.alive && sv != nil && sv.rt.Run == r.Run && (sv.rt.Stuck || sv.cur.Oneshot && sv.rt.State == state.Starting):
				w.end(r, 0, 0)
				busy = true
			case r.alive && r.watch && !r.ready:
				w.happen(r, do("ready", r.Tag))
				busy = true
			}
		}
		w.sleep(10*time.Minute + time.Duration(i)*777*time.Millisecond) // in step with no restart
		if !busy && w.snapshot() == before && w.s.next() == 0 && w.nextWait() == 0 && len(w.queue) == 0 {
			w.checkRest()
			return
		}
	}
	w.fail("it never comes to rest")
}

func (w *world) checkRest() {
	for _, name := range w.s.names {
		sv := w.s.services[name]
		rt := &sv.rt
		switch {
		case rt.State == state.Starting, rt.State == state.Stopping, rt.RetryAt != 0, rt.Queued, rt.Left:
			w.fail("at rest %s is %+v", name, *rt)
		case !rt.Wanted && rt.Alive():
			w.fail("at rest %s is up, and nobody wants it: %+v", name, *rt)
		case rt.Wanted && rt.State == state.Inactive:
			w.fail("at rest %s is wanted, and nobody starts it: %+v", name, *rt)
		case rt.Live && w.owed[name] == rt.Run:
			w.fail("at rest %s has not been reloaded since that was asked for: %+v", name, *rt)
		}
	}
	for _, k := range sortedKeys(w.runs) {
		if r := w.runs[k]; !r.lives() {
			w.fail("at rest the keeper still keeps run%s, which nobody has acknowledged", k)
		}
	}
	w.checkWhy()
	if w.s.ending == nil {
		w.checkRepeated()
	}
}

// checkRepeated: what is as asked is asked for again, and nothing happens.
func (w *world) checkRepeated() {
	before, seq := len(w.trace), w.seq
	w.step(step{verb: "reload"})
	for _, name := range w.s.Names() {
		if sv := w.s.services[name]; sv.rt.Wanted && sv.rt.State == state.Running && len(w.twin().clash[name]) == 0 {
			free := !slices.ContainsFunc(w.s.graph.Out(name), func(e graph.Edge) bool {
				d := w.s.services[e.To]
				return d != nil && e.Kind != graph.After && !satisfied(d)
			})
			if free {
				w.step(do("start", name))
			}
		}
	}
	w.readAll()
	w.after("the same again")
	if w.seq != seq {
		w.fail("the same again changed something: %v", w.trace[before:])
	}
}

// atTheEnd shuts down and holds that it ends in time.
func (w *world) atTheEnd() {
	w.t.Helper()
	w.setFull(false)
	w.note("[shutdown]")
	if err := w.s.Shutdown("shutdown", me); err != nil {
		w.fail("shutdown: %v", err)
	}
	w.after("shutdown")
	w.sleep(w.s.bound() + time.Duration(killGrace) + time.Second)
	if e := w.s.ending; e == nil || !e.over {
		w.fail("a shutdown did not end within its bound of %s", w.s.bound())
	}
	<-w.s.Ended()
	undead := false
	for _, h := range w.habits {
		undead = undead || h.undead
	}
	for _, r := range w.spawned {
		if r.lives() && !undead {
			w.fail("%s lives after the shutdown", r.Tag)
		}
	}
	if w.over.Load() != 1 {
		w.fail("the keeper was told %d times", w.over.Load())
	}
}
