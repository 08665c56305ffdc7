package graph

import "slices"

// Kind is what a dependency asks for. Its zero value is no kind.
type Kind uint8

// The kinds, in the order in which edges between the same two nodes are sorted.
const (
	Requires  Kind = iota + 1 // needs it, and starts after it
	BindsTo                   // as Requires, and ends with it
	Wants                     // pulls it in, and no more
	After                     // starts after it, if it starts at all
	Before                    // the same seen from the other side; only as declared
	Conflicts                 // never both alive
)

// String returns the kind as service files spell it.
func (k Kind) String() string {
	switch k {
	case Requires:
		return "requires"
	case BindsTo:
		return "binds_to"
	case Wants:
		return "wants"
	case After:
		return "after"
	case Before:
		return "before"
	case Conflicts:
		return "conflicts"
	}
	return "no kind"
}

// Orders tells whether an edge of this kind makes its start wait.
func (k Kind) Orders() bool { return k == Requires || k == BindsTo || k == After }

// Needs tells whether an edge of this kind makes its end indispensable.
func (k Kind) Needs() bool { return k == Requires || k == BindsTo }

// Dep is one dependency as its node declares it.
type Dep struct {
	Name string
	Kind Kind
	Line int // in the node's file; 0 when unknown
}

// Node is one service or target with its dependencies as declared.
type Node struct {
	Name string
	File string // where it is declared, for messages; may be empty
	Deps []Dep
}

// Edge is one normalized dependency: From waits for, needs or excludes To.
type Edge struct {
	From, To string
	Kind     Kind   // never Before
	File     string // where it is declared
	Line     int
	Declared Kind // as it is declared; for Before the declaring node is To
	turned   bool // declared by To rather than by From
}

// Graph is an immutable set of nodes and edges. All its methods are safe for
// concurrent use. Slices it returns are shared where a method says so. The nil
// and the zero Graph are empty.
type Graph struct {
	names []string         // every name, missing ones included, sorted; the index is the node's number
	index map[string]int32 // number of each name
	nodes []Node           // by number; a missing one has no name
	out   list             // edges by From
	in    list             // edges by To
	why   []refusal        // by number
}

// list is edges grouped by one of their ends.
type list struct {
	edges []Edge
	ends  []int32 // number of the other end of each edge
	first []int32 // by number: where its edges begin; one more than there are names
}

func (l *list) of(n int32) ([]Edge, []int32) {
	from, to := l.first[n], l.first[n+1]
	return l.edges[from:to:to], l.ends[from:to]
}

// Has tells whether name is a node. A name that is only pointed at is none.
func (g *Graph) Has(name string) bool {
	_, ok := g.number(name)
	return ok
}

// Node returns the node as it was declared. Do not modify its Deps.
func (g *Graph) Node(name string) (Node, bool) {
	n, ok := g.number(name)
	if !ok {
		return Node{}, false
	}
	return g.nodes[n], true
}

// Names returns the name of every node, sorted; the caller owns the slice.
func (g *Graph) Names() []string {
	if g == nil {
		return nil
	}
	names := make([]string, 0, len(g.names))
	for n, name := range g.names {
		if g.is(int32(n)) {
			names = append(names, name)
		}
	}
	return names
}

// Out returns the edges from name, sorted by To and Kind: what it waits for,
// needs, wants or excludes, missing names included. The slice is shared: do not
// modify it.
func (g *Graph) Out(name string) []Edge { return g.edges(name, true) }

// In returns the edges to name, sorted by From and Kind. It answers for a
// missing name too. The slice is shared: do not modify it.
func (g *Graph) In(name string) []Edge { return g.edges(name, false) }

func (g *Graph) edges(name string, out bool) []Edge {
	if g == nil {
		return nil
	}
	n, ok := g.index[name]
	if !ok {
		return nil
	}
	l := &g.in
	if out {
		l = &g.out
	}
	edges, _ := l.of(n)
	return edges
}

// Missing returns the edges to names that are no node, sorted by From, To and
// Kind. Unlike elsewhere they are as declared: From declares, To is missing, and
// Kind may be Before. Conflicts are not among them: what is not there cannot be
// in the way.
func (g *Graph) Missing() []Edge {
	if g == nil {
		return nil
	}
	var missing []Edge
	for i, e := range g.out.edges {
		if e.Kind != Conflicts && !g.is(g.out.ends[i]) {
			missing = append(missing, e)
		}
	}
	for i, e := range g.in.edges {
		if e.Declared == Before && !g.is(g.in.ends[i]) {
			e.From, e.To, e.Kind, e.turned = e.To, e.From, Before, false
			missing = append(missing, e)
		}
	}
	slices.SortFunc(missing, compareEdges)
	return missing
}

// number returns the number of a node.
func (g *Graph) number(name string) (int32, bool) {
	if g == nil {
		return 0, false
	}
	n, ok := g.index[name]
	return n, ok && g.is(n)
}

func (g *Graph) is(n int32) bool { return g.nodes[n].Name != "" }
