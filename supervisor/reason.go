package supervisor

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/graph"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// blocker is one thing that keeps a service from starting.
type blocker struct {
	name     string // the other service, or what it is
	text     string // "db (starting)"
	holder   string // of a port: the service that has it; "": none of ours
	port     bool   // it is a port, or the look at one
	stranded bool   // it will not end by itself: nobody wants the other up, or down
}

// blockers lists, in the order of the edges, all that keeps sv down. It is
// empty exactly when the service is free to start.
func (s *Supervisor) blockers(sv *service) []blocker {
	var list []blocker
	for _, e := range s.graph.Out(sv.name) {
		other := s.services[e.To]
		if other == nil {
			if needs(e.Kind) {
				list = append(list, blocker{name: e.To, text: fmt.Sprintf("%s (missing)", e.To)})
			}
			continue
		}
		var tl tally
		st := s.standing(other, &other.rt)
		tl.count(e.Kind, st, 1)
		if tl.need+tl.order+tl.clash == 0 {
			continue
		}
		b := blocker{name: e.To, text: fmt.Sprintf("%s (%s)", e.To, other.rt.State)}
		switch {
		case e.Kind == graph.Conflicts:
			b.text = fmt.Sprintf("conflict with %s (%s)", e.To, other.rt.State)
			b.stranded = other.rt.Wanted
		default:
			b.stranded = !other.rt.Wanted
		}
		list = append(list, b)
	}
	if err := s.graph.Refused(sv.name); err != nil {
		list = append(list, blocker{name: sv.name, text: firstLine(err.Error())})
	}
	if sv.slot && len(list) == 0 && !sv.rt.Left {
		list = append(list, s.slotBlocker())
	}
	if len(list) == 0 && !sv.rt.Left {
		list = append(list, s.portBlockers(sv)...)
	}
	if sv.rt.Left {
		list = append(list, blocker{name: sv.name, text: fmt.Sprintf("processes left by run %d", sv.rt.Last.Run) + sv.group.who(": ")})
	}
	return list
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// reason says in one line why sv is not as wanted; "" when it is.
func (s *Supervisor) reason(sv *service) string {
	rt := &sv.rt
	switch rt.State {
	case state.Blocked:
		return "waits for " + joinBlockers(s.blockers(sv))
	case state.Starting:
		return s.startingReason(sv)
	case state.Running:
		return s.runningReason(sv)
	case state.Stopping:
		return s.stoppingReason(sv)
	case state.Failed:
		return failureText(sv) + s.nextText(sv) + sv.leftText()
	case state.Exited:
		if rt.Last.Killed && rt.Last.Run == rt.Run {
			return "killed after its stop timeout" + s.nextText(sv) + s.forced()
		}
		if rt.Wanted && !sv.spec.Oneshot && !sv.spec.Target {
			return fmt.Sprintf("ended by itself: %s", exitText(rt.Last)) + s.nextText(sv) + sv.leftText()
		}
	}
	return ""
}

// leftText names what the main process has left, when it has been looked at.
func (sv *service) leftText() string {
	if !sv.rt.Left {
		return ""
	}
	return sv.group.who("; still there: ")
}

// beside says what is to be known of sv besides its reason.
func (sv *service) beside(reason string) (list []string) {
	if reason == "" && sv.rt.Left && sv.group.left != "" {
		list = append(list, sv.group.who("still there: "))
	}
	if sv.hookFault != "" {
		list = append(list, sv.hookFault)
	}
	if sv.reloadFault != "" && sv.reloadRun == sv.rt.Run {
		list = append(list, fmt.Sprintf("%s (run %d)", sv.reloadFault, sv.reloadRun))
	}
	return list
}

// startingReason says what is awaited of a service. An exec is done in no time as a
// rule, and then not worth a word.
func (s *Supervisor) startingReason(sv *service) string {
	switch {
	case sv.rt.Hook == state.PreHook:
		return s.hookText(sv) + sv.group.who(": ")
	case sv.cur.Oneshot:
		return ""
	case (sv.preparing || sv.cur.Ready.Kind == spec.Spawned) && s.opt.Now()-sv.rt.SinceMono < int64(time.Second):
		return "not ready yet"
	}
	return "not ready yet: " + s.unmet(sv)
}

// hookText says which hook runs.
func (s *Supervisor) hookText(sv *service) string {
	text := sv.rt.Hook.String() + "_exec runs"
	if sv.hookPid != 0 {
		text += fmt.Sprintf(" (pid %d, for %s)", sv.hookPid, short(s.opt.Now()-sv.hookAt))
	}
	return text
}

// unmet says what is missing for a service to be ready.
func (s *Supervisor) unmet(sv *service) string {
	switch ready := sv.cur.Ready; {
	case sv.rt.Hook == state.PreHook:
		return "pre_exec has not ended"
	case sv.preparing:
		return "its user or env_file has not been read"
	case sv.cur.Oneshot:
		return "it has not ended"
	case ready.Kind == spec.Health && sv.answered > sv.rt.SinceMono:
		return "its health check has not succeeded; last answer: " + sv.answer
	case ready.Kind == spec.Health:
		return "its health check has had no answer"
	case ready.Kind == spec.Notify && sv.rt.StatusText != "":
		return "it has not said READY=1; it says: " + sv.rt.StatusText
	case ready.Kind == spec.Notify:
		return "it has not said READY=1"
	case ready.Kind == spec.FD:
		return fmt.Sprintf("no newline has come on descriptor %d", ready.FD)
	}
	return fmt.Sprintf("the exec of %q has not returned", sv.cur.Exec.Argv[0])
}

func (s *Supervisor) runningReason(sv *service) string {
	if sv.rt.Queued {
		return "is stopped after those that need it"
	}
	list := s.warnings(sv)
	if len(list) == 0 {
		return ""
	}
	return "warning: " + joinTexts(list)
}

// warnings says what is not well with a service that runs as wanted, and around
// it: as long as it is so, since nothing of it is remembered.
func (s *Supervisor) warnings(sv *service) []string {
	var list []string
	if sv.rt.Unwell != "" {
		list = append(list, sv.rt.Unwell)
	}
	for _, e := range s.graph.Out(sv.name) {
		other := s.services[e.To]
		switch {
		case needs(e.Kind) && other == nil:
			list = append(list, e.To+", which it requires, is missing")
		case needs(e.Kind) && !other.rt.Satisfies(other.spec.Oneshot):
			list = append(list, e.To+", which it requires, is "+other.rt.State.String())
		case e.Kind == graph.Wants && other != nil && other.rt.State == state.Failed:
			list = append(list, "wants "+e.To+", which failed: "+s.reason(other))
		}
	}
	return list
}

func (s *Supervisor) stoppingReason(sv *service) string {
	rt := &sv.rt
	text := "own stop in progress"
	switch { // nobody may have stopped it
	case rt.Failure.Kind != state.NoFailure:
		text = failureText(sv)
	case rt.OK:
		text = "ended by itself: " + exitText(rt.Last)
	}
	if rt.Hook != state.NoHook {
		text += "; " + s.hookText(sv)
	}
	switch {
	case rt.Stuck:
		if rt.Pid == 0 {
			return "still present after SIGKILL" + sv.group.who(": ")
		}
		return fmt.Sprintf("still present after SIGKILL: pid %d, kernel state %s", rt.Pid, kernelState(rt.Pid))
	case rt.Killed:
		text += ", SIGKILL sent after its stop timeout"
	case rt.StopBy != 0:
		text += fmt.Sprintf(", SIGKILL in %s", short(rt.StopBy-s.opt.Now()))
	}
	if rt.Again {
		text += ", starts again when gone"
	}
	return text + s.forced() + sv.group.who("; still there: ")
}

func joinBlockers(list []blocker) string {
	var texts []string
	for _, b := range list {
		texts = append(texts, b.text)
	}
	return joinTexts(texts)
}

// joinTexts names the first four, and how many more there are.
func joinTexts(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	if more := len(texts) - 4; more > 0 {
		texts = append(texts[:4], fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// failureText says why a service failed.
func failureText(sv *service) string {
	f := sv.rt.Failure
	switch f.Kind {
	case state.ExitCode, state.Signal:
		text := exitText(sv.rt.Last) + memoryText(sv)
		if f.Early {
			text += ", before it was ready"
		}
		return text
	case state.StartTimedOut:
		text := fmt.Sprintf("not ready within %s", sv.spec.StartTimeout)
		if f.Text != "" {
			text += ": " + firstLine(f.Text)
		}
		return text
	case state.DependencyFailed:
		return fmt.Sprintf("dependency %s cannot come up", f.Text)
	case state.MissingDependency:
		return fmt.Sprintf("requires %s, which does not exist", f.Text)
	case state.HealthCheckFailed:
		return f.Text
	case state.Lost:
		return "its process was gone when the server came back"
	}
	return firstLine(f.Text)
}

// nextText says when the next attempt comes, or that none does.
func (s *Supervisor) nextText(sv *service) string {
	rt, most := &sv.rt, sv.spec.MaxRestarts
	switch {
	case rt.RetryAt != 0 && most > 0:
		return fmt.Sprintf("; restart %d of %d in %s", rt.Attempts, most, short(rt.RetryAt-s.opt.Now()))
	case rt.RetryAt != 0:
		return fmt.Sprintf("; restart %d in %s", rt.Attempts, short(rt.RetryAt-s.opt.Now()))
	case rt.Wanted && most > 0 && rt.Attempts >= most:
		restarts := "1 restart"
		if rt.Attempts != 1 {
			restarts = fmt.Sprintf("%d restarts", rt.Attempts)
		}
		return "; gave up after " + restarts + " (max_restarts)"
	}
	return ""
}

// short renders nanoseconds for people: "4s", "350ms".
func short(ns int64) string {
	d := time.Duration(max(ns, 0))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// kernelState is the state letter of a process, from /proc/PID/stat.
func kernelState(pid int) string {
	src, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if p, ok := parseStat(src); ok {
		return p.State
	}
	return "unknown"
}

// signalName names a signal without its SIG: "TERM", "RTMIN+3".
func signalName(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	if n >= 34 && n <= 64 {
		return fmt.Sprintf("RTMIN+%d", n-34)
	}
	return fmt.Sprint(n)
}

func symbolOf(name string) string {
	if name == "missing" { // what is not there is as good as failed
		name = "failed"
	}
	return state.Parse(name).Symbol()
}
