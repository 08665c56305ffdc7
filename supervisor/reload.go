package supervisor

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"

	"zinit/graph"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// plan is what a reload would do.
type plan struct {
	config  *Config
	graph   *graph.Graph
	added   []string
	removed []string
	changed []string
	same    int
	retold  []string // of these: they say it in other words, or elsewhere
	restart bool     // at once what runs and has changed
}

// errDryRun ends a turn that only asked what would happen.
var errDryRun = errors.New("dry run")

// ReloadOptions say how to reload.
type ReloadOptions struct {
	DryRun  bool // only tell what would change
	Restart bool // restart at once what runs and has changed
}

// Reload reads the service files again and takes over what they say: whole, or
// not at all. What has not changed feels nothing.
func (s *Supervisor) Reload(by Cause, o ReloadOptions) (Reload, error) {
	by.Text = "reload"
	dryRun := o.DryRun
	added, known := s.accepted()
	c := load(s.opt.Roots, s.opt.Trust, added, known) // without the lock: a disk may be slow
	var r Reload
	err := s.decideBy(by, func(t *turn) error {
		p, err := s.plan(c)
		if err != nil {
			return err
		}
		r = p.answer(dryRun)
		if dryRun {
			return errDryRun
		}
		if s.ending != nil {
			return refuse(ShuttingDown, "", "", "cannot reload: zinit is shutting down")
		}
		p.restart = o.Restart
		return t.adopt(p)
	})
	if err == errDryRun {
		err = nil
	}
	if err == nil && !dryRun && len(r.Added)+len(r.Removed)+len(r.Changed) > 0 {
		s.say(LevelInfo, "reloaded: added [%s], removed [%s], changed [%s]", joinNames(r.Added), joinNames(r.Removed), joinNames(r.Changed))
	}
	return r, err
}

// accepted returns the definitions that no file holds, and by file those that one
// holds of which nothing was to be said.
func (s *Supervisor) accepted() (added []*spec.Spec, known map[string]*spec.Spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = map[string]*spec.Spec{}
	for _, name := range s.config.Names {
		switch sp := s.config.Specs[name]; {
		case s.config.Runtime[name]:
			added = append(added, sp)
		case !sp.Warned:
			known[sp.File] = sp
		}
	}
	return added, known
}

