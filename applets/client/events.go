package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"zinit/rpc"
	"zinit/supervisor"
)

func (s *session) eventsVerb() *command {
	return &command{
		name: "events", usage: "show every transition with its cause and its number", args: "[NAME...]",
		about: example("  zinit events -n 20\n  zinit events -f web") +
			"\n\n\"<-7\" behind a number says that transition 7 brought it about.",
		options: []option{{"follow", "f", false, "go on with every new one"}, {"lines", "n", 100, "at most so many, the newest; 0: all that are known"}},
		run:     s.events,
	}
}

func (s *session) events(c *call) error {
	shown := func(tr supervisor.Transition) bool { return len(c.names) == 0 || slices.Contains(c.names, tr.Name) }
	var raws []json.RawMessage
	if err := s.call(c.ctx, "events.list", nil, &raws); err != nil {
		return err
	}
	var last uint64
	kept := []json.RawMessage{}
	var list []supervisor.Transition
	for _, raw := range raws {
		var tr supervisor.Transition
		if err := json.Unmarshal(raw, &tr); err != nil {
			return fmt.Errorf("cannot read the answer: %w", err)
		}
		if last = tr.Seq; shown(tr) {
			list, kept = append(list, tr), append(kept, raw)
		}
	}
	if n := c.number("lines"); n > 0 && len(list) > n {
		list, kept = list[len(list)-n:], kept[len(kept)-n:]
	}
	if s.json && !c.is("follow") {
		return s.printJSON(kept)
	}
	for i, tr := range list {
		s.event(tr, kept[i])
	}
	if !c.is("follow") {
		return nil
	}
	return s.followEvents(c.ctx, last, shown)
}

// followEvents shows what comes after number last, each once, also across servers
// that are replaced.
func (s *session) followEvents(ctx context.Context, last uint64, shown func(supervisor.Transition) bool) error {
	params := map[string]any{"after": last}
	return s.subscribe(ctx, "events.subscribe", params, func(raw json.RawMessage) error {
		var e struct {
			supervisor.Transition
			Missed uint64 `json:"missed"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("cannot read the server's notification: %w", err)
		}
		if e.Missed > 0 && !s.json {
			fmt.Fprintf(s.std.Out, "... %d transitions are missing here ...\n", e.Missed)
		}
		if params["after"] = e.Seq; shown(e.Transition) {
			s.event(e.Transition, raw)
		}
		return nil
	})
}

func (s *session) event(tr supervisor.Transition, raw json.RawMessage) {
	if s.json {
		fmt.Fprintf(s.std.Out, "%s\n", raw)
		return
	}
	s.transition(tr)
}

// transition prints one change of state.
func (s *session) transition(tr supervisor.Transition) {
	number := fmt.Sprint(tr.Seq)
	if tr.Because != 0 {
		number += fmt.Sprintf("<-%d", tr.Because)
	}
	text := fmt.Sprintf("%s %-8s %s %s: %s -> %s (%s)", clock(tr.TimeMS), number, s.symbol(tr.To), line(tr.Name), tr.From, tr.To, line(tr.Cause))
	if tr.Reason != "" {
		text += ": " + line(tr.Reason)
	}
	fmt.Fprintln(s.std.Out, text)
}

// subscribe calls a method that goes on telling, and hands what it tells to
// each until ctx ends, each fails, or zinit is gone. When the server is replaced
// it subscribes anew, with params as they are then.
func (s *session) subscribe(ctx context.Context, method string, params map[string]any, each func(json.RawMessage) error) error {
	told := false
	for {
		c, err := s.dial(ctx)
		if err != nil {
			if told {
				return fail(exitNoServer, "", "zinit has ended")
			}
			return err
		}
		err = listenTo(ctx, c, method, params, each)
		c.Close()
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, rpc.ErrGone):
			return explain(err)
		}
		told = true
		time.Sleep(betweenTries)
	}
}

func listenTo(ctx context.Context, c *rpc.Client, method string, params map[string]any, each func(json.RawMessage) error) error {
	var any any
	if params != nil {
		any = params
	}
	if err := c.Call(ctx, method, any, nil); err != nil {
		return err
	}
	for {
		select {
		case n, open := <-c.Notifications():
			if !open {
				return rpc.ErrGone
			}
			if err := each(n.Params); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) waitVerb() *command {
	return &command{
		name: "wait", usage: "wait until services run, are ready, have exited or are stopped", args: "NAME...",
		about: example("  zinit wait web --for ready --timeout 30s\n  zinit wait job --for exited") +
			"\n\nExit status: 0 it has come, 1 it cannot come by itself, 5 the time is over.",
		options: []option{{"for", "", "ready", "running, ready, exited or stopped"}, timeFlag},
		run: func(c *call) error {
			names, err := s.names(c.ctx, c)
			if err != nil {
				return err
			}
			params, err := waiting(c, names)
			if err != nil {
				return err
			}
			delete(params, "wait")
			params["for"] = c.text("for")
			if !slices.Contains([]string{"running", "ready", "exited", "stopped"}, c.text("for")) {
				return fail(exitUsage, "", "cannot wait for %q: running, ready, exited or stopped", c.text("for"))
			}
			var r result
			done, err := s.ask(c.ctx, "service.wait", params, &r)
			if err != nil {
				return s.suggest(c.ctx, err, names...)
			}
			if !done {
				s.outcomes(r, "Reached "+c.text("for"))
			}
			return worst(r.Outcomes, c.time("timeout"))
		},
	}
}

func (s *session) bootVerb() *command {
	return &command{
		name: "boot", usage: "show what the boot spent its time on, with the critical chain", about: example("  zinit boot\n  zinit boot --json"),
		run: func(c *call) error {
			if err := c.none(); err != nil {
				return err
			}
			var b supervisor.Boot
			done, err := s.ask(c.ctx, "system.boot", nil, &b)
			if err != nil || done {
				return err
			}
			s.boot(b)
			return nil
		},
	}
}

func (s *session) boot(b supervisor.Boot) {
	row := func(lead string, v supervisor.BootService) {
		took := "not ready, " + v.State
		if v.ReadyMS >= 0 {
			took = fmt.Sprintf("took %dms", v.TookMS)
		}
		fmt.Fprintf(s.std.Out, "%s%-24s started at %6dms, %s\n", lead, line(v.Name), v.StartMS, took)
	}
	fmt.Fprintf(s.std.Out, "The boot took %dms. The critical chain, each waited for the next:\n", b.TookMS)
	for i, v := range b.Chain {
		row(strings.Repeat("  ", min(i, 10))+"-> ", v)
	}
	fmt.Fprintf(s.std.Out, "\nAll services, the last to be ready first:\n")
	for _, v := range b.Services {
		row("   ", v)
	}
}
