package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"zinit/rpc"
	"zinit/supervisor"
)

func (s *session) eventsVerb() *command {
	return &command{
		name: "events", usage: "show every transition as it happens, with its cause, until Ctrl-C",
		about:   example("  zinit events\n  zinit events --json"),
		options: []option{{"follow", "f", false, "accepted: it is what events does"}},
		run: func(c *call) error {
			if err := c.none(); err != nil {
				return err
			}
			return s.events(c.ctx)
		},
	}
}

func (s *session) events(ctx context.Context) error {
	return s.subscribe(ctx, "events.subscribe", nil, func(params json.RawMessage) error {
		var e struct {
			supervisor.Transition
			Missed uint64 `json:"missed"`
		}
		if err := json.Unmarshal(params, &e); err != nil {
			return fmt.Errorf("cannot read the server's notification: %w", err)
		}
		if s.json {
			fmt.Fprintf(s.std.Out, "%s\n", params)
			return nil
		}
		if e.Missed > 0 {
			fmt.Fprintf(s.std.Out, "... %d transitions are missing here ...\n", e.Missed)
		}
		s.transition(e.Transition)
		return nil
	})
}

// transition prints one change of state.
func (s *session) transition(tr supervisor.Transition) {
	text := fmt.Sprintf("%s %s %s: %s -> %s (%s)", clock(tr.TimeMS), s.symbol(tr.To), line(tr.Name), tr.From, tr.To, line(tr.Cause))
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
