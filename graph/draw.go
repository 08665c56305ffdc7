package graph

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Drawing is a graph made ready to be shown: as JSON by its tags, for Graphviz,
// for Mermaid, or as a tree of lines. Nodes and edges come sorted by name.
type Drawing struct {
	Nodes []Shape `json:"nodes"`
	Edges []Arrow `json:"edges"`
}

// Shape is one node. A name that is only pointed at is drawn too.
type Shape struct {
	Name    string `json:"name"`
	File    string `json:"file,omitempty"`
	State   string `json:"state,omitempty"`  // "missing" for a name that is only pointed at
	Symbol  string `json:"symbol,omitempty"` // stands before the name in a tree
	Refused string `json:"refused,omitempty"`
}

// Arrow goes from who waits to what it waits for. A conflict is one arrow.
type Arrow struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Type     string `json:"type"`
	Declared string `json:"declared,omitempty"` // before, where that is how To says it
}

// Draw makes the drawing of g. look gives each node its symbol and state; nil
// where nothing has one.
func (g *Graph) Draw(look func(name string) (symbol, state string)) Drawing {
	d := Drawing{Nodes: []Shape{}, Edges: []Arrow{}}
	if g == nil {
		return d
	}
	for n, name := range g.names {
		s := Shape{Name: name, File: g.nodes[n].File}
		switch {
		case !g.is(int32(n)):
			s.State = "missing"
			if look != nil {
				s.Symbol = "[X]"
			}
		case look != nil:
			s.Symbol, s.State = look(name)
		}
		if err := g.Refused(name); err != nil {
			s.Refused, _, _ = strings.Cut(err.Error(), "\n")
		}
		d.Nodes = append(d.Nodes, s)
	}
	seen := map[[2]string]bool{} // conflicts, by the lesser name
	for _, e := range g.out.edges {
		a := Arrow{From: e.From, To: e.To, Type: e.Kind.String()}
		if e.Kind == Conflicts {
			pair := [2]string{min(e.From, e.To), max(e.From, e.To)}
			if seen[pair] {
				continue
			}
			seen[pair] = true
		}
		if e.Declared != e.Kind {
			a.Declared = e.Declared.String()
		}
		d.Edges = append(d.Edges, a)
	}
	return d
}

// word is how an arrow is labelled: as it was declared.
func (a Arrow) word() string { return cmp.Or(a.Declared, a.Type) }

// fills are the colours of states in pictures.
var fills = map[string]string{"running": "#c8e6c9", "failed": "#ffcdd2", "missing": "#ffcdd2", "blocked": "#fff9c4", "starting": "#b3e5fc", "stopping": "#b3e5fc"}

// Dot renders for Graphviz. An arrow points at what must be there first; wants
// is dashed, after dotted, a conflict red and without a head. Source: the DOT
// language, graphviz.org/doc/info/lang.html.
func (d Drawing) Dot() string {
	var b strings.Builder
	b.WriteString("digraph zinit {\n  rankdir=LR;\n  node [shape=box];\n")
	for _, n := range d.Nodes {
		label := n.Name
		if n.State != "" {
			label += "\n" + n.State
		}
		fmt.Fprintf(&b, "  %s [label=%s", dotText(n.Name), dotText(label))
		if c := fills[n.State]; c != "" {
			fmt.Fprintf(&b, ", style=filled, fillcolor=%q", c)
		}
		if n.Refused != "" {
			b.WriteString(", color=red")
		}
		b.WriteString("];\n")
	}
	styles := map[string]string{"binds_to": ", style=bold", "wants": ", style=dashed", "after": ", style=dotted", "conflicts": ", color=red, dir=none"}
	for _, a := range d.Edges {
		fmt.Fprintf(&b, "  %s -> %s [label=%s%s];\n", dotText(a.From), dotText(a.To), dotText(a.word()), styles[a.Type])
	}
	b.WriteString("}\n")
	return b.String()
}

