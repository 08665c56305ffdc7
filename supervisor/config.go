package supervisor

import (
	"errors"
	"fmt"

	"zinit/graph"
	"zinit/supervisor/spec"
)

// Config is what a set of directories defines, judged whole.
type Config struct {
	Specs    map[string]*spec.Spec // by name
	Names    []string              // sorted
	Graph    *graph.Graph
	Problems []spec.Problem    // of files and edges; warnings too
	Broken   map[string]string // services left out because of their file: name to message
	loaded   *spec.Loaded
}

// LoadConfig reads and judges directories of service files. The server and
// `zinit check` both use it, so their verdicts are the same.
func LoadConfig(roots []spec.Root, trust bool) *Config {
	return judge(spec.Load(roots, trust))
}

// judge builds the graph of what was loaded and adds its complaints.
func judge(loaded *spec.Loaded) *Config {
	c := &Config{Specs: map[string]*spec.Spec{}, Broken: map[string]string{}, loaded: loaded, Problems: loaded.Problems}
	var nodes []graph.Node
	for _, sp := range loaded.Specs {
		c.Specs[sp.Name] = sp
		c.Names = append(c.Names, sp.Name)
		nodes = append(nodes, sp.Node())
	}
	var errs []error
	c.Graph, errs = graph.Build(nodes)
	for _, err := range errs {
		c.Problems = append(c.Problems, graphProblem(err))
	}
	for _, e := range c.Graph.Missing() {
		c.Problems = append(c.Problems, missingProblem(e, loaded.Broken[e.To]))
	}
	for name, file := range loaded.Broken {
		c.Broken[name] = brokenText(loaded.Problems, file)
	}
	return c
}

// Err returns all errors among the problems as one, nil when there is none.
func (c *Config) Err() error {
	var errs []error
	for _, p := range c.Problems {
		if !p.Warning {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}

// graphProblem points a cycle or contradiction at its first edge.
func graphProblem(err error) spec.Problem {
	p := spec.Problem{Key: "dependencies", Msg: err.Error(), Hint: "break it in one of these files"}
	var cycle *graph.CycleError
	if errors.As(err, &cycle) && len(cycle.Edges) > 0 {
		p.File, p.Line = cycle.Edges[0].File, cycle.Edges[0].Line
	}
	var both *graph.ContradictionError
	if errors.As(err, &both) {
		p.File, p.Line = both.Conflict.File, both.Conflict.Line
	}
	return p
}

// missingProblem is an edge to a name that nobody defines. That is no error of
// the file: the name may be added later.
func missingProblem(e graph.Edge, brokenFile string) spec.Problem {
	p := spec.Problem{File: e.File, Line: e.Line, Key: "dependencies." + e.Declared.String(), Warning: true}
	p.Msg = fmt.Sprintf("%q %s %q, which does not exist", e.From, e.Declared, e.To)
	if needs(e.Kind) {
		p.Msg += fmt.Sprintf("; %q cannot start until it does", e.From)
	}
	p.Hint = "add the service, or correct the name"
	if brokenFile != "" {
		p.Hint = "its file " + brokenFile + " has errors"
	}
	return p
}

// brokenText is the first error of a file.
func brokenText(problems []spec.Problem, file string) string {
	for _, p := range problems {
		if p.File == file && !p.Warning {
			return p.Error()
		}
	}
	return file + " was left out"
}
