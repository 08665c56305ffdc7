package supervisor

import (
	"fmt"
	"strings"

	"zinit/graph"
	"zinit/supervisor/state"
)

// Why returns the chain from a service to the root cause of its not being as
// wanted, with the command that would help. The chain is finite: no service
// stands in it twice.
func (s *Supervisor) Why(name string) (Why, error) {
	s.see(name)
	w, root, err := s.chain(name)
	if err != nil {
		return w, err
	}
	if root >= 0 && w.Chain[root].Exit != nil {
		w.Chain[root].Log = Lines(s.logs.Tail(w.Chain[root].Name, tailLines))
	}
	w.ASCII = drawWhy(w)
	return w, nil
}

// chain follows the reasons down; root is the index of the last link, or -1.
func (s *Supervisor) chain(name string) (Why, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := Why{Name: name, WaitingOn: []string{}, ConflictsWith: []string{}, Chain: []Link{}}
	if msg, broken := s.config.Broken[name]; broken && s.services[name] == nil {
		w.Chain = append(w.Chain, Link{Name: name, State: "failed", Reason: "left out: " + msg, File: s.config.loaded.Broken[name]})
		w.Help = "correct the file, then: zinit reload"
		return w, -1, nil
	}
	sv := s.services[name]
	if sv == nil {
		return w, -1, notFound(name)
	}
	if sv.rt.State == state.Blocked {
		w.Blocked, w.PortConflict = true, s.portConflict(sv)
		for _, b := range s.blockers(sv) {
			if strings.HasPrefix(b.text, "conflict") {
				w.ConflictsWith = append(w.ConflictsWith, b.name)
			} else {
				w.WaitingOn = append(w.WaitingOn, b.name)
			}
		}
	}
	seen := map[string]bool{}
	for sv != nil && !seen[sv.name] {
		seen[sv.name] = true
		w.Chain = append(w.Chain, s.link(sv))
		next, missing := s.below(sv)
		if next == nil {
			w.Help = s.help(sv, missing)
			if missing != "" {
				w.Chain = append(w.Chain, s.missingLink(sv, missing))
			}
		}
		sv = next
	}
	return w, len(w.Chain) - 1, nil
}

func (s *Supervisor) link(sv *service) Link {
	l := Link{Name: sv.name, State: sv.rt.State.String(), Reason: s.reason(sv), File: sv.spec.File}
	if sv.rt.SinceMono != 0 {
		l.AgeMS = (s.opt.Now() - sv.rt.SinceMono) / 1e6
	}
	if sv.rt.Last.Run == sv.rt.Run {
		l.Exit = exitAnswer(sv.rt.Last)
	}
	if sv.rt.State == state.Running && !sv.rt.Queued {
		l.Reason, l.Warnings = "", s.warnings(sv)
	}
	l.Warnings = append(l.Warnings, sv.beside(l.Reason)...)
	if l.Reason == "" {
		l.Reason = s.asWanted(sv)
	}
	return l
}

// asWanted says that a service is as it should be, and who asked for that.
func (s *Supervisor) asWanted(sv *service) string {
	switch {
	case sv.rt.Wanted && sv.rt.Starter != "":
		return fmt.Sprintf("%s as wanted; started by: %s", sv.rt.State, sv.rt.Starter)
	case sv.rt.Cause != "":
		return fmt.Sprintf("%s as wanted; because of: %s", sv.rt.State, sv.rt.Cause)
	}
	return "never asked for (its status is not start)"
}

// below returns the service that sv's condition comes from, or the name of one
// that does not exist.
func (s *Supervisor) below(sv *service) (next *service, missing string) {
	switch sv.rt.State {
	case state.Blocked:
		for _, b := range s.blockers(sv) {
			if b.port {
				b.name = b.holder
			}
			if b.name == sv.name || b.name == "" {
				continue
			}
			if other := s.services[b.name]; other != nil {
				return other, ""
			}
			return nil, b.name
		}
	case state.Failed:
		if sv.rt.Failure.Kind == state.DependencyFailed {
			return s.services[sv.rt.Failure.Text], ""
		}
		if sv.rt.Failure.Kind == state.MissingDependency {
			return nil, sv.rt.Failure.Text
		}
	}
	return nil, ""
}

