package client

import "fmt"

func (s *session) startAllVerb() *command {
	return &command{
		name: "start-all", usage: "start every service of class user that is not up, and wait until they are ready",
		about:   example("  zinit start-all"),
		options: []option{waitFlag, timeFlag},
		run:     func(c *call) error { return s.changeAll(c, "service.start_all", "Started", "start") },
	}
}

func (s *session) stopAllVerb() *command {
	return &command{
		name: "stop-all", usage: "stop every service of class user, and wait until nothing of them is left",
		about:   example("  zinit stop-all --timeout 30s"),
		options: []option{waitFlag, timeFlag},
		run:     func(c *call) error { return s.changeAll(c, "service.stop_all", "Stopped", "stop") },
	}
}

func (s *session) deleteAllVerb() *command {
	return &command{
		name: "delete-all", usage: "stop and forget every service of class user, each with the file it came from",
		about:   example("  zinit delete-all"),
		options: []option{waitFlag, timeFlag},
		run: func(c *call) error {
			err := c.none()
			if err == nil {
				c.names, err = s.everyUser(c.ctx)
			}
			if f, ok := err.(*failure); ok && f.status == exitNotFound {
				fmt.Fprintln(s.std.Out, "Nothing to remove")
				return nil
			}
			if err != nil {
				return err
			}
			return s.change(c, "service.delete", "Removed")
		},
	}
}

// changeAll asks for a start or stop of everything and tells what became of it.
func (s *session) changeAll(c *call, method, word, verb string) error {
	if err := c.none(); err != nil {
		return err
	}
	params, err := waiting(c, nil)
	if err != nil {
		return err
	}
	delete(params, "names")
	var r struct {
		result
		Count int `json:"count"`
	}
	done, err := s.ask(c.ctx, method, params, &r)
	switch {
	case err != nil:
		return err
	case done:
	case r.Count == 0:
		fmt.Fprintf(s.std.Out, "Nothing to %s\n", verb)
	case c.is("no-wait"):
		fmt.Fprintf(s.std.Out, "Asked for: %d services\n", r.Count)
	default:
		s.outcomes(r.result, word)
	}
	return worst(r.Outcomes, c.time("timeout"))
}
