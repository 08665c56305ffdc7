package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zinit/supervisor"
)

var (
	allFlag  = option{"all", "", false, "every service of class user"}
	waitFlag = option{"no-wait", "", false, "do not wait for the result"}
	timeFlag = option{"timeout", "", time.Duration(0), "wait at most so long, e.g. 30s; the work goes on"}
)

func (s *session) startVerb() *command {
	return &command{
		name: "start", usage: "start services with what they need, and wait until they are ready", args: "NAME...",
		about: example("  zinit start web\n  zinit start 'web-*' --timeout 30s"),
		options: []option{allFlag, waitFlag, timeFlag,
			{"no-deps", "", false, "wait for what they need without starting it"},
			{"tree", "", false, "accepted for older scripts: it is what start does"}},
		run: func(c *call) error { return s.change(c, "service.start", "Started") },
	}
}

func (s *session) stopVerb() *command {
	return &command{
		name: "stop", usage: "stop services, those that need them first, and wait until nothing of them is left", args: "NAME...",
		about: example("  zinit stop db\n  zinit stop db --dry-run"),
		options: []option{allFlag, waitFlag, timeFlag,
			{"no-deps", "", false, "refuse when something needs them"},
			{"members", "", false, "of a target, also what it pulls in and nobody else requires"},
			{"dry-run", "", false, "only show what would stop"}},
		run: func(c *call) error { return s.change(c, "service.stop", "Stopped") },
	}
}

func (s *session) restartVerb() *command {
	return &command{
		name: "restart", usage: "stop services and those that need them, and start them again", args: "NAME...",
		about: example("  zinit restart db"),
		options: []option{allFlag, waitFlag, timeFlag,
			{"no-deps", "", false, "refuse when something needs them"},
			{"dry-run", "", false, "only show what would restart"}},
		run: func(c *call) error { return s.change(c, "service.restart", "Restarted") },
	}
}

type result struct {
	Outcomes []supervisor.Outcome `json:"outcomes"`
	Also     []string             `json:"also"`
}

// change asks for a start, stop, restart or removal and tells what became of it.
func (s *session) change(c *call, method, word string) error {
	names, err := s.names(c.ctx, c)
	if err != nil {
		return err
	}
	params, err := waiting(c, names)
	if err != nil {
		return err
	}
	for _, flag := range []string{"no-deps", "dry-run", "members", "cascade", "force"} {
		if c.is(flag) {
			params[strings.ReplaceAll(flag, "-", "_")] = true
		}
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	var r result
	done, err := s.ask(ctx, method, params, &r)
	if err != nil {
		return s.suggest(c.ctx, err, names...)
	}
	switch {
	case done:
	case c.is("dry-run"):
		fmt.Fprintf(s.std.Out, "would go: %s\n", line(strings.Join(append(names, r.Also...), ", ")))
	case c.is("no-wait"):
		for _, n := range names {
			fmt.Fprintf(s.std.Out, "Asked for: %s\n", line(n))
		}
	default:
		s.outcomes(r, word)
	}
	return worst(r.Outcomes, c.time("timeout"))
}

// waiting makes the parameters of a request about names that waits.
func waiting(c *call, names []string) (map[string]any, error) {
	params := map[string]any{"names": names, "wait": !c.is("no-wait")}
	if d := c.time("timeout"); d > 0 {
		params["timeout_ms"] = max(d.Milliseconds(), 1)
	} else if d < 0 {
		return nil, fail(exitUsage, "", "--timeout %s is negative", d)
	}
	return params, nil
}

// outcomes prints one line for each service.
func (s *session) outcomes(r result, word string) {
	for _, o := range r.Outcomes {
		switch {
		case o.OK && o.Reason != "":
			fmt.Fprintf(s.std.Out, "%s: %s (%s)\n", word, line(o.Name), line(o.Reason))
		case o.OK:
			fmt.Fprintf(s.std.Out, "%s: %s\n", word, line(o.Name))
		default:
			fmt.Fprintf(s.std.Out, "%s %s is %s: %s\n", s.symbol(o.State), line(o.Name), o.State, line(o.Reason))
		}
	}
	if len(r.Also) > 0 {
		fmt.Fprintf(s.std.Out, "with: %s\n", line(strings.Join(r.Also, ", ")))
	}
}

// worst is the exit status for several outcomes.
func worst(list []supervisor.Outcome, limit time.Duration) error {
	var err error
	for _, o := range list {
		switch {
		case o.Pending:
			return fail(exitTimedOut, "it goes on; look with: zinit status "+o.Name, "%s is still %s after %s", o.Name, o.State, limit)
		case !o.OK && err == nil:
			err = &failure{status: exitFault, hint: "zinit why " + o.Name + " says more"}
		}
	}
	return err
}

func (s *session) killVerb() *command {
	return &command{
		name: "kill", usage: "send a signal to all processes of a service", args: "NAME [SIGNAL]",
		about:   example("  zinit kill -s HUP web\n  zinit kill web KILL"),
		options: []option{{"signal", "s", "SIGTERM", "name or number"}},
		run:     s.kill,
	}
}

func (s *session) kill(c *call) error {
	sig := c.text("signal")
	switch {
	case len(c.names) == 2 && !c.given("signal"):
		sig = c.names[1]
	case len(c.names) != 1:
		return fail(exitUsage, "zinit kill -s HUP web", "kill needs the name of one service")
	}
	name := c.names[0]
	done, err := s.ask(c.ctx, "service.kill", map[string]string{"name": name, "signal": sig}, nil)
	if err == nil && !done {
		fmt.Fprintf(s.std.Out, "Sent %s to: %s\n", line(strings.TrimPrefix(strings.ToUpper(sig), "SIG")), line(name))
	}
	return s.suggest(c.ctx, err, name)
}
