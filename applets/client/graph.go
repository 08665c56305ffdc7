package client

import (
	"fmt"
	"os"

	"zinit/applets/server"
	"zinit/graph"
	"zinit/supervisor"
)

func (s *session) graphVerb() *command {
	return &command{
		name: "graph", usage: "draw dependencies for other programs, or those of a directory without a server", args: "[PATH]",
		about: example("  zinit graph --dot | dot -Tsvg > graph.svg\n  zinit graph --mermaid ./services\n  zinit graph ./services") +
			"\n\nWithout a PATH the server's services are drawn, with their states; with one, the files there. An arrow\npoints at what must be there first. Without a flag a tree is drawn.",
		options: []option{
			{"dot", "", false, "for Graphviz"},
			{"mermaid", "", false, "for Mermaid, as in Markdown"},
			{"reverse", "", false, "in a tree, draw dependents in place of dependencies"}},
		run: s.graph,
	}
}

func (s *session) graph(c *call) error {
	if c.is("dot") && c.is("mermaid") || s.json && (c.is("dot") || c.is("mermaid")) {
		return fail(exitUsage, "see: zinit graph --help", "graph draws one of --dot, --mermaid, --json")
	}
	var d graph.Drawing
	var err error
	if len(c.names) == 0 {
		err = s.call(c.ctx, "service.graph", nil, &d)
	} else {
		d, err = s.drawn(c)
	}
	switch {
	case err != nil:
		return err
	case s.json:
		return s.printJSON(d)
	case c.is("dot"):
		fmt.Fprint(s.std.Out, safe(d.Dot()))
	case c.is("mermaid"):
		fmt.Fprint(s.std.Out, safe(d.Mermaid()))
	default:
		fmt.Fprintln(s.std.Out, safe(d.Tree("", c.is("reverse"))))
	}
	return nil
}

// drawn is the graph of the files in a directory. What does not load is told and
// left out, as the server does.
func (s *session) drawn(c *call) (d graph.Drawing, err error) {
	if len(c.names) > 1 {
		return d, fail(exitUsage, "see: zinit graph --help", "graph draws one directory, got %d", len(c.names))
	}
	path := c.names[0]
	switch st, err := os.Stat(path); {
	case err != nil:
		return d, fail(exitFault, "to draw services of the server, leave the path out", "cannot draw %q: %v", path, err)
	case !st.IsDir():
		return d, fail(exitUsage, "", "cannot draw %q: it is no directory", path)
	}
	roots, err := server.Roots(supervisor.User, path)
	if err != nil {
		return d, fail(exitFault, "", "%v", err)
	}
	config := supervisor.LoadConfig(roots, true)
	for name := range config.Broken {
		fmt.Fprintf(s.std.Err, "zinit: %s is left out; zinit check %s says why\n", line(name), line(path))
	}
	return config.Graph.Draw(nil), nil
}
