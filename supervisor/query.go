package supervisor

import (
	"maps"
	"slices"
	"sort"

	"zinit/supervisor/logs"
	"zinit/supervisor/state"
)

// tailLines is how many lines of output `status` and `why` show.
const tailLines = 10

// List returns every service by name, and those whose file did not load.
func (s *Supervisor) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Info, 0, len(s.names)+len(s.config.Broken))
	for _, name := range s.names {
		list = append(list, s.info(s.services[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.config.Broken)) {
		if s.services[name] == nil {
			list = append(list, brokenInfo(name, s.config.Broken[name]))
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// brokenInfo stands for a service whose file does not load.
func brokenInfo(name, message string) Info {
	return Info{Name: name, Class: "user", Wanted: true, Reason: "left out: " + firstLine(message),
		State: State{State: "failed", Reason: &Failure{Type: "invalid_file", Message: message}}}
}

// Names returns the name of every service, sorted.
func (s *Supervisor) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

// Defines reports whether there is a service of this name that is not about to be
// forgotten.
func (s *Supervisor) Defines(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	return sv != nil && !sv.removed
}

func (s *Supervisor) info(sv *service) Info {
	rt := &sv.rt
	i := Info{Name: sv.name, State: s.stateOf(sv), IsTarget: sv.spec.Target, Wanted: rt.Wanted, Class: sv.spec.Class.String(),
		SinceMS: rt.Since / 1e6, Reason: s.reason(sv), Changed: sv.cur != nil && rt.Alive() && !sv.cur.Same(sv.spec)}
	if rt.SinceMono != 0 {
		i.AgeMS = max(s.opt.Now()-rt.SinceMono, 0) / 1e6
	}
	return i
}

func (s *Supervisor) stateOf(sv *service) State {
	rt := &sv.rt
	st := State{State: rt.State.String()}
	switch rt.State {
	case state.Starting, state.Running, state.Stopping:
		st.PID = rt.Pid
	case state.Blocked:
		st.WaitingOn = []string{}
		for _, b := range s.blockers(sv) {
			st.WaitingOn = append(st.WaitingOn, b.name)
		}
	case state.Exited:
		st.ExitCode = exitCode(rt.Last)
	case state.Failed:
		st.Reason = failureOf(sv)
	}
	return st
}

// exitCode is nil when the run never was or a signal ended it.
func exitCode(e state.Exit) *int {
	if e.Run == 0 || e.Signal != 0 {
		return nil
	}
	return &e.Code
}

func failureOf(sv *service) *Failure {
	f := sv.rt.Failure
	out := &Failure{Type: f.Kind.String()}
	switch f.Kind {
	case state.ExitCode:
		out.Code = &f.Code
	case state.Signal:
		out.Signal, out.Core = f.Code, f.Core
	case state.DependencyFailed:
		out.Service = f.Text
	case state.MissingDependency:
		out.Dependency = f.Text
	case state.HealthCheckFailed:
		out.Attempts = f.Code
	default:
		out.Message = f.Text
	}
	return out
}

func exitAnswer(e state.Exit) *Exit {
	if e.Run == 0 {
		return nil
	}
	return &Exit{Run: e.Run, PID: e.Pid, Code: exitCode(e), Signal: e.Signal, Core: e.Core, Killed: e.Killed, OOM: e.OOM, AtMS: e.Wall / 1e6, Text: exitText(e)}
}

// Status is the short answer about one service.
func (s *Supervisor) Status(name string) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	if sv == nil {
		if msg, broken := s.config.Broken[name]; broken {
			return Status{Name: name, State: "failed", Error: "left out: " + msg}, nil
		}
		return Status{}, notFound(name)
	}
	st := Status{Name: name, State: sv.rt.State.String(), PID: sv.rt.Pid}
	switch sv.rt.State {
	case state.Exited:
		st.ExitCode = exitCode(sv.rt.Last)
	case state.Failed:
		if sv.rt.Failure.Kind == state.ExitCode {
			st.ExitCode = exitCode(sv.rt.Last)
		}
		st.Error = s.reason(sv)
	case state.Blocked:
		st.Error = s.reason(sv)
	}
	return st, nil
}

// StatusFull is everything about one service.
func (s *Supervisor) StatusFull(name string) (Full, error) {
	s.see(name)
	f, err := s.full(name)
	if err != nil {
		return f, err
	}
	f.LogBytes, f.LogDropped = s.logs.Size(name)
	f.Log = Lines(s.logs.Tail(name, tailLines))
	return f, nil
}

func (s *Supervisor) full(name string) (Full, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	if sv == nil {
		if msg, broken := s.config.Broken[name]; broken {
			return Full{Info: brokenInfo(name, msg), File: s.config.loaded.Broken[name],
				Dependencies: []Dependency{}, Dependents: []Dependency{}, Cause: "its file does not load"}, nil
		}
		return Full{}, notFound(name)
	}
	rt, sp := &sv.rt, sv.spec
	f := Full{Info: s.info(sv), Description: sp.Description, Cause: rt.Cause, Run: rt.Run, Attempts: rt.Attempts,
		MaxRestarts: sp.MaxRestarts, LastExit: exitAnswer(rt.Last), Command: sp.Exec.Argv, File: sp.File, Limits: sp.LimitTexts()}
	f.Health, f.StatusText = s.healthOf(sv), rt.StatusText
	if rt.ReadyAt != 0 {
		up := (s.opt.Now() - rt.ReadyAt) / 1e9
		f.UptimeSecs = &up
		if s.opt.Now()-rt.ReadyAt >= int64(sp.StabilityPeriod) {
			f.Attempts = 0
		}
	}
	if rt.RetryAt != 0 {
		next := max(rt.RetryAt-s.opt.Now(), 0) / 1e6
		f.NextStartMS = &next
	}
	f.Contained, f.Ports, f.PortConflict = s.contained(sv), sp.Ports, s.portConflict(sv)
	f.Dependencies, f.Dependents = s.edges(sv)
	f.Warnings = append(f.Warnings, sv.beside(f.Reason)...)
	f.Resources = s.resourcesOf(sv)
	if fault := s.limitFault(sv, f.Resources); fault != "" {
		f.Warnings = append(f.Warnings, fault)
	}
	for _, p := range s.config.Problems {
		if p.Warning && p.File == sp.File {
			f.Warnings = append(f.Warnings, firstLine(p.Error()))
		}
	}
	return f, nil
}

// edges lists what sv waits for, and what waits for it.
func (s *Supervisor) edges(sv *service) (out, in []Dependency) {
	out, in = []Dependency{}, []Dependency{}
	for _, e := range s.graph.Out(sv.name) {
		d := Dependency{Name: e.To, DepType: e.Declared.String(), State: "missing"}
		if other := s.services[e.To]; other != nil {
			var tl tally
			tl.count(e.Kind, s.standing(other, &other.rt), 1)
			d.State, d.Satisfied = other.rt.State.String(), tl.need+tl.order+tl.clash == 0
		}
		out = append(out, d)
	}
	for _, e := range s.graph.In(sv.name) {
		d := Dependency{Name: e.From, DepType: e.Declared.String(), State: "missing"}
		if other := s.services[e.From]; other != nil {
			d.State, d.Satisfied = other.rt.State.String(), other.rt.State == state.Running
		}
		in = append(in, d)
	}
	return out, in
}

// Lines turns stored lines into answers.
func Lines(stored []logs.Line) []LogLine {
	out := make([]LogLine, 0, len(stored))
	for _, l := range stored {
		out = append(out, LineOf(l))
	}
	return out
}
