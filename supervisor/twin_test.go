package supervisor

import (
	"fmt"
	"slices"

	"zinit/graph"
	"zinit/supervisor/state"
)

// twin is the slow and obvious supervisor: it remembers nothing, counts
// nothing, and reads from the definitions alone who waits for whom.
type twin struct {
	s     *Supervisor
	c     *Config
	waits map[string][]string // whom each waits for at its start, if that comes at all
	needs map[string][]string
	binds map[string][]string
	wants map[string][]string
	clash map[string][]string
	edges map[string][]edgeTo // who needs it, or comes after it
	bad   map[string]bool     // waits for itself, or excludes what it needs
}

type edgeTo struct {
	from  string
	kind  graph.Kind
	needs bool
}

// newTwin reads the definitions that are accepted.
func newTwin(s *Supervisor) *twin {
	w := &twin{s: s, c: s.config, waits: map[string][]string{}, needs: map[string][]string{}, binds: map[string][]string{},
		wants: map[string][]string{}, clash: map[string][]string{}, bad: map[string]bool{}, edges: map[string][]edgeTo{}}
	add := func(m map[string][]string, from, to string) {
		if !slices.Contains(m[from], to) {
			m[from] = append(m[from], to)
		}
	}
	order := func(from, to string, kind graph.Kind) {
		if e := (edgeTo{from, kind, kind != graph.After}); !slices.Contains(w.edges[to], e) {
			w.edges[to] = append(w.edges[to], e)
		}
	}
	for _, name := range sortedKeys(s.config.Specs) {
		for _, d := range s.config.Specs[name].Deps {
			switch d.Kind {
			case graph.Requires:
				order(name, d.Name, d.Kind)
				add(w.needs, name, d.Name)
			case graph.BindsTo:
				order(name, d.Name, d.Kind)
				add(w.needs, name, d.Name)
				add(w.binds, name, d.Name)
			case graph.Wants:
				add(w.wants, name, d.Name)
			case graph.After:
				order(name, d.Name, graph.After)
				add(w.waits, name, d.Name)
			case graph.Before:
				order(d.Name, name, graph.After)
				add(w.waits, d.Name, name)
			case graph.Conflicts:
				if d.Name != name {
					add(w.clash, name, d.Name)
					add(w.clash, d.Name, name)
				}
			}
		}
	}
	for name := range s.config.Specs {
		w.bad[name] = w.reaches(name, name, true) || w.contradicts(name)
	}
	return w
}

// twin is made once for each set of definitions.
func (w *world) twin() *twin {
	if w.made == nil || w.made.s != w.s || w.made.c != w.s.config {
		w.made = newTwin(w.s)
	}
	return w.made
}

// reaches reports whether from leads to to, over needs, or over all that orders.
func (w *twin) reaches(from, to string, orders bool) bool {
	seen := map[string]bool{}
	queue := []string{from}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if w.s.config.Specs[n] == nil {
			continue // a name alone leads nowhere
		}
		next := w.needs[n]
		if orders {
			next = slices.Concat(next, w.waits[n])
		}
		for _, d := range next {
			if d == to && w.s.config.Specs[d] != nil {
				return true
			}
			if !seen[d] {
				seen[d] = true
				queue = append(queue, d)
			}
		}
	}
	return false
}

func (w *twin) contradicts(name string) bool {
	return slices.ContainsFunc(w.clash[name], func(other string) bool {
		return w.reaches(name, other, false)
	})
}

// What a service is to its neighbours, in the words of the specification.

func up(sv *service) bool { return sv.rt.State == state.Running && !sv.rt.Queued }

func satisfied(sv *service) bool {
	return up(sv) || sv.spec.Oneshot && sv.rt.State == state.Exited && sv.rt.OK
}

func ended(sv *service) bool { return sv.rt.State == state.Failed || sv.rt.State == state.Exited }

func outcome(sv *service) bool { return up(sv) || ended(sv) && sv.rt.RetryAt == 0 }

func living(sv *service) bool {
	switch sv.rt.State {
	case state.Starting, state.Running, state.Stopping:
		return true
	}
	return sv.rt.Left
}

func hopeless(sv *service) bool {
	return sv.rt.Wanted && ended(sv) && sv.rt.RetryAt == 0 && !satisfied(sv)
}

