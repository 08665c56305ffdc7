package server

import (
	"context"
	"encoding/json"
	"syscall"

	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/spec"
)

func (m methods) services() []rpc.Method {
	return []rpc.Method{
		{Name: "service.list", Doc: "Names every service, sorted.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.Names(), nil }},
		{Name: "service.list_full", Doc: "Every service with its state and reason, by name.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.List(), nil }},
		question(m.s.Status, "service.status", "State, pid and error of a service."),
		{Name: "service.status_full", Doc: "Everything about a service.", Access: rpc.Read, Handler: m.statusFull,
			Params: []rpc.Param{nameParam, {Name: "usage", Type: "boolean", Doc: "also what its processes use"}}},
		question(m.s.Get, "service.get", "The accepted definition of a service, defaults filled in."),
		question(m.s.Why, "service.why", "The chain from a service to the root cause."),
		{Name: "service.is_running", Doc: "Whether a service runs; false for an unknown name.", Access: rpc.Read, Params: []rpc.Param{nameParam}, Handler: m.isRunning},
		{Name: "service.tree", Doc: "Draws the services with what they depend on.", Access: rpc.Read, Handler: m.tree,
			Params: []rpc.Param{maybeName, {Name: "reverse", Type: "boolean", Doc: "dependents in place of dependencies"}}},
		{Name: "service.start", Doc: "Starts services with what they need.", Access: rpc.Write, Handler: m.start,
			Params: []rpc.Param{optional(nameParam), namesParam, waitParam, depsParam, timeParam}},
		{Name: "service.stop", Doc: "Stops services, those that need them first.", Access: rpc.Write, Handler: m.stop,
			Params: []rpc.Param{optional(nameParam), namesParam, waitParam, depsParam, withParam, dryParam, timeParam}},
		{Name: "service.restart", Doc: "Stops services and those that need them, and starts them again.", Access: rpc.Write, Handler: m.restart,
			Params: []rpc.Param{optional(nameParam), namesParam, waitParam, depsParam, dryParam, timeParam}},
		{Name: "service.kill", Doc: "Sends a signal to all processes of a service.", Access: rpc.Write, Handler: m.kill,
			Params: []rpc.Param{nameParam, {Name: "signal", Type: "any", Doc: "name or number; SIGTERM when absent"}}},
		{Name: "service.wait", Doc: "Waits until services run, are ready, have exited or are stopped.", Access: rpc.Read, Handler: m.wait,
			Params: []rpc.Param{optional(nameParam), namesParam, {Name: "for", Type: "string", Required: true, Doc: "running, ready, exited or stopped"}, timeParam}},
	}
}

func optional(p rpc.Param) rpc.Param { p.Required = false; return p }

// question is a method that asks about one service.
func question[T any](ask func(string) (T, error), name, doc string) rpc.Method {
	return rpc.Method{Name: name, Doc: doc, Access: rpc.Read, Params: []rpc.Param{nameParam}, Handler: func(c *rpc.Call) (any, error) {
		n, err := oneName(c)
		if err != nil {
			return nil, err
		}
		answer, err := ask(n)
		if err != nil {
			return nil, codeOf(err)
		}
		return answer, nil
	}}
}

func oneName(c *rpc.Call) (string, error) {
	var p struct {
		Name string `json:"name"`
	}
	err := c.Bind(&p)
	return p.Name, err
}

func (m methods) isRunning(c *rpc.Call) (any, error) {
	name, err := oneName(c)
	if err != nil {
		return nil, err
	}
	st, err := m.s.Status(name)
	return err == nil && st.State == "running", nil
}

// statusFull reads what a service uses for those only who ask: without a cgroup
// that takes a look at every process there is.
func (m methods) statusFull(c *rpc.Call) (any, error) {
	var p struct {
		Name  string `json:"name"`
		Usage bool   `json:"usage"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	f, err := m.s.StatusFull(p.Name)
	if err != nil {
		return nil, codeOf(err)
	}
	if p.Usage && f.State.PID != 0 {
		if st, err := m.s.Stats(p.Name); err == nil {
			f.Usage = &st
		}
	}
	return f, nil
}

func (m methods) tree(c *rpc.Call) (any, error) {
	var p struct {
		Name    string `json:"name"`
		Reverse bool   `json:"reverse"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	text, err := m.s.Tree(p.Name, p.Reverse)
	if err != nil {
		return nil, codeOf(err)
	}
	return map[string]string{"ascii": text}, nil
}

// request is what start, stop and restart are asked.
type request struct {
	Name    string   `json:"name"`
	Names   []string `json:"names"`
	Wait    bool     `json:"wait"`
	NoDeps  bool     `json:"no_deps"`
	DryRun  bool     `json:"dry_run"`
	Members bool     `json:"members"`
	Timeout int64    `json:"timeout_ms"`
}

func bindRequest(c *rpc.Call) (request, error) {
	var r request
	if err := c.Bind(&r); err != nil {
		return r, err
	}
	var err error
	r.Names, err = r.all()
	return r, err
}

// all is every name that a request is about, at least one.
func (r request) all() ([]string, error) {
	names := r.Names
	if r.Name != "" {
		names = append([]string{r.Name}, names...)
	}
	if len(names) == 0 {
		return nil, rpc.Errorf(rpc.CodeInvalidParams, "missing 'name' parameter")
	}
	return names, nil
}

// outcomes is the answer of a request that waits.
type outcomes struct {
	Outcomes []supervisor.Outcome `json:"outcomes"`
	Also     []string             `json:"also,omitempty"` // what went with those asked for
}

// await answers with atOnce, or, where that was asked, when the outcome is known.
func (r request) await(also []string, atOnce any, wait func(context.Context, []string) ([]supervisor.Outcome, error)) (any, error) {
	if !r.Wait {
		return atOnce, nil
	}
	return rpc.Later(func(ctx context.Context) (any, error) {
		ctx, cancel := within(ctx, r.Timeout)
		defer cancel()
		out, err := wait(ctx, r.Names)
		if err != nil {
			return nil, codeOf(err)
		}
		return outcomes{out, also}, nil
	}), nil
}

func (m methods) start(c *rpc.Call) (any, error) {
	r, err := bindRequest(c)
	if err != nil {
		return nil, err
	}
	if err := m.s.Start(r.Names, operator(c), supervisor.StartOptions{NoDeps: r.NoDeps}); err != nil {
		return nil, codeOf(err)
	}
	return r.await(nil, ok, m.s.AwaitStart)
}

func (m methods) stop(c *rpc.Call) (any, error) { return m.takeDown(c, m.s.Stop, m.s.AwaitStop) }

func (m methods) restart(c *rpc.Call) (any, error) { return m.takeDown(c, m.s.Restart, m.s.AwaitStart) }

func (m methods) takeDown(c *rpc.Call, do func([]string, supervisor.Cause, supervisor.StopOptions) ([]string, error),
	wait func(context.Context, []string) ([]supervisor.Outcome, error)) (any, error) {
	r, err := bindRequest(c)
	if err != nil {
		return nil, err
	}
	also, err := do(r.Names, operator(c), supervisor.StopOptions{NoDeps: r.NoDeps, DryRun: r.DryRun, Members: r.Members})
	if err != nil {
		return nil, codeOf(err)
	}
	if r.DryRun {
		return outcomes{[]supervisor.Outcome{}, also}, nil
	}
	if r.Members { // those that need a service are gone before it; members may take longer than their target
		r.Names, also = append(r.Names, also...), nil
	}
	return r.await(also, ok, wait)
}

func (m methods) wait(c *rpc.Call) (any, error) {
	var p struct {
		request
		For string `json:"for"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	names, err := p.request.all()
	if err != nil {
		return nil, err
	}
	r := request{Names: names, Wait: true, Timeout: p.Timeout}
	return r.await(nil, ok, func(ctx context.Context, names []string) ([]supervisor.Outcome, error) {
		return m.s.AwaitFor(ctx, names, p.For)
	})
}

func (m methods) kill(c *rpc.Call) (any, error) {
	var p struct {
		Name   string          `json:"name"`
		Signal json.RawMessage `json:"signal"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	sig, err := signalOf(p.Signal)
	if err != nil {
		return nil, rpc.Errorf(rpc.CodeInvalidParams, "cannot send a signal to %q: %v", p.Name, err)
	}
	if err := m.s.Kill(p.Name, sig, operator(c)); err != nil {
		return nil, codeOf(err)
	}
	return ok, nil
}

// signalOf reads a signal by name or number; SIGTERM when absent.
func signalOf(raw json.RawMessage) (syscall.Signal, error) {
	if len(raw) == 0 {
		return syscall.SIGTERM, nil
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, err
		}
	}
	return spec.ParseSignal(text)
}
