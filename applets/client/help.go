package client

import (
	"fmt"
	"strings"
	"time"

	"zinit/applets"
	"zinit/applets/help"
)

func (s *session) helpVerb() *command {
	return &command{
		name: "help", usage: "list the commands, or show a topic of the manual or the help of a command", args: "[TOPIC | COMMAND]",
		about: example("  zinit help\n  zinit help states\n  zinit help start"),
		run: func(c *call) error {
			if len(c.names) == 0 {
				s.overview()
				return nil
			}
			topic, err := c.one()
			if err != nil {
				return err
			}
			if text, ok := help.Topic(topic); ok {
				fmt.Fprint(s.std.Out, text)
				return nil
			}
			if cmd := find(s.verbs(), topic); cmd != nil {
				return s.helpFor(cmd)
			}
			names := append(help.Topics(), verbNames(s.verbs())...)
			if near := nearest(topic, names); near != "" {
				return fail(exitUsage, "zinit help lists all", "no help on %q; did you mean %q?", topic, near)
			}
			return fail(exitUsage, "topics: "+strings.Join(help.Topics(), ", "), "no help on %q", topic)
		},
	}
}

// overview lists every command and topic.
func (s *session) overview() {
	fmt.Fprintf(s.std.Out, "zinit %s: supervise services, and say why they are as they are\n\nUsage: zinit [--socket PATH] [--json] [--no-color] COMMAND ...\n\n", applets.Version)
	wide := 0
	for _, c := range s.verbs() {
		wide = max(wide, len(strings.Join(c.names(), ", ")))
	}
	for _, c := range s.verbs() {
		fmt.Fprintf(s.std.Out, "  %-*s  %s\n", wide, strings.Join(c.names(), ", "), c.usage)
	}
	fmt.Fprintf(s.std.Out, `
Manual: zinit help TOPIC, with %s
Of one command: zinit COMMAND --help
To run a supervisor: zinit server --help; as process 1: zinit init --help
`, strings.Join(help.Topics(), ", "))
}

// helpFor shows how one command is used.
func (s *session) helpFor(c *command) error {
	usage := "zinit " + c.name
	if len(c.options) > 0 {
		usage += " [FLAGS]"
	}
	fmt.Fprintf(s.std.Out, "zinit %s: %s\n\nUsage: %s\n\n%s\n", strings.Join(c.names(), ", "), c.usage, strings.TrimSpace(usage+" "+c.args), c.about)
	if len(c.options) > 0 {
		fmt.Fprint(s.std.Out, "\nFlags:\n")
	}
	for _, o := range c.options {
		fmt.Fprintf(s.std.Out, "  %-20s %s\n", o.typed(), o.usage)
	}
	fmt.Fprint(s.std.Out, "\nEverywhere: --socket PATH, --json, --no-color\n")
	return nil
}

// typed is the option as it is typed: "-n, --lines N".
func (o option) typed() string {
	text := "--" + o.name
	if o.short != "" {
		text = "-" + o.short + ", " + text
	}
	switch o.def.(type) {
	case int:
		text += " N"
	case string, []string:
		text += " " + strings.ToUpper(o.name)
	case time.Duration:
		text += " TIME"
	}
	return text
}

func verbNames(list []*command) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.names()...)
	}
	return names
}
