package graph

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// twin is the slow and obvious graph: a table of who waits for whom.
type twin struct {
	names []string
	waits map[[2]string]bool // directly
	needs map[[2]string]bool
	clash map[[2]string]bool
}

func newTwin(nodes []Node) *twin {
	w := &twin{waits: map[[2]string]bool{}, needs: map[[2]string]bool{}, clash: map[[2]string]bool{}}
	for _, n := range nodes {
		w.names = append(w.names, n.Name)
	}
	slices.Sort(w.names)
	for _, n := range nodes {
		for _, d := range n.Deps {
			if !slices.Contains(w.names, d.Name) {
				continue
			}
			pair, back := [2]string{n.Name, d.Name}, [2]string{d.Name, n.Name}
			switch d.Kind {
			case Requires, BindsTo:
				w.waits[pair], w.needs[pair] = true, true
			case After:
				w.waits[pair] = true
			case Before:
				w.waits[back] = true
			case Conflicts:
				if n.Name != d.Name {
					w.clash[pair], w.clash[back] = true, true
				}
			}
		}
	}
	return w
}

// distances returns the fewest steps of at least one between any two.
func (w *twin) distances(edges map[[2]string]bool) map[[2]string]int {
	d := map[[2]string]int{}
	for e := range edges {
		d[e] = 1
	}
	for _, via := range w.names {
		for _, a := range w.names {
			for _, b := range w.names {
				first, ok1 := d[[2]string{a, via}]
				second, ok2 := d[[2]string{via, b}]
				if old, ok := d[[2]string{a, b}]; ok1 && ok2 && (!ok || first+second < old) {
					d[[2]string{a, b}] = first + second
				}
			}
		}
	}
	return d
}

// refused returns the names that cannot be ordered and for those in a circle
// the length of their shortest, for others 0.
func (w *twin) refused() map[string]int {
	refused := map[string]int{}
	needs := w.distances(w.needs)
	for pair := range w.clash {
		if needs[pair] > 0 {
			refused[pair[0]] = 0 // what is needed is innocent
		}
	}
	waits := w.distances(w.waits)
	for _, n := range w.names {
		if length := waits[[2]string{n, n}]; length > 0 {
			refused[n] = length
		}
	}
	return refused
}

func (w *twin) order() []string {
	refused := w.refused()
	order := []string{}
	for {
		next := slices.IndexFunc(w.names, func(n string) bool {
			if _, no := refused[n]; no || slices.Contains(order, n) {
				return false
			}
			for _, d := range w.names {
				_, no := refused[d]
				if w.waits[[2]string{n, d}] && !no && !slices.Contains(order, d) {
					return false
				}
			}
			return true
		})
		if next < 0 {
			return order
		}
		order = append(order, w.names[next])
	}
}

var someNodes = rapid.Custom(func(t *rapid.T) []Node {
	count := rapid.IntRange(1, 8).Draw(t, "nodes")
	nodes := make([]Node, count)
	for i := range nodes {
		nodes[i] = Node{Name: string(rune('a' + i)), File: fmt.Sprint(i)}
	}
	deps := rapid.IntRange(0, 14).Draw(t, "edges")
	for line := range deps {
		from := rapid.IntRange(0, count-1).Draw(t, "from")
		to := rapid.IntRange(0, count).Draw(t, "to") // the last is missing
		kind := Kind(rapid.IntRange(int(Requires), int(Conflicts)).Draw(t, "kind"))
		nodes[from].Deps = append(nodes[from].Deps, Dep{string(rune('a' + to)), kind, line})
	}
	return nodes
})

func TestGraphAgreesWithItsSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := someNodes.Draw(t, "graph")
		g, errs := Build(nodes)
		agree(t, g, newTwin(nodes))
		for _, err := range errs {
			wellFormed(t, err)
		}
		start, stop := g.StartOrder(), g.StopOrder()
		slices.Reverse(stop)
		if !slices.Equal(stop[:len(start)], start) || len(stop) != len(nodes) {
			t.Fatalf("stop order %v is not start order %v in reverse, refused ones first", stop, start)
		}
	})
}

func agree(t *rapid.T, g *Graph, w *twin) {
	refused := w.refused()
	for _, n := range w.names {
		err := g.Refused(n)
		length, want := refused[n]
		if (err != nil) != want {
			t.Fatalf("%s refused: %v, twin says %v", n, err, want)
		}
		var cycle *CycleError
		if errors.As(err, &cycle) && len(cycle.Edges) != length {
			t.Fatalf("%s: circle of %d edges, the shortest has %d:\n%v", n, len(cycle.Edges), length, err)
		}
	}
	if got, want := g.StartOrder(), w.order(); !slices.Equal(got, want) {
		t.Fatalf("start order %v, twin says %v", got, want)
	}
	all := w.distances(w.pulls(g))
	for _, a := range w.names {
		for _, b := range w.names {
			if why := g.Why(a, b); a != b && len(why) != all[[2]string{a, b}] {
				t.Fatalf("why %s %s takes %d edges, the shortest %d", a, b, len(why), all[[2]string{a, b}])
			}
		}
	}
}

// pulls are all edges but conflicts; wants is the only kind the twin lacks.
func (w *twin) pulls(g *Graph) map[[2]string]bool {
	pulls := map[[2]string]bool{}
	for pair := range w.waits {
		pulls[pair] = true
	}
	for _, n := range w.names {
		node, _ := g.Node(n)
		for _, d := range node.Deps {
			if d.Kind == Wants && slices.Contains(w.names, d.Name) {
				pulls[[2]string{n, d.Name}] = true
			}
		}
	}
	return pulls
}

// wellFormed checks that an error's edges hang together.
func wellFormed(t *rapid.T, err error) {
	var path []Edge
	var end string
	switch err := err.(type) {
	case *CycleError:
		path, end = err.Edges, err.Edges[0].From
	case *ContradictionError:
		path, end = err.Path, err.Conflict.To
		if path[0].From != err.Conflict.From {
			t.Fatalf("path and conflict begin apart: %v", err)
		}
	}
	for i, e := range path {
		next := end
		if i+1 < len(path) {
			next = path[i+1].From
		}
		if e.To != next {
			t.Fatalf("edge %d ends at %s, the next begins at %s: %v", i, e.To, next, err)
		}
	}
}

func TestAChangeIsRefusedExactlyWhenItRefusesAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := someNodes.Draw(t, "before")
		g, _ := Build(nodes)
		set := someNodes.Draw(t, "set")
		set = set[:rapid.IntRange(0, len(set)).Draw(t, "how many")]
		remove := rapid.SliceOf(rapid.SampledFrom(g.Names())).Draw(t, "remove")

		var after []Node
		after = append(after, set...)
		for _, n := range nodes {
			replaced := slices.ContainsFunc(set, func(s Node) bool { return s.Name == n.Name })
			if !replaced && !slices.Contains(remove, n.Name) {
				after = append(after, n)
			}
		}
		worse := ""
		for n := range newTwin(after).refused() {
			if g.Refused(n) == nil {
				worse = n
			}
		}
		next, err := g.With(set, remove)
		if (err != nil) != (worse != "") {
			t.Fatalf("With says %v, but newly refused is %q", err, worse)
		}
		if err == nil {
			agree(t, next, newTwin(after))
		}
		agree(t, g, newTwin(nodes)) // unchanged
	})
}
