package client

import (
	"fmt"

	"zinit/supervisor"
)

func (s *session) whyVerb() *command {
	return &command{
		name: "why", usage: "follow the reasons from a service to the root cause, with the command that would help", args: "NAME",
		about: example("  zinit why web"),
		run: func(c *call) error {
			name, err := c.one()
			if err != nil {
				return err
			}
			var w supervisor.Why
			done, err := s.ask(c.ctx, "service.why", map[string]string{"name": name}, &w)
			if err == nil && !done {
				fmt.Fprintln(s.std.Out, safe(w.ASCII))
			}
			return s.suggest(c.ctx, err, name)
		},
	}
}

func (s *session) treeVerb() *command {
	return &command{
		name: "tree", usage: "draw services with what they depend on, and their states", args: "[NAME]",
		about:   example("  zinit tree\n  zinit tree db --reverse"),
		options: []option{{"reverse", "", false, "draw what depends on them"}},
		run: func(c *call) error {
			params := map[string]any{"reverse": c.is("reverse")}
			if len(c.names) > 0 {
				name, err := c.one()
				if err != nil {
					return err
				}
				params["name"] = name
			}
			var t struct {
				ASCII string `json:"ascii"`
			}
			done, err := s.ask(c.ctx, "service.tree", params, &t)
			if err == nil && !done {
				fmt.Fprintln(s.std.Out, safe(t.ASCII))
			}
			return s.suggest(c.ctx, err, c.names...)
		},
	}
}
