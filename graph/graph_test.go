package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestACycleSaysWhichLineOfWhichFileDeclaresEachEdge(t *testing.T) {
	_, errs := Build([]Node{
		{"web", "/etc/zinit/web.toml", []Dep{{"db", Requires, 4}}},
		{"db", "/etc/zinit/db.toml", []Dep{{"web", After, 7}}},
	})
	want := `cycle: db -> web -> db
  db after web (/etc/zinit/db.toml:7)
  web requires db (/etc/zinit/web.toml:4)`
	if len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("got %v, want\n%s", errs, want)
	}
}

func TestAnEdgeIsToldAsItIsDeclared(t *testing.T) {
	_, errs := Build([]Node{
		{"a", "a.toml", []Dep{{"b", Before, 2}, {"b", Requires, 3}}},
		{"b", "b.toml", []Dep{{"a", Conflicts, 5}}},
	})
	want := []string{
		"cycle: a -> b -> a\n  a requires b (a.toml:3)\n  a before b (a.toml:2)",
		"contradiction: a both needs and excludes b: a -> b\n  a requires b (a.toml:3)\n  b conflicts a (b.toml:5)",
	}
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestAnOldProblemDoesNotRefuseAChange(t *testing.T) {
	g, _ := Build([]Node{{"a", "", []Dep{{"a", Requires, 1}}}, {Name: "b"}})
	g, err := g.With([]Node{{"c", "", []Dep{{"b", Requires, 1}}}}, nil)
	if err != nil {
		t.Fatalf("a change beside an old cycle: %v", err)
	}
	if _, err := g.With([]Node{{"b", "", []Dep{{"c", After, 1}}}}, nil); err == nil {
		t.Error("a change that closes a cycle is accepted")
	}
	if g, err = g.With([]Node{{Name: "a"}}, nil); err != nil || g.Refused("a") != nil {
		t.Errorf("a is mended but still refused: %v, %v", err, g.Refused("a"))
	}
}

func TestTheEmptyGraphAnswersEverything(t *testing.T) {
	var none *Graph
	for _, g := range []*Graph{none, new(Graph)} {
		if g.Has("a") || g.Names() != nil && len(g.Names()) > 0 || g.Out("a") != nil || g.Refused("a") != nil ||
			len(g.StartOrder()) > 0 || len(g.StopOrder()) > 0 || g.Why("a", "b") != nil || g.Missing() != nil {
			t.Error("an empty graph knows something")
		}
		next, err := g.With([]Node{{Name: "a"}}, []string{"b"})
		if err != nil || !next.Has("a") {
			t.Errorf("cannot grow from nothing: %v", err)
		}
	}
}

func TestOfTwoNodesWithOneNameTheFirstIsTaken(t *testing.T) {
	g, _ := Build([]Node{{Name: "a", File: "1"}, {Name: "a", File: "2"}, {Name: ""}})
	if n, ok := g.Node("a"); !ok || n.File != "1" || len(g.Names()) != 1 {
		t.Errorf("got %v of %v", n, g.Names())
	}
}

// shapes of 10,000 nodes, each of which once broke something: deep recursion,
// a quadratic search, a list that is searched in a loop.
func shapes(n int) map[string][]Node {
	name := func(i int) string { return fmt.Sprintf("s%05d", i) }
	m := map[string][]Node{}
	for i := range n {
		one := Node{Name: name(i), File: name(i)}
		add := func(shape string, deps ...Dep) {
			node := one
			node.Deps = deps
			m[shape] = append(m[shape], node)
		}
		prev := name(max(0, i-1))
		add("independent")
		layer := (i/2 + n/2 - 1) % (n / 2) * 2
		add("braided ring", Dep{name(layer), Requires, 1}, Dep{name(layer + 1), Requires, 2})
		if i == 0 {
			for _, shape := range []string{"chain", "fan in", "knots", "excluding chain"} {
				add(shape)
			}
			add("ring", Dep{name(n - 1), Requires, 1})
			continue
		}
		add("chain", Dep{prev, Requires, 1})
		add("ring", Dep{prev, Requires, 1})
		add("fan in", Dep{name(0), Requires, 1})
		add("excluding chain", Dep{prev, Requires, 1}, Dep{name(i / 2), Conflicts, 2})
		add("knots", Dep{name(i ^ 1), After, 1}, Dep{name(rand.IntN(n)), After, 2})
	}
	return m
}

// A bound that only a cost beyond proportion can reach; the figures are the
// benchmark's.
func TestTenThousandOfAnyShapeAreNoTrouble(t *testing.T) {
	const limit = 20 * time.Second
	for shape, nodes := range shapes(10_000) {
		began := time.Now()
		g, errs := Build(nodes)
		built := time.Since(began)
		for i, err := range errs {
			if text := err.Error(); i == 0 && !strings.Contains(text, " -> ") {
				t.Errorf("%s: %.80s", shape, text)
			}
		}
		order := g.StartOrder()
		_, err := g.With([]Node{{Name: "extra", Deps: []Dep{{nodes[len(nodes)-1].Name, Requires, 1}}}}, nil)
		g.Why(nodes[len(nodes)-1].Name, nodes[0].Name)
		if total := time.Since(began); total > limit || err != nil {
			t.Errorf("%s: took %v, %v", shape, total, err)
		} else {
			t.Logf("%s: built in %v, with order and With %v; %d problems, %d in order", shape, built, total, len(errs), len(order))
		}
	}
}

func BenchmarkBuildAndChange(b *testing.B) {
	for shape, nodes := range shapes(10_000) {
		b.Run(strings.ReplaceAll(shape, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				g, _ := Build(nodes)
				g.With([]Node{{Name: "extra"}}, nil)
				g.StartOrder()
			}
		})
	}
}
