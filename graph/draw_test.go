package graph

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// house is a graph with an edge of every kind, a missing name and a cycle.
func house() *Graph {
	g, _ := Build([]Node{
		{Name: "web", File: "web.toml", Deps: []Dep{{Name: "db", Kind: Requires}, {Name: "db", Kind: After}, {Name: "cache", Kind: Wants}, {Name: "nowhere", Kind: After}}},
		{Name: "db", Deps: []Dep{{Name: "disk", Kind: BindsTo}}},
		{Name: "cache"}, {Name: "disk", Deps: []Dep{{Name: "cache", Kind: Before}}},
		{Name: "old", Deps: []Dep{{Name: "web", Kind: Conflicts}}},
		{Name: "a", Deps: []Dep{{Name: "b", Kind: Requires}}}, {Name: "b", Deps: []Dep{{Name: "a", Kind: Requires}}},
	})
	return g
}

func looks(name string) (symbol, state string) {
	if name == "web" {
		return "[+]", "running"
	}
	return "[-]", "inactive"
}

func TestATreeIsDrawnFromBothSides(t *testing.T) {
	t.Parallel()
	plain, full := house().Draw(nil), house().Draw(looks)
	for _, c := range []struct {
		got, want string
	}{
		{plain.Tree("", false), `
old
web
├─ wants cache
│  └─ before disk
├─ requires db
│  └─ binds_to disk
└─ after nowhere (missing)
a
└─ requires b
   └─ requires a (above)`},
		{plain.Tree("", true), `
disk
├─ before cache
│  └─ wants web
└─ binds_to db
   └─ requires web
nowhere (missing)
└─ after web
old
a
└─ requires b
   └─ requires a (above)`},
		{full.Tree("db", false), `
[-] db (inactive)
└─ binds_to [-] disk (inactive)`},
		{full.Tree("db", true), `
[-] db (inactive)
└─ requires [+] web (running)`},
		{(*Graph)(nil).Draw(looks).Tree("", false), "\n"},
	} {
		if "\n"+c.got != c.want {
			t.Errorf("got\n%s\nwant%s", c.got, c.want)
		}
	}
}

// A chain of any length needs no deep stack.
func TestALongChainIsDrawn(t *testing.T) {
	t.Parallel()
	var nodes []Node
	for i := range 2000 {
		nodes = append(nodes, Node{Name: fmt.Sprintf("n%05d", i), Deps: []Dep{{Name: fmt.Sprintf("n%05d", i+1), Kind: Requires}}})
	}
	g, _ := Build(nodes)
	if got := strings.Count(g.Draw(nil).Tree("", false), "\n"); got != 2000 {
		t.Errorf("%d lines", got)
	}
}

func TestDotHoldsEveryNodeAndEdge(t *testing.T) {
	t.Parallel()
	got := house().Draw(looks).Dot()
	for _, want := range []string{
		"digraph zinit {\n", `  "web" [label="web\nrunning", style=filled, fillcolor="#c8e6c9"];`, `  "nowhere" [label="nowhere\nmissing", style=filled`,
		`  "a" [label="a\ninactive", color=red];`, `  "web" -> "db" [label="requires"];`, `  "db" -> "disk" [label="binds_to", style=bold];`,
		`  "web" -> "cache" [label="wants", style=dashed];`, `  "cache" -> "disk" [label="before", style=dotted];`,
		`  "old" -> "web" [label="conflicts", color=red, dir=none];`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not there: %s", want)
		}
	}
	if strings.Contains(got, `"web" -> "old"`) || t.Failed() {
		t.Errorf("drawn as\n%s", got)
	}
	g, _ := Build([]Node{{Name: "x", Deps: []Dep{{Name: `q"\` + "\n", Kind: Wants}}}})
	if got := g.Draw(nil).Dot(); !strings.Contains(got, `"x" -> "q\"\\\n" [label="wants"`) {
		t.Errorf("a strange name is drawn as\n%s", got)
	}
}

func TestMermaidHoldsEveryNodeAndEdge(t *testing.T) {
	t.Parallel()
	got := house().Draw(looks).Mermaid()
	for _, want := range []string{"flowchart LR\n", `n7["web<br/>running"]`, "n7 -->|requires| n3", "n3 ==>|binds_to| n4", "n7 -.->|wants| n2", "n2 -.->|before| n4",
		"n6 ---|conflicts| n7", "style n7 fill:#c8e6c9"} {
		if !strings.Contains(got, want) {
			t.Errorf("not there: %s\n%s", want, got)
		}
	}
	g, _ := Build([]Node{{Name: "x", Deps: []Dep{{Name: `<"&`, Kind: Wants}}}})
	if got := g.Draw(nil).Mermaid(); !strings.Contains(got, `n0["&lt;#quot;&amp;<br/>missing"]`) {
		t.Errorf("a strange name is drawn as\n%s", got)
	}
}

func TestADrawingTravelsAsJSON(t *testing.T) {
	t.Parallel()
	d := house().Draw(looks)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"name":"web","file":"web.toml","state":"running","symbol":"[+]"}`, `{"from":"cache","to":"disk","type":"after","declared":"before"}`,
		`{"name":"a","state":"inactive","symbol":"[-]","refused":`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("not there: %s\n%s", want, b)
		}
	}
	var back Drawing
	if err := json.Unmarshal(b, &back); err != nil || back.Dot() != d.Dot() || back.Tree("", false) != d.Tree("", false) {
		t.Errorf("drawn otherwise on the other side: %v", err)
	}
	if b, _ := json.Marshal((*Graph)(nil).Draw(nil)); string(b) != `{"nodes":[],"edges":[]}` {
		t.Errorf("nothing is drawn as %s", b)
	}
}
