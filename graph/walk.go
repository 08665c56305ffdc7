package graph

import "slices"

// walk says which ways a search may take.
type walk struct {
	kinds func(Kind) bool
	cycle int32 // stay among nodes of this circle's component; 0: anywhere
	limit int   // find only paths of fewer edges; 0: of any length
}

// searcher looks for shortest paths in breadth, again and again with the same
// memory.
type searcher struct {
	g     *Graph
	came  []int32 // for each node seen, the edge it was reached by
	seen  []int32 // the round in which a node was last seen
	round int32
	steps int // edges looked at so far
}

func (g *Graph) searcher() *searcher {
	return &searcher{g: g, came: make([]int32, len(g.names)), seen: make([]int32, len(g.names))}
}

// Why returns the shortest chain of edges that makes from depend on to: what it
// needs, wants or waits for, directly or through others; conflicts do not
// count. It is nil when there is none, and for a name and itself. To may be a
// missing name.
func (g *Graph) Why(from, to string) []Edge {
	if g == nil || from == to {
		return nil
	}
	a, ok := g.index[from]
	if !ok {
		return nil
	}
	b, ok := g.index[to]
	if !ok {
		return nil
	}
	return g.searcher().find(a, b, walk{kinds: func(k Kind) bool { return k != Conflicts }})
}

// find returns the shortest path of at least one edge, or nil. Of several it
// takes the one whose edges come first in their nodes' lists.
func (s *searcher) find(from, to int32, w walk) []Edge {
	s.round++
	here := []int32{from}
	for depth := 1; len(here) > 0 && (w.limit == 0 || depth < w.limit); depth++ {
		var next []int32
		for _, n := range here {
			first := len(next)
			next = s.expand(next, n, w)
			for _, end := range next[first:] {
				if end == to {
					return s.trace(from, to)
				}
			}
		}
		here = next
	}
	return nil
}

// expand appends the nodes next to n that this round has not seen.
func (s *searcher) expand(next []int32, n int32, w walk) []int32 {
	if !s.g.is(n) {
		return next // a missing name leads nowhere
	}
	edges, ends := s.g.out.of(n)
	s.steps += len(edges)
	for i := range edges {
		end := ends[i]
		if s.seen[end] == s.round || !w.kinds(edges[i].Kind) || w.cycle > 0 && s.g.why[end].cycle != w.cycle {
			continue
		}
		s.seen[end] = s.round
		s.came[end] = s.g.out.first[n] + int32(i)
		next = append(next, end)
	}
	return next
}

// trace follows the edges of this round back from to.
func (s *searcher) trace(from, to int32) []Edge {
	var path []Edge
	for n := to; ; {
		e := s.g.out.edges[s.came[n]]
		path = append(path, e)
		if n = s.g.index[e.From]; n == from {
			slices.Reverse(path)
			return path
		}
	}
}

// StartOrder returns the usable nodes so that each comes after all it waits
// for; of those that could come next, the one whose name sorts first. Refused
// nodes are not among them. The caller owns the slice.
func (g *Graph) StartOrder() []string {
	if g == nil {
		return nil
	}
	waits := make([]int32, len(g.names))
	var free heap
	for n := range g.names {
		if !g.usable(int32(n)) {
			continue
		}
		if waits[n] = g.waits(int32(n)); waits[n] == 0 {
			free.push(int32(n))
		}
	}
	order := make([]string, 0, len(g.names))
	for len(free) > 0 {
		n := free.pop()
		order = append(order, g.names[n])
		edges, ends := g.in.of(n)
		for i, e := range edges {
			if !e.Kind.Orders() || !g.usable(ends[i]) {
				continue
			}
			if waits[ends[i]]--; waits[ends[i]] == 0 {
				free.push(ends[i])
			}
		}
	}
	return order
}

// StopOrder returns every node: those that are refused by name, since they
// should not run at all, then the others in the reverse of StartOrder. The
// caller owns the slice.
func (g *Graph) StopOrder() []string {
	order := g.StartOrder()
	for n := int32(g.size()) - 1; n >= 0; n-- {
		if g.is(n) && g.why[n].is() {
			order = append(order, g.names[n])
		}
	}
	slices.Reverse(order)
	return order
}

func (g *Graph) usable(n int32) bool { return g.is(n) && !g.why[n].is() }

// waits counts the edges that n waits for.
func (g *Graph) waits(n int32) int32 {
	var count int32
	edges, ends := g.out.of(n)
	for i, e := range edges {
		if e.Kind.Orders() && g.usable(ends[i]) {
			count++
		}
	}
	return count
}

// heap is a binary heap of numbers, the least first. Numbers follow names.
type heap []int32

func (h *heap) push(n int32) {
	s := append(*h, n)
	for i := len(s) - 1; i > 0 && s[i] < s[(i-1)/2]; i = (i - 1) / 2 {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
	}
	*h = s
}

func (h *heap) pop() int32 {
	s := *h
	least, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < last && s[child+1] < s[child] {
			child++
		}
		if child >= last || s[i] <= s[child] {
			break
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
	*h = s
	return least
}
