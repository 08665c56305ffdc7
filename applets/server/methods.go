package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/logs"
)

// methods answers calls with what a supervisor and its logs know.
type methods struct {
	s    *supervisor.Supervisor
	pump *logs.Pump
}

// Methods is the table of everything that can be called. Names, parameters and
// results are those of zinit 0.3.9, extended.
func Methods(s *supervisor.Supervisor, pump *logs.Pump) []rpc.Method {
	m := methods{s, pump}
	all := slices.Concat(m.system(), m.services(), m.definitions(), m.output(), m.usage(), m.bulk())
	for i := range all {
		if all[i].Access == rpc.Write {
			all[i].Params = append(slices.Clone(all[i].Params), tokenParam)
		}
	}
	return all
}

var (
	nameParam  = rpc.Param{Name: "name", Type: "string", Required: true, Doc: "name of a service"}
	maybeName  = rpc.Param{Name: "name", Type: "string", Doc: "name of a service; all when absent"}
	namesParam = rpc.Param{Name: "names", Type: "array", Doc: "several names, in place of name"}
	waitParam  = rpc.Param{Name: "wait", Type: "boolean", Doc: "answer with the outcome, not at once"}
	depsParam  = rpc.Param{Name: "no_deps", Type: "boolean", Doc: "leave other services alone"}
	timeParam  = rpc.Param{Name: "timeout_ms", Type: "integer", Doc: "how long to wait; 0: as long as it takes"}
	afterParam = rpc.Param{Name: "after", Type: "integer", Doc: "the seq of the last one that is known: those after it come first"}
	tokenParam = rpc.Param{Name: "token", Type: "string", Doc: "a random one makes asking again harmless, also after the server was replaced"}
	withParam  = rpc.Param{Name: "members", Type: "boolean", Doc: "of a target, also what it pulls in and nobody else requires"}
	dryParam   = rpc.Param{Name: "dry_run", Type: "boolean", Doc: "only say what would happen"}
)

// ok is the answer to what is accepted.
var ok = map[string]bool{"ok": true}

