package supervisor

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

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
	Runtime  map[string]bool   // services that no file defines: they last until the next boot
	Settings spec.Settings     // zinit's own
	loaded   *spec.Loaded
	begun    map[string]begun // of a takeover: runs that began with an older definition
}

// begun is a definition and the run that it began.
type begun struct {
	spec *spec.Spec
	run  uint64
}

// LoadConfig reads and judges directories of service files. The server and
// `zinit check` both use it, so their verdicts are the same.
func LoadConfig(roots []spec.Root, trust bool) *Config { return load(roots, trust, nil, nil) }

// load is LoadConfig with services that were defined at run time; a file of the
// same name wins. known are specs by file that need not be parsed again.
func load(roots []spec.Root, trust bool, more []*spec.Spec, known map[string]*spec.Spec) *Config {
	loaded := spec.Load(roots, trust, known)
	defined := map[string]bool{}
	for _, sp := range loaded.Specs {
		defined[sp.Name] = true
	}
	runtime := map[string]bool{}
	for _, sp := range more {
		if _, broken := loaded.Broken[sp.Name]; !defined[sp.Name] && !broken {
			loaded.Specs = append(loaded.Specs, sp)
			runtime[sp.Name] = true
		}
	}
	slices.SortFunc(loaded.Specs, func(a, b *spec.Spec) int { return strings.Compare(a.Name, b.Name) })
	settings, problems := spec.LoadSettings(settingsDirs(roots), trust)
	loaded.Problems = append(loaded.Problems, problems...)
	c := judge(loaded)
	c.Settings, c.Runtime = settings, runtime
	return c
}

// settingsDirs are where zinit.toml may lie: beside services, targets and system,
// or among the services of a directory that is no such root.
func settingsDirs(roots []spec.Root) []string {
	var dirs []string
	for _, r := range roots {
		dir := r.Dir
		switch filepath.Base(dir) {
		case "services", "targets", "system":
			dir = filepath.Dir(dir)
		}
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// judge builds the graph of what was loaded and adds its complaints.
func judge(loaded *spec.Loaded) *Config {
	c := &Config{Specs: map[string]*spec.Spec{}, Broken: map[string]string{}, Runtime: map[string]bool{}, loaded: loaded, Problems: loaded.Problems}
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
	verb := e.Declared.String()
	if !needs(e.Kind) && e.Kind != graph.Wants {
		verb = "comes " + verb
	}
	p.Msg = fmt.Sprintf("%q %s %q, which does not exist", e.From, verb, e.To)
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