func dotText(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// Mermaid renders for Mermaid, with arrows as in Dot. Source: mermaid.js.org,
// flowcharts.
func (d Drawing) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	number := map[string]int{}
	for i, n := range d.Nodes {
		number[n.Name] = i
		label := mermaidText(n.Name)
		if n.State != "" {
			label += "<br/>" + mermaidText(n.State)
		}
		fmt.Fprintf(&b, "  n%d[\"%s\"]\n", i, label)
	}
	lines := map[string]string{"binds_to": "==>", "wants": "-.->", "after": "-.->", "conflicts": "---"}
	for _, a := range d.Edges {
		fmt.Fprintf(&b, "  n%d %s|%s| n%d\n", number[a.From], cmp.Or(lines[a.Type], "-->"), a.word(), number[a.To])
	}
	for i, n := range d.Nodes {
		if c := fills[n.State]; c != "" {
			fmt.Fprintf(&b, "  style n%d fill:%s\n", i, c)
		}
	}
	return b.String()
}

func mermaidText(text string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "#quot;", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(text)
}

// Tree renders one node with what it depends on below it, or, with reverse, what
// depends on it; name "" stands for everything, from those that nothing points
// at. A node that stands in the tree already is not drawn again below. Conflicts
// are left out.
func (d Drawing) Tree(name string, reverse bool) string {
	t := tree{nodes: map[string]Shape{}, below: map[string][]Arrow{}, reverse: reverse, seen: map[string]bool{}}
	pointed := map[string]bool{}
	edges := slices.Clone(d.Edges)
	if reverse {
		sort.SliceStable(edges, func(i, j int) bool {
			a, b := &edges[i], &edges[j]
			return a.To < b.To || a.To == b.To && a.From < b.From
		})
	}
	for _, a := range edges {
		from, to := t.ends(a)
		list := t.below[from]
		twin := len(list) > 0 && list[len(list)-1].From == a.From && list[len(list)-1].To == a.To
		if a.Type != "conflicts" && !twin { // of several to one neighbour the strongest comes first
			t.below[from] = append(list, a)
			pointed[to] = true
		}
	}
	roots, rest := []string{name}, []string(nil)
	if name == "" {
		roots = nil
		for _, n := range d.Nodes {
			if pointed[n.Name] {
				rest = append(rest, n.Name)
			} else {
				roots = append(roots, n.Name)
			}
		}
	}
	for _, n := range d.Nodes {
		t.nodes[n.Name] = n
	}
	for _, r := range roots {
		t.draw(r)
	}
	for _, r := range rest { // what is left points at itself: members of a cycle
		if !t.seen[r] {
			t.draw(r)
		}
	}
	return strings.TrimSuffix(t.out.String(), "\n")
}

// tree is a Tree being drawn.
type tree struct {
	nodes   map[string]Shape
	below   map[string][]Arrow
	reverse bool
	seen    map[string]bool
	out     strings.Builder
}

// ends are the upper and the lower end of an arrow in the tree.
func (t *tree) ends(a Arrow) (from, to string) {
	if t.reverse {
		return a.To, a.From
	}
	return a.From, a.To
}

// draw writes the tree of one root, with a stack of its own: a graph may be
// deeper than a goroutine's stack is meant to be.
func (t *tree) draw(root string) {
	type branch struct{ name, lead, below string }
	stack := []branch{{name: root}}
	for len(stack) > 0 {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n, arrows := t.nodes[b.name], t.below[b.name]
		text := b.lead
		if n.Symbol != "" {
			text += n.Symbol + " "
		}
		text += b.name
		if n.State != "" {
			text += " (" + n.State + ")"
		}
		if t.seen[b.name] && len(arrows) > 0 {
			text += " (above)"
		}
		t.out.WriteString(text + "\n")
		if t.seen[b.name] {
			continue
		}
		t.seen[b.name] = true
		for i, a := range slices.Backward(arrows) {
			twig, below := "├─ ", "│  "
			if i == len(arrows)-1 {
				twig, below = "└─ ", "   "
			}
			_, to := t.ends(a)
			stack = append(stack, branch{to, b.below + twig + a.word() + " ", b.below + below})
		}
	}
}
