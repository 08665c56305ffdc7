package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"zinit/graph"
)

// Tree draws services with what they depend on below them, each with its
// state; reverse draws dependents. name "" draws all that nothing depends on.
// A service that stands in the tree already is not drawn again below.
func (s *Supervisor) Tree(name string, reverse bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	roots := []string{name}
	if name == "" {
		roots = s.treeRoots(reverse)
	} else if s.services[name] == nil {
		return "", s.unknown(name)
	}
	d := drawing{s: s, reverse: reverse, seen: map[string]bool{}}
	for _, r := range roots {
		d.draw(r)
	}
	return strings.TrimSuffix(d.out.String(), "\n"), nil
}

// treeRoots are the services at the top: those that nothing points at. Members
// of a cycle are pointed at by each other, so what is still undrawn follows.
func (s *Supervisor) treeRoots(reverse bool) []string {
	var roots, rest []string
	for _, name := range s.names {
		edges := s.graph.In(name)
		if reverse {
			edges = s.graph.Out(name)
		}
		if !slices.ContainsFunc(edges, func(e graph.Edge) bool { return e.Kind != graph.Conflicts }) {
			roots = append(roots, name)
		} else if s.graph.Refused(name) != nil {
			rest = append(rest, name)
		}
	}
	return append(roots, rest...)
}

type drawing struct {
	s       *Supervisor
	reverse bool
	seen    map[string]bool
	out     strings.Builder
}

// branch is a line still to be drawn.
type branch struct {
	name, label, lead, below string
}

// draw writes the tree of one root, with a stack of its own: a graph may be
// deeper than a goroutine's stack is meant to be.
func (d *drawing) draw(root string) {
	stack := []branch{{name: root}}
	for len(stack) > 0 {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		sv := d.s.services[b.name]
		if sv == nil {
			fmt.Fprintf(&d.out, "%s%s[X] %s (missing)\n", b.lead, b.label, b.name)
			continue
		}
		again := ""
		if d.seen[b.name] && len(d.edges(b.name)) > 0 {
			again = " (above)"
		}
		fmt.Fprintf(&d.out, "%s%s%s %s (%s)%s\n", b.lead, b.label, sv.rt.State.Symbol(), b.name, sv.rt.State, again)
		if d.seen[b.name] {
			continue
		}
		d.seen[b.name] = true
		stack = append(stack, d.children(b)...)
	}
}

// children are the branches below b, last first, as a stack wants them.
func (d *drawing) children(b branch) []branch {
	edges := d.edges(b.name)
	var list []branch
	for i, e := range edges {
		lead, below := b.below+"├─ ", b.below+"│  "
		if i == len(edges)-1 {
			lead, below = b.below+"└─ ", b.below+"   "
		}
		name := e.To
		if d.reverse {
			name = e.From
		}
		list = append(list, branch{name, e.Declared.String() + " ", lead, below})
	}
	slices.Reverse(list)
	return list
}

// edges are those that the tree follows, one a neighbour: the strongest.
func (d *drawing) edges(name string) []graph.Edge {
	all := d.s.graph.Out(name)
	if d.reverse {
		all = d.s.graph.In(name)
	}
	var list []graph.Edge
	for _, e := range all {
		end := func(o graph.Edge) bool { return o.To == e.To && o.From == e.From }
		if e.Kind != graph.Conflicts && !slices.ContainsFunc(list, end) {
			list = append(list, e)
		}
	}
	return list
}
