package graph

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Build makes a graph of nodes. It never fails: nodes that cannot be ordered
// are marked as refused (see [Graph.Refused]), and the reasons come back as
// *[CycleError] and *[ContradictionError], cycles first, each group sorted by
// its first name. Of two nodes with one name the first is taken; a node without
// a name is left out.
//
// The graph keeps the Deps of the nodes: do not modify them afterwards.
func Build(nodes []Node) (*Graph, []error) {
	g := index(nodes)
	g.link()
	return g, g.judge()
}

// With returns the graph in which the nodes of set are added or replace those
// of the same name, and the names in remove are gone (set wins over remove). It
// is checked whole: if the change refuses a node that is not refused in g, With
// returns the reason, a *[CycleError] or *[ContradictionError], and no graph.
// What was refused before, and still is, is no reason. g is unchanged.
func (g *Graph) With(set []Node, remove []string) (*Graph, error) {
	changed := make(map[string]bool, len(set)+len(remove))
	for _, name := range remove {
		changed[name] = true
	}
	nodes := make([]Node, 0, len(set)+g.size())
	for _, node := range set {
		changed[node.Name] = true
		nodes = append(nodes, node)
	}
	if g != nil {
		for _, node := range g.nodes {
			if node.Name != "" && !changed[node.Name] {
				nodes = append(nodes, node)
			}
		}
	}
	next := index(nodes)
	next.link()
	next.judge()
	for n := range next.why {
		if next.why[n].is() && !g.marked(next.names[n]) {
			return nil, next.refused(int32(n))
		}
	}
	return next, nil
}

func (g *Graph) size() int {
	if g == nil {
		return 0
	}
	return len(g.nodes)
}

// index numbers every name that nodes declare or point at.
func index(nodes []Node) *Graph {
	first := make(map[string]int, len(nodes)) // of each name, where it is declared; -1: nowhere
	for i, node := range nodes {
		if at, ok := first[node.Name]; node.Name != "" && (!ok || at < 0) {
			first[node.Name] = i
		}
		for _, d := range node.Deps {
			if _, ok := first[d.Name]; !ok {
				first[d.Name] = -1
			}
		}
	}
	g := &Graph{
		names: slices.Sorted(maps.Keys(first)),
		index: make(map[string]int32, len(first)),
	}
	g.nodes = make([]Node, len(g.names))
	for n, name := range g.names {
		g.index[name] = int32(n)
		if at := first[name]; at >= 0 {
			g.nodes[n] = nodes[at]
		}
	}
	return g
}

// link normalizes the dependencies and groups them by both ends.
func (g *Graph) link() {
	total := 0
	for _, node := range g.nodes {
		total += len(node.Deps)
	}
	edges := make([]Edge, 0, total)
	for _, node := range g.nodes {
		for _, d := range node.Deps {
			edges = appendNormalized(edges, node, d)
		}
	}
	slices.SortFunc(edges, compareEdges)
	edges = slices.CompactFunc(edges, func(a, b Edge) bool {
		return a.From == b.From && a.To == b.To && a.Kind == b.Kind
	})
	g.out = g.group(edges, func(e Edge) (string, string) { return e.From, e.To })

	back := slices.Clone(edges)
	slices.SortFunc(back, func(a, b Edge) int {
		return cmp.Or(strings.Compare(a.To, b.To), strings.Compare(a.From, b.From), cmp.Compare(a.Kind, b.Kind))
	})
	g.in = g.group(back, func(e Edge) (string, string) { return e.To, e.From })
}

func appendNormalized(edges []Edge, node Node, d Dep) []Edge {
	if d.Name == node.Name && (d.Kind == Wants || d.Kind == Conflicts) {
		return edges // says nothing
	}
	e := Edge{From: node.Name, To: d.Name, Kind: d.Kind, File: node.File, Line: d.Line, Declared: d.Kind}
	turned := e
	turned.From, turned.To, turned.turned = e.To, e.From, true
	switch d.Kind {
	case Before:
		turned.Kind = After
		return append(edges, turned)
	case Conflicts:
		return append(edges, e, turned)
	}
	return append(edges, e)
}

// compareEdges sorts by both ends and the kind; of equal edges the one that
// From itself declared comes first, then the one declared earlier in the file.
func compareEdges(a, b Edge) int {
	turned := func(e Edge) int {
		if e.turned {
			return 1
		}
		return 0
	}
	return cmp.Or(
		strings.Compare(a.From, b.From),
		strings.Compare(a.To, b.To),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(turned(a), turned(b)),
		cmp.Compare(a.Line, b.Line),
	)
}

// group makes a list of edges that are sorted by their near end.
func (g *Graph) group(edges []Edge, ends func(Edge) (near, far string)) list {
	l := list{
		edges: edges,
		ends:  make([]int32, len(edges)),
		first: make([]int32, len(g.names)+1),
	}
	for i, e := range edges {
		near, far := ends(e)
		l.ends[i] = g.index[far]
		l.first[g.index[near]+1]++
	}
	for n := range g.names {
		l.first[n+1] += l.first[n]
	}
	return l
}
