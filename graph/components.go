package graph

// components returns the strongly connected components over edges of the given
// kinds: groups of nodes that all reach each other. A component comes after all
// that its members' edges lead to. It is Tarjan's algorithm with a stack of its
// own instead of recursion.
func (g *Graph) components(kinds func(Kind) bool) [][]int32 {
	t := tarjan{
		g:     g,
		kinds: kinds,
		order: make([]int32, len(g.names)),
		low:   make([]int32, len(g.names)),
		open:  make([]bool, len(g.names)),
		done:  make([]int32, 0, len(g.names)),
	}
	for n := range g.names {
		if t.order[n] == 0 {
			t.visit(int32(n))
		}
	}
	return t.found
}

type tarjan struct {
	g     *Graph
	kinds func(Kind) bool
	order []int32 // in which order a node was first seen, from 1; 0: not yet
	low   []int32 // the earliest node still open that it reaches
	open  []bool  // on the stack: its component is not known yet
	stack []int32
	path  []step
	done  []int32 // what the components found share
	found [][]int32
	seen  int32
}

// step is a node on the way from the root, and its edge to look at next.
type step struct{ node, edge int32 }

func (t *tarjan) visit(root int32) {
	t.enter(root)
	for len(t.path) > 0 {
		s := &t.path[len(t.path)-1]
		if s.edge < t.g.out.first[s.node+1] {
			t.follow(s)
			continue
		}
		n := s.node
		t.path = t.path[:len(t.path)-1]
		if len(t.path) > 0 {
			parent := t.path[len(t.path)-1].node
			t.low[parent] = min(t.low[parent], t.low[n])
		}
		if t.low[n] == t.order[n] {
			t.leave(n)
		}
	}
}

func (t *tarjan) enter(n int32) {
	t.seen++
	t.order[n], t.low[n], t.open[n] = t.seen, t.seen, true
	t.stack = append(t.stack, n)
	t.path = append(t.path, step{n, t.g.out.first[n]})
}

func (t *tarjan) follow(s *step) {
	i := s.edge
	s.edge++
	if !t.kinds(t.g.out.edges[i].Kind) {
		return
	}
	switch end := t.g.out.ends[i]; {
	case !t.g.is(s.node) || !t.g.is(end): // a name alone closes no circle
	case t.order[end] == 0:
		t.enter(end)
	case t.open[end]:
		t.low[s.node] = min(t.low[s.node], t.order[end])
	}
}

// leave takes the component whose first node is n off the stack.
func (t *tarjan) leave(n int32) {
	first := len(t.stack) - 1
	for t.stack[first] != n {
		first--
	}
	for _, member := range t.stack[first:] {
		t.open[member] = false
	}
	before := len(t.done)
	t.done = append(t.done, t.stack[first:]...)
	t.found = append(t.found, t.done[before:])
	t.stack = t.stack[:first]
}