func waitsForSlot(sv *service) bool { return sv.slot && sv.rt.State == state.Blocked }

// blockers says in words all that keeps a service from starting.
func (w *twin) blockers(name string) []string {
	var list []string
	for _, d := range w.needs[name] {
		if other := w.s.services[d]; other == nil {
			list = append(list, d+" is missing")
		} else if !satisfied(other) {
			list = append(list, d+" is not there")
		}
	}
	for _, d := range w.waits[name] {
		if other := w.s.services[d]; other != nil && other.rt.Wanted && !outcome(other) {
			list = append(list, d+" has no outcome")
		}
	}
	for _, d := range w.clash[name] {
		if other := w.s.services[d]; other != nil && living(other) {
			list = append(list, d+" excludes it")
		}
	}
	if w.bad[name] {
		list = append(list, "a cycle or contradiction")
	}
	if sv := w.s.services[name]; sv != nil && sv.rt.Left {
		list = append(list, "processes of its last run")
	}
	if sv := w.s.services[name]; len(list) == 0 && sv != nil && waitsForSlot(sv) {
		list = append(list, "no start slot")
	}
	return list
}

// doomed says what a service needs that cannot come by itself.
func (w *twin) doomed(name string) []string {
	var list []string
	for _, d := range w.needs[name] {
		if other := w.s.services[d]; other == nil || hopeless(other) {
			list = append(list, d)
		}
	}
	if w.bad[name] {
		list = append(list, name)
	}
	return list
}

// lost says which of those that a service is bound to are not there.
func (w *twin) lost(name string) []string {
	var list []string
	for _, d := range w.binds[name] {
		other := w.s.services[d]
		if other == nil || !satisfied(other) && !(other.spec.Oneshot && !ended(other) && other.rt.State != state.Inactive) && !becomes(other, &other.rt) {
			list = append(list, d)
		}
	}
	return list
}

// users lists who needs a service and lives; followers also who comes after it.
// They are edges, not services: one that both needs it and comes after it
// counts twice among the followers.
func (w *twin) users(name string) (users, followers []string) {
	for _, e := range w.edges[name] {
		if sv := w.s.services[e.from]; sv == nil || !living(sv) {
			continue
		}
		followers = append(followers, e.from)
		if e.needs {
			users = append(users, e.from)
		}
	}
	return users, followers
}

// differs compares with what the supervisor keeps in its counts.
func (w *twin) differs(sv *service) string {
	blockers, doomed, lost := w.blockers(sv.name), w.doomed(sv.name), w.lost(sv.name)
	users, followers := w.users(sv.name)
	switch {
	case (sv.blocked() || waitsForSlot(sv)) != (len(blockers) > 0):
		return fmt.Sprintf("counts say blocked=%t (%+v), but blocked by %q", sv.blocked(), sv.tally, blockers)
	case (sv.doom > 0) != (len(doomed) > 0):
		return fmt.Sprintf("counts say doom=%d, but doomed by %q", sv.doom, doomed)
	case (sv.bound > 0) != (len(lost) > 0):
		return fmt.Sprintf("counts say bound=%d, but lost are %q", sv.bound, lost)
	case sv.users != len(users):
		return fmt.Sprintf("counts say %d users, but they are %q", sv.users, users)
	case sv.followers != len(followers):
		return fmt.Sprintf("counts say %d followers, but they are %q", sv.followers, followers)
	}
	if sv.rt.State != state.Blocked {
		return ""
	}
	if named := w.s.blockers(sv); (len(named) > 0) != (len(blockers) > 0) {
		return fmt.Sprintf("it names %+v as its blockers, which are %q", named, blockers)
	}
	return ""
}

// pulledIn returns names and all that a start of them may start: what they need
// and want, and what comes back because of them.
func (w *twin) pulledIn(names ...string) map[string]bool {
	seen := map[string]bool{}
	for len(names) > 0 {
		n := names[0]
		names = names[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		names = append(names, slices.Concat(w.needs[n], w.wants[n])...)
	}
	return seen
}

// needing returns names and all that need them, also through others.
func (w *twin) needing(names ...string) map[string]bool {
	seen := map[string]bool{}
	for len(names) > 0 {
		n := names[0]
		names = names[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		for from, list := range w.needs {
			if slices.Contains(list, n) {
				names = append(names, from)
			}
		}
	}
	return seen
}