func (m methods) system() []rpc.Method {
	return []rpc.Method{
		{Name: "system.ping", Doc: "Says that zinit answers, and its version.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return map[string]string{"version": m.s.Version().Version}, nil }},
		{Name: "system.version", Doc: "Says which zinit answers: version, pids, generation, mode.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.Version(), nil }},
		m.end("system.shutdown", "shutdown", "Stops everything in order and ends zinit; on a machine, powers off."),
		m.end("system.poweroff", "poweroff", "Stops everything in order and powers the machine off."),
		m.end("system.reboot", "reboot", "Stops everything in order and reboots the machine."),
		m.end("system.halt", "halt", "Stops everything in order and halts the machine."),
		{Name: "system.upgrade", Doc: "Replaces the server by the binary in a file; services feel nothing.", Access: rpc.Write, Handler: m.upgrade,
			Params: []rpc.Param{{Name: "path", Type: "string", Required: true, Doc: "absolute path of the new binary"}}},
		{Name: "system.prepare_restart", Doc: "Replaces the server by itself, once it has answered; services feel nothing.", Access: rpc.Write, Handler: m.replace},
		m.reload("system.reload"),
		{Name: "service.reload", Doc: "Has a service read its configuration again; without a name the same as system.reload.", Access: rpc.Write, Handler: m.reloadService,
			Params: []rpc.Param{optional(nameParam), dryParam, waitParam, timeParam}},
		{Name: "system.boot", Doc: "What the boot spent its time on, with the critical chain.", Access: rpc.Read,
			Handler: func(*rpc.Call) (any, error) { return m.s.Boot(), nil }},
		{Name: "events.list", Doc: "The transitions that are still known, oldest first.", Access: rpc.Read, Handler: m.past,
			Params: []rpc.Param{afterParam, {Name: "lines", Type: "integer", Doc: "at most so many, the newest; 0: all"}}},
		{Name: "events.subscribe", Doc: "Tells every transition as a notification \"event\".", Access: rpc.Read, Handler: m.events,
			Params: []rpc.Param{afterParam}},
	}
}

func (m methods) end(name, how, doc string) rpc.Method {
	return rpc.Method{Name: name, Doc: doc, Access: rpc.Write, Handler: func(c *rpc.Call) (any, error) {
		if err := m.s.Shutdown(how, operator(c)); err != nil {
			return nil, codeOf(err)
		}
		return ok, nil
	}}
}

func (m methods) reload(name string) rpc.Method {
	return rpc.Method{Name: name, Doc: "Reads the service files again: whole, or not at all.", Access: rpc.Write,
		Params: []rpc.Param{dryParam, {Name: "restart", Type: "boolean", Doc: "restart at once what runs and has changed"}},
		Handler: func(c *rpc.Call) (any, error) {
			var p struct {
				DryRun  bool `json:"dry_run"`
				Restart bool `json:"restart"`
			}
			if err := c.Bind(&p); err != nil {
				return nil, err
			}
			r, err := m.s.Reload(operator(c), supervisor.ReloadOptions{DryRun: p.DryRun, Restart: p.Restart})
			if err != nil {
				return nil, codeOf(err)
			}
			return r, nil
		}}
}

// operator is the cause of what a call does.
func operator(c *rpc.Call) supervisor.Cause {
	by := supervisor.Cause{Kind: "operator", UID: c.Peer.UID, PID: c.Peer.PID}
	if raw := c.Raw(tokenParam.Name); raw != nil {
		json.Unmarshal(raw, &by.Token) // its type was checked
	}
	return by
}

// eventBuffer is how many transitions a subscriber may be behind.
const eventBuffer = 1024

func (m methods) reloadService(c *rpc.Call) (any, error) {
	var r request
	if err := c.Bind(&r); err != nil {
		return nil, err
	}
	if r.Name == "" {
		return answer(m.s.Reload(operator(c), supervisor.ReloadOptions{}))
	}
	if err := m.s.ReloadService(r.Name, operator(c)); err != nil {
		return nil, codeOf(err)
	}
	r.Names = []string{r.Name}
	return r.await(nil, ok, m.s.AwaitReload)
}

func (m methods) upgrade(c *rpc.Call) (any, error) {
	var p struct {
		Path string `json:"path"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	if err := m.s.Upgrade(p.Path, operator(c)); err != nil {
		return nil, codeOf(err)
	}
	return ok, nil
}

// replace answers as zinit 0.3, which ended itself after having written a file.
func (m methods) replace(c *rpc.Call) (any, error) {
	by := operator(c)
	c.After(func() {
		if err := m.s.Upgrade("/proc/self/exe", by); err != nil {
			m.pump.Write([]byte("warning: the server is not replaced: " + err.Error() + "\n"))
		}
	})
	return map[string]any{"ready": true, "state_path": "held by the keeper"}, nil
}

func (m methods) past(c *rpc.Call) (any, error) {
	var p struct {
		After uint64 `json:"after"`
		Lines int    `json:"lines"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	return m.s.Past(p.After, p.Lines), nil
}

func (m methods) events(c *rpc.Call) (any, error) {
	var p struct {
		After *uint64 `json:"after"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	sub := m.s.Events(eventBuffer)
	var past []supervisor.Transition
	if p.After != nil { // after the subscription, so that none is missing between the two
		past = m.s.Past(*p.After, 0)
	}
	return c.Subscribe(func(ctx context.Context, id uint64) {
		defer sub.Close()
		var told, last uint64 // transitions said to be missing; number of the last one sent
		for _, tr := range past {
			if last = tr.Seq; c.Notify("event", event{tr, id, 0}) != nil {
				return
			}
		}
		for {
			select {
			case tr, open := <-sub.C:
				if !open {
					return
				}
				if tr.Seq <= last {
					continue
				}
				var missed uint64 // here: Missed also counts what will be missing further on
				if last != 0 {
					missed = min(tr.Seq-last-1, sub.Missed()-told)
				}
				if c.Notify("event", event{tr, id, missed}) != nil {
					return
				}
				told, last = told+missed, tr.Seq
			case <-ctx.Done():
				return
			}
		}
	})
}

// event is a transition as a subscriber gets it.
type event struct {
	supervisor.Transition
	Subscription uint64 `json:"subscription"`
	Missed       uint64 `json:"missed,omitempty"` // transitions left out before this one
}

// codes say which RPC code each kind of refusal is.
var codes = map[supervisor.Kind]int{
	supervisor.NotFound: rpc.CodeNotFound, supervisor.NotRunning: rpc.CodeNotRunning, supervisor.Refused: rpc.CodeRefused,
	supervisor.ShuttingDown: rpc.CodeShuttingDown, supervisor.TimedOut: rpc.CodeTimedOut, supervisor.Invalid: rpc.CodeInvalidConfig,
	supervisor.Cyclic: rpc.CodeCycle, supervisor.Unrecorded: rpc.CodeUnrecorded,
	supervisor.Malformed: rpc.CodeInvalid, supervisor.Unsafe: rpc.CodeUnsafe, supervisor.Unwritten: rpc.CodeUnwritten,
}

// codeOf turns an error of the supervisor into one that travels.
func codeOf(err error) error {
	var e *supervisor.Error
	if !errors.As(err, &e) {
		return err
	}
	code, known := codes[e.Kind]
	if !known {
		code = rpc.CodeInternal
	}
	return &rpc.Error{Code: code, Message: e.Reason, Data: &rpc.Data{Kind: string(e.Kind), Service: e.Service, Reason: e.Reason, Hint: e.Hint}}
}

// within bounds ctx by a number of milliseconds; 0 does not.
func within(ctx context.Context, ms int64) (context.Context, context.CancelFunc) {
	if ms <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
}
