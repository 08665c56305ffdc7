package graph

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// story is one case of testdata/stories.txt: nodes, and what is expected of
// them. Lines of one node add up.
type story struct {
	title  string
	nodes  []Node
	expect map[string][]string
}

var expectations = []string{"order", "stop", "cycle", "contradiction", "refused", "why", "missing", "edges"}

func readStories(t *testing.T) []story {
	t.Helper()
	text, err := os.ReadFile("testdata/stories.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []story
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		s := story{expect: map[string][]string{}}
		for i, line := range strings.Split(block, "\n") {
			if title, ok := strings.CutPrefix(line, "# "); ok {
				s.title += title
				continue
			}
			key, rest, ok := strings.Cut(line, ":")
			if !ok {
				t.Fatalf("%s: line %q has no colon", s.title, line)
			}
			rest = strings.TrimSpace(rest)
			if slices.Contains(expectations, key) {
				s.expect[key] = append(s.expect[key], rest)
				continue
			}
			s.nodes = declare(t, s.nodes, key, strings.Fields(rest), i)
		}
		all = append(all, s)
	}
	return all
}

func declare(t *testing.T, nodes []Node, name string, words []string, line int) []Node {
	t.Helper()
	at := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == name })
	if at < 0 {
		at = len(nodes)
		nodes = append(nodes, Node{Name: name, File: name + ".toml"})
	}
	kind := Requires
	for _, word := range words {
		if k, ok := kinds[word]; ok {
			kind = k
			continue
		}
		nodes[at].Deps = append(nodes[at].Deps, Dep{Name: word, Kind: kind, Line: line})
	}
	return nodes
}

var kinds = map[string]Kind{
	"requires": Requires, "binds_to": BindsTo, "wants": Wants,
	"after": After, "before": Before, "conflicts": Conflicts,
}

func names(path []Edge) string {
	if len(path) == 0 {
		return "none"
	}
	words := []string{path[0].From}
	for _, e := range path {
		words = append(words, e.To)
	}
	return strings.Join(words, " ")
}

func TestStoriesComeOutAsTold(t *testing.T) {
	for _, s := range readStories(t) {
		t.Run(s.title, func(t *testing.T) {
			g, errs := Build(s.nodes)
			var cycles, contradictions []string
			for _, err := range errs {
				switch err := err.(type) {
				case *CycleError:
					cycles = append(cycles, names(err.Edges))
				case *ContradictionError:
					contradictions = append(contradictions, names(err.Path))
				}
			}
			same(t, "cycle", cycles, s.expect["cycle"])
			same(t, "contradiction", contradictions, s.expect["contradiction"])
			for key, want := range s.expect {
				for _, want := range want {
					ask(t, g, s, key, want)
				}
			}
		})
	}
}

func ask(t *testing.T, g *Graph, s story, key, want string) {
	t.Helper()
	var got []string
	switch key {
	case "order":
		got = g.StartOrder()
	case "stop":
		got = g.StopOrder()
	case "refused":
		for _, name := range g.Names() {
			if g.Refused(name) != nil {
				got = append(got, name)
			}
		}
	case "missing", "edges":
		edges := g.Missing()
		if key == "edges" {
			edges = g.out.edges
		}
		var words []string
		for _, e := range edges {
			words = append(words, e.From+" "+e.Kind.String()+" "+e.To)
		}
		got = []string{strings.Join(words, ", ")}
	case "why":
		question, _, _ := strings.Cut(want, " = ")
		from, to, _ := strings.Cut(question, " ")
		got = []string{question, "=", names(g.Why(from, to))}
	default:
		return
	}
	if text := strings.Join(got, " "); text != want {
		t.Errorf("%s is %q, want %q", key, text, want)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
