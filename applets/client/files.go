package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zinit/applets/server"
	"zinit/supervisor"
)

func (s *session) reloadVerb() *command {
	return &command{
		name: "reload", usage: "read the service files again: whole, or not at all; with names, have those services reload", args: "[NAME...]",
		about: example("  zinit reload --dry-run\n  zinit reload --restart"),
		options: []option{waitFlag, timeFlag, {"dry-run", "", false, "only show what would change"},
			{"restart", "", false, "restart at once what runs and has changed, with what needs it"}},
		run: s.reload,
	}
}

func (s *session) reload(c *call) error {
	if len(c.names) > 0 {
		return s.reloadServices(c)
	}
	var r supervisor.Reload
	done, err := s.ask(c.ctx, "system.reload", map[string]bool{"dry_run": c.is("dry-run"), "restart": c.is("restart")}, &r)
	if err != nil || done {
		return err
	}
	group := func(word string, names []string) {
		for _, n := range names {
			fmt.Fprintf(s.std.Out, "%-8s %s\n", word, line(n))
		}
	}
	group("added", r.Added)
	group("changed", r.Changed)
	group("removed", r.Removed)
	for _, e := range r.ConfigErrors {
		fmt.Fprintf(s.std.Out, "still left out: %s\n", safe(e[1]))
	}
	switch {
	case len(r.Added)+len(r.Changed)+len(r.Removed) == 0:
		fmt.Fprintf(s.std.Out, "nothing has changed; %d services\n", r.Unchanged)
	case r.DryRun:
		fmt.Fprintf(s.std.Out, "%d unchanged; nothing was done\n", r.Unchanged)
	default:
		fmt.Fprintf(s.std.Out, "%d unchanged\n", r.Unchanged)
	}
	return nil
}

// reloadServices has services read their own configuration again.
func (s *session) reloadServices(c *call) error {
	names, err := s.names(c.ctx, c)
	if err != nil {
		return err
	}
	params, err := waiting(c, nil)
	if err != nil {
		return err
	}
	delete(params, "names")
	var all result
	for _, n := range names {
		var r result
		params["name"] = n
		done, err := s.ask(c.ctx, "service.reload", params, &r)
		switch {
		case err != nil:
			return s.suggest(c.ctx, err, n)
		case done:
		case c.is("no-wait"):
			fmt.Fprintf(s.std.Out, "Asked to reload: %s\n", line(n))
		default:
			s.outcomes(r, "Reloaded")
		}
		all.Outcomes = append(all.Outcomes, r.Outcomes...)
	}
	return worst(all.Outcomes, c.time("timeout"))
}

func (s *session) checkVerb() *command {
	return &command{
		name: "check", usage: "judge service files exactly as the server does, without one", args: "[PATH...]",
		about: example("  zinit check\n  zinit check ./services ./web.toml --explain") +
			"\n\nA PATH is a directory, a root with services/ or targets/ in it, or one file, which is judged with\nthose beside it. Exit status: 0 nothing is wrong, 1 something is.",
		options: []option{
			{"explain", "", false, "show how each command is run: directly or through a shell"},
			{"trust-config", "", false, "a file's wrong owner or mode is a warning, not an error"}},
		run: s.check,
	}
}

// verdict is what check says.
type verdict struct {
	OK       bool          `json:"ok"`
	Services []string      `json:"services"`
	Problems []problem     `json:"problems"`
	Commands []explanation `json:"commands,omitempty"`
}

type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1
	Column  int    `json:"column,omitempty"` // from 1
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	text    string
}

type explanation struct {
	Name    string `json:"name"`
	Command string `json:"command"`
}

func (s *session) check(c *call) error {
	paths := c.names
	if len(paths) == 0 {
		paths = []string{os.Getenv("ZINIT_CONFIG_DIR")}
	}
	v := verdict{OK: true, Services: []string{}, Problems: []problem{}}
	for _, path := range paths {
		if err := v.judge(path, c.is("trust-config"), c.is("explain")); err != nil {
			return err
		}
	}
	if s.json {
		if err := s.printJSON(v); err != nil {
			return err
		}
	} else {
		s.verdict(v)
	}
	if !v.OK {
		return &failure{status: exitFault}
	}
	return nil
}

// judge adds what is to be said of one path; "" means where a server would look.
func (v *verdict) judge(path string, trust, explain bool) error {
	if _, err := os.Stat(path); path != "" && err != nil {
		return fail(exitFault, "", "cannot check %q: %v", path, errors.Unwrap(err))
	}
	only := "" // a single file
	if st, err := os.Stat(path); path != "" && err == nil && !st.IsDir() {
		abs, err := filepath.Abs(path)
		if err != nil {
			return fail(exitFault, "", "cannot check %q: %v", path, err)
		}
		if filepath.Ext(abs) != ".toml" {
			return fail(exitUsage, "rename it: the server reads *.toml only", "cannot check %q: it is not named *.toml", path)
		}
		only, path = abs, filepath.Dir(abs)
	}
	roots, err := server.Roots(supervisor.User, path)
	if err != nil {
		return fail(exitFault, "", "%v", err)
	}
	config := supervisor.LoadConfig(roots, trust)
	for _, p := range config.Problems {
		if only == "" || p.File == only {
			v.OK = v.OK && p.Warning
			v.Problems = append(v.Problems, problem{p.File, p.Line, p.Col, p.Key, p.Msg, p.Hint, p.Warning, p.Error()})
		}
	}
	for _, name := range config.Names {
		sp := config.Specs[name]
		if only != "" && sp.File != only {
			continue
		}
		v.Services = append(v.Services, name)
		if explain && !sp.Target {
			v.Commands = append(v.Commands, explanation{name, sp.Exec.Explain()})
		}
	}
	return nil
}

func (s *session) verdict(v verdict) {
	errors := 0
	for _, p := range v.Problems {
		fmt.Fprintln(s.std.Out, safe(p.text))
		if !p.Warning {
			errors++
		}
	}
	for _, e := range v.Commands {
		fmt.Fprintf(s.std.Out, "%s %s\n", line(e.Name), line(e.Command))
	}
	word := func(n int, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %ss", n, one)
	}
	fmt.Fprintln(s.std.Out, strings.Join([]string{word(len(v.Services), "service"), word(errors, "error"), word(len(v.Problems)-errors, "warning")}, ", "))
}