func (s *Supervisor) missingLink(sv *service, missing string) Link {
	l := Link{Name: missing, State: "missing", Reason: "no service of that name"}
	if msg, broken := s.config.Broken[missing]; broken {
		l.Reason, l.File = "its file does not load: "+msg, s.config.loaded.Broken[missing]
		return l
	}
	for _, e := range s.graph.Out(sv.name) {
		if e.To == missing && needs(e.Kind) {
			l.File, l.Line = e.File, e.Line
			l.Reason += fmt.Sprintf(" (%s %s it: %s:%d)", sv.name, e.Declared, e.File, e.Line)
		}
	}
	return l
}

// help is the command that would help at the root of a chain.
func (s *Supervisor) help(sv *service, missing string) string {
	rt := &sv.rt
	switch {
	case missing != "":
		return fmt.Sprintf("add %s.toml or correct the name, then: zinit reload", missing)
	case s.portConflict(sv) != "":
		return "end what holds the port, or correct ports in its file; it starts by itself when the port is free"
	case rt.Failure.Kind == state.Cycle:
		return "break it in one of the files, which zinit check names, then: zinit reload"
	case rt.Left && sv.group.left != "":
		return "zinit kill -s KILL " + sv.name + " ends what is left"
	case rt.State == state.Failed && s.faultOfFile(sv):
		return fmt.Sprintf("correct %s, then: zinit reload; or what it names, then: zinit start %s", sv.spec.File, sv.name)
	case rt.State == state.Failed && rt.RetryAt != 0:
		return "zinit logs " + sv.name
	case rt.State == state.Failed:
		return fmt.Sprintf("zinit logs %s; correct what it says, then: zinit start %s", sv.name, sv.name)
	case rt.State == state.Stopping && rt.StopBy != 0:
		return "zinit kill -s KILL " + sv.name + " ends the wait"
	case !rt.Wanted && (rt.State == state.Inactive || rt.State == state.Exited):
		return "zinit start " + sv.name
	case rt.State == state.Running:
		for _, e := range s.graph.In(sv.name) {
			if o := s.services[e.From]; o != nil && e.Kind == graph.Conflicts && o.rt.State == state.Blocked {
				return fmt.Sprintf("zinit start %s stops %s", o.name, sv.name)
			}
		}
	}
	return ""
}

// faultOfFile reports whether a failure has nothing to do with what the service
// says: its program was not run, or it has said nothing.
func (s *Supervisor) faultOfFile(sv *service) bool {
	f := &sv.rt.Failure
	if f.Kind == state.SpawnError && strings.Contains(f.Text, "cannot ") {
		return true
	}
	kept, _ := s.logs.Size(sv.name)
	return kept == 0
}

// drawWhy renders the chain as lines of ASCII.
func drawWhy(w Why) string {
	var b strings.Builder
	for i, l := range w.Chain {
		indent := strings.Repeat("  ", i)
		arrow := ""
		if i > 0 {
			arrow = "-> "
		}
		fmt.Fprintf(&b, "%s%s%s %s (%s", indent, arrow, symbolOf(l.State), l.Name, l.State)
		if l.AgeMS > 0 {
			fmt.Fprintf(&b, " for %s", short(l.AgeMS*1e6))
		}
		fmt.Fprintf(&b, "): %s\n", strings.ReplaceAll(l.Reason, "\n", "\n"+indent+"    "))
		for _, warning := range l.Warnings {
			fmt.Fprintf(&b, "%s    warning: %s\n", indent, warning)
		}
		for _, line := range l.Log {
			fmt.Fprintf(&b, "%s    | %s\n", indent, line.Content)
		}
	}
	if w.Help != "" {
		fmt.Fprintf(&b, "help: %s\n", w.Help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
