package graph

import (
	"cmp"
	"fmt"
	"slices"
)

// maxContradictions bounds how many contradictions are told in full, since each
// has a path. The rest are counted, and Refused knows them all.
const maxContradictions = 100

// maxSteps bounds the search for shortest circles: beyond it a knot of
// thousands of nodes that all wait for each other shows a short circle, perhaps
// not the shortest.
const maxSteps = 2_000_000

// refusal is why a node is refused. Its zero value: it is not.
type refusal struct {
	cycle   int32 // number of its circle's component, plus one
	partner int32 // the node it both needs and excludes, plus one
}

func (r refusal) is() bool { return r != refusal{} }

// Refused returns why name cannot be ordered, a *[CycleError] or
// *[ContradictionError], or nil.
func (g *Graph) Refused(name string) error {
	n, ok := g.number(name)
	if !ok || !g.why[n].is() {
		return nil
	}
	return g.refused(n)
}

// marked tells whether name is refused, without looking for the path.
func (g *Graph) marked(name string) bool {
	n, ok := g.number(name)
	return ok && g.why[n].is()
}

func (g *Graph) refused(n int32) error {
	if g.why[n].cycle > 0 {
		return &CycleError{Edges: g.searcher().circle(n, 0)}
	}
	return g.contradiction(n, g.why[n].partner-1)
}

// judge finds what must be refused and returns the reasons.
func (g *Graph) judge() []error {
	g.why = make([]refusal, len(g.names))
	errs := g.judgeCycles()
	return append(errs, g.judgeContradictions()...)
}

func (g *Graph) judgeCycles() []error {
	components := g.components(Kind.Orders)
	find := g.searcher()
	var circles []*CycleError
	for c, members := range components {
		if len(members) == 1 && !g.waitsForItself(members[0]) {
			continue
		}
		for _, n := range members {
			g.why[n].cycle = int32(c) + 1
		}
		circles = append(circles, &CycleError{Edges: find.shortestCircle(members)})
	}
	slices.SortFunc(circles, func(a, b *CycleError) int {
		return cmp.Compare(a.Edges[0].From, b.Edges[0].From)
	})
	var errs []error
	for _, circle := range circles {
		errs = append(errs, circle)
	}
	return errs
}

func (g *Graph) waitsForItself(n int32) bool {
	edges, ends := g.out.of(n)
	for i, e := range edges {
		if ends[i] == n && e.Kind.Orders() {
			return true
		}
	}
	return false
}

// judgeContradictions finds every pair that excludes each other and of which
// one needs the other. It looks at 64 of the excluded nodes at a time: a bit
// for each flows from what is needed to what needs it.
func (g *Graph) judgeContradictions() []error {
	excluded := g.excluded()
	if len(excluded) == 0 {
		return nil
	}
	components := g.components(Kind.Needs)
	home := make([]int32, len(g.names))
	for c, members := range components {
		for _, n := range members {
			home[n] = int32(c)
		}
	}
	var found [][2]int32
	needs := make([]uint64, len(components))
	for batch := range slices.Chunk(excluded, 64) {
		g.flow(needs, components, home, batch)
		for bit, target := range batch {
			edges, ends := g.in.of(target)
			for i, e := range edges {
				who := ends[i]
				if e.Kind != Conflicts || needs[home[who]]>>bit&1 == 0 {
					continue
				}
				if home[who] != home[target] || who < target { // else both need each other: told once
					found = append(found, [2]int32{who, target})
				}
			}
		}
	}
	return g.markContradictions(found)
}

// excluded returns the nodes that something conflicts with.
func (g *Graph) excluded() []int32 {
	var excluded []int32
	for n := range g.names {
		edges, _ := g.in.of(int32(n))
		if g.is(int32(n)) && slices.ContainsFunc(edges, func(e Edge) bool { return e.Kind == Conflicts }) {
			excluded = append(excluded, int32(n))
		}
	}
	return excluded
}

// flow sets, for each component, which members of batch it holds or needs.
// Components come with what they need before them.
func (g *Graph) flow(needs []uint64, components [][]int32, home []int32, batch []int32) {
	clear(needs)
	for bit, n := range batch {
		needs[home[n]] |= 1 << bit
	}
	for c, members := range components {
		for _, n := range members {
			edges, ends := g.out.of(n)
			for i, e := range edges {
				if e.Kind.Needs() {
					needs[c] |= needs[home[ends[i]]]
				}
			}
		}
	}
}

// markContradictions refuses who needs of each pair {who needs, what}. What is
// needed is innocent, whichever side says that they exclude each other: it can
// be alive without the other.
func (g *Graph) markContradictions(found [][2]int32) []error {
	slices.SortFunc(found, func(a, b [2]int32) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	var errs []error
	for i, pair := range found {
		if who := &g.why[pair[0]]; !who.is() {
			who.partner = pair[1] + 1
		}
		if i < maxContradictions {
			errs = append(errs, g.contradiction(pair[0], pair[1]))
		}
	}
	if more := len(found) - maxContradictions; more > 0 {
		errs = append(errs, fmt.Errorf("%d more contradictions, beginning with %s and %s", more,
			g.names[found[maxContradictions][0]], g.names[found[maxContradictions][1]]))
	}
	return errs
}

// contradiction describes that a both needs and excludes b.
func (g *Graph) contradiction(a, b int32) error {
	e := &ContradictionError{Path: g.searcher().find(a, b, walk{kinds: Kind.Needs})}
	edges, ends := g.out.of(a)
	for i, edge := range edges {
		if edge.Kind == Conflicts && ends[i] == b {
			e.Conflict = edge
		}
	}
	return e
}

// shortestCircle returns the shortest circle among the members of a component,
// beginning with the name that sorts first.
func (s *searcher) shortestCircle(members []int32) []Edge {
	members = slices.Sorted(slices.Values(members))
	var best []Edge
	for _, n := range s.g.forks(members) {
		if circle := s.circle(n, len(best)); circle != nil {
			best = circle
		}
		if len(best) == 1 || s.steps > maxSteps {
			break
		}
	}
	first := 0
	for i, e := range best {
		if e.From < best[first].From {
			first = i
		}
	}
	return slices.Concat(best[first:], best[:first])
}

// forks returns the members at which a way inside the component divides. Every
// circle passes through one of them, unless the component is a single circle;
// then any member will do.
func (g *Graph) forks(members []int32) []int32 {
	var forks []int32
	for _, n := range members {
		edges, ends := g.out.of(n)
		var inside int32 = -1
		for i, e := range edges {
			if !e.Kind.Orders() || g.why[ends[i]].cycle != g.why[n].cycle || ends[i] == inside {
				continue
			}
			if inside >= 0 {
				forks = append(forks, n)
				break
			}
			inside = ends[i]
		}
	}
	if forks == nil {
		return members[:1]
	}
	return forks
}

// circle returns the shortest way from n over ordering edges back to n, or nil
// if it is not shorter than limit (0: no limit).
func (s *searcher) circle(n int32, limit int) []Edge {
	return s.find(n, n, walk{kinds: Kind.Orders, cycle: s.g.why[n].cycle, limit: limit})
}