// plan compares c with what is accepted and judges the difference.
func (s *Supervisor) plan(c *Config) (*plan, error) {
	if err := s.newProblems(c); err != nil {
		return nil, err
	}
	p := &plan{config: c}
	var set []graph.Node
	for _, name := range c.Names {
		sv := s.services[name]
		switch {
		case sv == nil || sv.removed:
			p.added = append(p.added, name)
		case !sv.spec.Same(c.Specs[name]):
			p.changed = append(p.changed, name)
		default:
			p.same++
			if now := c.Specs[name]; now.File != sv.spec.File || !bytes.Equal(now.Source, sv.spec.Source) {
				p.retold = append(p.retold, name)
			}
		}
		set = append(set, c.Specs[name].Node())
	}
	for _, name := range s.names {
		if c.Specs[name] == nil && !s.services[name].removed {
			p.removed = append(p.removed, name)
		}
	}
	if len(p.added)+len(p.removed)+len(p.changed)+len(p.retold) == 0 {
		p.graph = s.graph
		return p, nil
	}
	g, err := s.graph.With(set, p.removed)
	if err != nil {
		return nil, refuse(Cyclic, "", "nothing was changed", "cannot reload: %v", err)
	}
	p.graph = g
	for _, name := range p.removed { // by what it runs on, and by what it is to run on
		if err := cmp.Or(s.stillNeeded(s.graph, name, p.removed), s.stillNeeded(g, name, p.removed)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// newProblems refuses a reload for an error that was not there before. A file
// that was broken already stays out and blocks nobody.
func (s *Supervisor) newProblems(c *Config) error {
	known := map[string]bool{}
	for _, p := range s.config.Problems {
		known[p.Error()] = true
	}
	var errs []error
	for _, p := range c.loaded.Problems {
		if !p.Warning && !known[p.Error()] {
			errs = append(errs, p)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return refuse(Invalid, "", "nothing was changed; correct the file and reload again", "cannot reload: %v", errors.Join(errs...))
}

// stillNeeded refuses the removal of a service that something alive needs.
func (s *Supervisor) stillNeeded(g *graph.Graph, name string, removed []string) error {
	var users []string
	for _, e := range g.In(name) {
		d := s.services[e.From]
		if needs(e.Kind) && d != nil && d.rt.Alive() && !slices.Contains(removed, e.From) {
			users = append(users, e.From)
		}
	}
	if len(users) == 0 {
		return nil
	}
	return refuse(Refused, name, "stop them first, or put its file back", "cannot reload: %q is removed, but %s needs it", name, joinNames(users))
}

func (p *plan) answer(dryRun bool) Reload {
	r := Reload{Added: p.added, Removed: p.removed, Changed: p.changed, Unchanged: p.same, ConfigErrors: [][2]string{}, DryRun: dryRun}
	for _, list := range []*[]string{&r.Added, &r.Removed, &r.Changed} {
		if *list == nil {
			*list = []string{}
		}
	}
	for _, pr := range p.config.Problems {
		if !pr.Warning {
			r.ConfigErrors = append(r.ConfigErrors, [2]string{pr.File, pr.Error()})
		}
	}
	return r
}

// adopt takes a judged plan over.
func (t *turn) adopt(p *plan) error {
	s := t.s
	t.keepConfig()
	same := s.config.Settings == p.config.Settings && maps.Equal(s.config.Runtime, p.config.Runtime)
	s.config = p.config
	if len(p.added)+len(p.removed)+len(p.changed)+len(p.retold) == 0 && same {
		return nil
	}
	t.act(func() { s.logs.LimitTotal(p.config.Settings.TotalBytes) })
	if err := t.holdSpecs(p.config); err != nil {
		return err
	}
	s.graph = p.graph
	for _, name := range p.changed {
		t.touch(s.services[name])
		s.services[name].spec = p.config.Specs[name]
	}
	for _, name := range p.retold { // which is no news for a run
		sv, now := s.services[name], p.config.Specs[name]
		t.touch(sv)
		if sv.group.warned == sv.spec {
			sv.group.warned = now
		}
		if sv.cur == sv.spec {
			sv.cur = now
		}
		sv.spec = now
	}
	for _, name := range p.added {
		if old := s.services[name]; old != nil {
			t.touch(old)
			t.undoes = append(t.undoes, func() { old.removed = true })
		}
		s.addService(p.config.Specs[name])
	}
	s.nameAll()
	for _, name := range s.names {
		t.touch(s.services[name])
		s.recount(s.services[name])
	}
	t.dropRemoved(p.removed)
	for _, name := range s.names {
		t.look(s.services[name])
	}
	if p.restart {
		t.restartChanged(p.changed)
	}
	t.follow() // what stops is on its way before anything starts
	t.startNew(p)
	return nil
}

// keepConfig remembers what a failed turn has to put back.
func (t *turn) keepConfig() {
	s := t.s
	g, c, names, services, specs := s.graph, s.config, s.names, maps.Clone(s.services), s.specsHeld
	t.undoes = append(t.undoes, func() { s.graph, s.config, s.names, s.services, s.specsHeld = g, c, names, services, specs })
}

// nameAll lists the names of all services anew, once for many that were added.
func (s *Supervisor) nameAll() { s.names = slices.Sorted(maps.Keys(s.services)) }

// addService makes room for a new definition; nameAll is to follow. The lock is
// held.
func (s *Supervisor) addService(sp *spec.Spec) *service {
	sv := &service{name: sp.Name, spec: sp, cur: sp, rt: state.Service{State: state.Inactive}}
	if old := s.services[sp.Name]; old != nil { // removed before, not gone yet
		old.spec, old.removed = sp, false
		return old
	}
	s.services[sp.Name] = sv
	s.logs.Configure(sp.Name, sp.BufferBytes)
	return sv
}

// dropRemoved stops what the files no longer define, by its old definition; it
// is forgotten when it is gone.
func (t *turn) dropRemoved(names []string) {
	var all []*service
	for _, name := range names {
		sv := t.s.services[name]
		t.touch(sv)
		sv.removed = true
		t.undoes = append(t.undoes, func() { sv.removed = false })
		all = append(all, sv)
	}
	t.takeDown(all, nil, false)
}

// startNew starts added services with status start, and changed ones that had
// failed.
func (t *turn) startNew(p *plan) {
	var svs []*service
	for _, name := range p.added {
		if sv := t.s.services[name]; sv.spec.Status == spec.Start && t.s.graph.Refused(name) == nil {
			svs = append(svs, sv)
		}
	}
	for _, name := range p.changed {
		sv := t.s.services[name]
		if sv.rt.Wanted && (sv.rt.State == state.Failed || sv.rt.State == state.Exited) {
			svs = append(svs, sv)
		}
	}
	t.startAll(svs, true)
}

// forget forgets a service that a reload took away and that is gone. Those that
// point at it see a name that is missing.
func (t *turn) forget(sv *service) {
	s := t.s
	if s.services[sv.name] != sv {
		return
	}
	names := s.names
	t.undoes = append(t.undoes, func() { s.services[sv.name], s.names = sv, names })
	delete(s.services, sv.name)
	if len(t.gone) == 0 { // a copy to take from: others may hold the list, and a turn may forget thousands
		s.names = slices.Clone(names)
	}
	if i, ok := slices.BinarySearch(s.names, sv.name); ok {
		s.names = slices.Delete(s.names, i, i+1)
	}
	t.gone = append(t.gone, sv.name)
	t.act(func() {
		s.logs.Forget(sv.name)
		s.forgetNotify(sv.name)
		s.removeGroup(sv.name)
	})
	for _, e := range s.graph.In(sv.name) {
		if d := s.services[e.From]; d != nil {
			t.touch(d)
			s.recount(d)
			t.look(d)
		}
	}
}
