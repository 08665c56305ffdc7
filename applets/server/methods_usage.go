package server

import (
	"context"

	"zinit/rpc"
	"zinit/supervisor"
)

// usage are the methods about processes and what they use, and about the whole.
func (m methods) usage() []rpc.Method {
	return []rpc.Method{
		question(m.s.Stats, "service.stats", "Memory and processor use of a service, all its processes together."),
		{Name: "service.stats_all", Doc: "Memory and processor use of every service, by name.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.StatsAll() }},
		question(m.s.Children, "service.children", "The processes of a service but the main one, the youngest first."),
		{Name: "service.graph", Doc: "Every service with its state, and every dependency, to be drawn.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.Draw(), nil }},
		question(output(m.s.ProcessTree), "debug.process_tree", "Draws the processes of a service; the form is not promised."),
		{Name: "debug.state", Doc: "Describes everything that is known, as text; the form is not promised.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) {
				return output(func(string) (string, error) { return m.s.DebugState() })("")
			}},
	}
}

// output wraps a text as zinit 0.3 does.
func output(f func(string) (string, error)) func(string) (map[string]string, error) {
	return func(name string) (map[string]string, error) {
		text, err := f(name)
		return map[string]string{"output": text}, err
	}
}

// bulk are the methods for all services of class user at once.
func (m methods) bulk() []rpc.Method {
	return []rpc.Method{
		{Name: "service.start_all", Doc: "Starts every service of class user that is not up.", Access: rpc.Write, Params: []rpc.Param{waitParam, timeParam},
			Handler: func(c *rpc.Call) (any, error) {
				return m.all(c, false, func(names []string, by supervisor.Cause) ([]string, error) {
					return nil, m.s.Start(names, by, supervisor.StartOptions{})
				}, m.s.AwaitStart)
			}},
		{Name: "service.stop_all", Doc: "Stops every service of class user that is up.", Access: rpc.Write, Params: []rpc.Param{waitParam, timeParam},
			Handler: func(c *rpc.Call) (any, error) {
				return m.all(c, true, func(names []string, by supervisor.Cause) ([]string, error) {
					return m.s.Stop(names, by, supervisor.StopOptions{})
				}, m.s.AwaitStop)
			}},
		{Name: "service.delete_all", Doc: "Stops every service of class user and forgets it, with the file that it came from.", Access: rpc.Write, Handler: m.deleteAll},
	}
}

func (m methods) deleteAll(c *rpc.Call) (any, error) {
	names := m.users(func(supervisor.Info) bool { return true })
	if len(names) > 0 {
		if _, err := m.s.Remove(names, operator(c), supervisor.RemoveOptions{}); err != nil {
			return nil, codeOf(err)
		}
	}
	return bulkAnswer{Deleted: &names, Count: len(names)}, nil
}

// bulkAnswer says which services were asked to start or stop, or are forgotten.
type bulkAnswer struct {
	Started  *[]string            `json:"started,omitempty"`
	Stopped  *[]string            `json:"stopped,omitempty"`
	Deleted  *[]string            `json:"deleted,omitempty"`
	Count    int                  `json:"count"`
	Outcomes []supervisor.Outcome `json:"outcomes,omitempty"` // with wait
	Also     []string             `json:"also,omitempty"`     // what went with those
}

// all starts or stops what is not that way already.
func (m methods) all(c *rpc.Call, down bool, do func([]string, supervisor.Cause) ([]string, error),
	wait func(context.Context, []string) ([]supervisor.Outcome, error)) (any, error) {
	var r request
	if err := c.Bind(&r); err != nil {
		return nil, err
	}
	pick := isDown
	if down {
		pick = isUp
	}
	names := m.users(pick)
	a := bulkAnswer{Count: len(names)}
	if down {
		a.Stopped = &names
	} else {
		a.Started = &names
	}
	if len(names) == 0 {
		return a, nil
	}
	var err error
	if a.Also, err = do(names, operator(c)); err != nil {
		return nil, codeOf(err)
	}
	if !r.Wait {
		return a, nil
	}
	return rpc.Later(func(ctx context.Context) (any, error) {
		ctx, cancel := within(ctx, r.Timeout)
		defer cancel()
		var err error
		if a.Outcomes, err = wait(ctx, names); err != nil {
			return nil, codeOf(err)
		}
		return a, nil
	}), nil
}

// users names those of class user that pick picks. What stands in the list because
// its file does not load is none.
func (m methods) users(pick func(supervisor.Info) bool) []string {
	names := []string{}
	for _, i := range m.s.List() {
		if i.Class != "system" && pick(i) && !(i.State.Reason != nil && i.State.Reason.Type == "invalid_file") {
			names = append(names, i.Name)
		}
	}
	return names
}

// isDown says whether a start would do something. A oneshot that is done is not
// down.
func isDown(i supervisor.Info) bool {
	switch i.State.State {
	case "running", "starting", "blocked":
		return false
	case "exited":
		return !i.Wanted
	}
	return true
}

// isUp says whether a stop would do something, if only to a restart that is due.
func isUp(i supervisor.Info) bool { return i.Wanted || i.State.PID != 0 }
