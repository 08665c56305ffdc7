package client

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"zinit/supervisor"
)

// names are the services that a command line means: names, globs, or --all,
// which leaves class system alone. A name that nobody has is an error, with the
// nearest one.
func (s *session) names(ctx context.Context, c *call) ([]string, error) {
	args := c.names
	if c.is("all") {
		return s.everyUser(ctx)
	}
	if len(args) == 0 {
		return nil, fail(exitUsage, "see: zinit "+c.cmd.name+" --help", "%s needs the name of a service", c.cmd.name)
	}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.ContainsAny(a, "*?[") }) {
		return args, nil
	}
	var known, out []string
	if err := s.call(ctx, "service.list", nil, &known); err != nil {
		return nil, err
	}
	for _, pattern := range args {
		found := 0
		for _, name := range known {
			if ok, err := path.Match(pattern, name); err != nil {
				return nil, fail(exitUsage, "", "cannot read the pattern %q: %v", pattern, err)
			} else if ok || name == pattern {
				out = append(out, name)
				found++
			}
		}
		if found == 0 {
			return nil, fail(exitNotFound, "zinit list shows every name", "no service matches %q", pattern)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (s *session) everyUser(ctx context.Context) ([]string, error) {
	var list []supervisor.Info
	if err := s.call(ctx, "service.list_full", nil, &list); err != nil {
		return nil, err
	}
	var out []string
	for _, i := range list {
		switch {
		case i.State.Reason != nil && i.State.Reason.Type == "invalid_file":
			fmt.Fprintf(s.std.Err, "zinit: %s is left out: its file does not load\n", line(i.Name))
		case i.Class != "system":
			out = append(out, i.Name)
		}
	}
	if len(out) == 0 {
		return nil, fail(exitNotFound, "", "there is no service of class user")
	}
	return out, nil
}

// suggest adds the nearest name to an error about one that nobody has.
func (s *session) suggest(ctx context.Context, err error, wanted ...string) error {
	f, ok := err.(*failure)
	if !ok || f.status != exitNotFound {
		return err
	}
	var known []string
	if s.call(ctx, "service.list", nil, &known) != nil {
		return err
	}
	for _, w := range wanted {
		if near := nearest(w, known); near != "" && !slices.Contains(known, w) {
			f.hint = "did you mean " + near + "?"
		}
	}
	return f
}
