package supervisor

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// A hook is a helper of a service (see keeper.HelperTag): pre_exec before each run,
// stop_exec in place of the stop signal, post_exec after each run, reload_exec on
// request. The first three are waited for, one at a time, within the timeouts of
// the state they run in; rt.Hook says which. A hook's group is killed when it ends:
// it leaves nothing behind. What it prints goes to the service's log, as of run 0.

// hookCommand is the command of a hook.
func hookCommand(sp *spec.Spec, h state.Hook) spec.Command {
	switch h {
	case state.PreHook:
		return sp.PreExec
	case state.StopHook:
		return sp.StopExec
	case state.PostHook:
		return sp.PostExec
	}
	return spec.Command{}
}

// beginHook orders a hook of sv's latest run; next is the value to be set.
func (t *turn) beginHook(sv *service, next *state.Service, h state.Hook) {
	next.Hook = h
	next.HookSeq++
	next.ForgetHook()
	sv.hookPid = 0
	seq, run, last := next.HookSeq, next.Run, next.Last
	t.act(func() { t.s.spawnHelper(sv, h.String(), hookCommand(sv.cur, h), seq, run, hookEnv(h, last)) })
}

// hookEnv tells post_exec how the run ended.
func hookEnv(h state.Hook, e state.Exit) []string {
	switch {
	case h != state.PostHook:
		return nil
	case e.Signal != 0:
		return []string{"ZINIT_EXIT_SIGNAL=" + signalName(e.Signal)}
	}
	return []string{fmt.Sprintf("ZINIT_EXIT_CODE=%d", e.Code)}
}

// spawnHelper orders a helper with the service's attributes. The lock is held.
func (s *Supervisor) spawnHelper(sv *service, kind string, c spec.Command, seq, run uint64, env []string) {
	dir := s.groupOf(sv)
	sp := *sv.cur // a copy: the same in all but what is run
	sp.Exec = c
	sp.Ready = spec.Ready{}
	sp.TTY = ""
	finish := func(o keeper.Spawn) keeper.Spawn {
		o.Tag, o.Run, o.AtExit = keeper.HelperTag(kind, sv.name), seq, unix.SIGKILL
		o.Env, o.Cgroup = append(o.Env, env...), dir
		return o
	}
	if !needsFiles(&sp) {
		s.keeper.Spawn(finish(s.fill(&sp, account{}, nil, run)))
		return
	}
	go func() {
		order, err := s.prepare(&sp, run)
		s.later(func() {
			if err != nil {
				s.onHelperEnded(keeper.Event{Kind: keeper.Failed, Tag: keeper.HelperTag(kind, sv.name), Run: seq}, err.Error())
				return
			}
			s.keeper.Spawn(finish(order))
		})
	}()
}

// onHelper is news of a hook or probe.
func (s *Supervisor) onHelper(n news) {
	ev := n.event
	kind, name := keeper.ParseTag(ev.Tag)
	if kind == EmergencyKind {
		s.onEmergency(ev)
		return
	}
	switch ev.Kind {
	case keeper.Spawned:
		s.mu.Lock()
		if sv := s.services[name]; sv != nil && sv.runsHook(kind, ev.Run) {
			sv.hookPid, sv.hookAt = ev.Pid, s.opt.Now()
		}
		s.mu.Unlock()
		for _, f := range ev.FDs {
			s.attachHelper(kind, name, ev.Run, f.Name, f.FD)
		}
	case keeper.Busy:
		s.soon(100*time.Millisecond, func() { s.helperAgain(kind, name, ev.Run) })
	case keeper.Exited:
		s.lastWords(n)
		text := ""
		if exit := exitOf(ev, 0); exit.Code != 0 || exit.Signal != 0 {
			text = exitText(exit)
		}
		s.onHelperEnded(ev, text)
	case keeper.Failed:
		s.helperFailed(kind, name, ev)
	case keeper.Gone:
		s.keeper.Ack(keeper.Gone, ev.Tag, ev.Run)
	}
}

// helperFailed is a helper whose program could not be run, which is told as for a
// service's own.
func (s *Supervisor) helperFailed(kind, name string, ev keeper.Event) {
	s.mu.Lock()
	sp := new(spec.Spec)
	if sv := s.services[name]; sv != nil {
		*sp = *sv.cur
		switch {
		case kind == reloadKind:
			sp.Exec = sp.ReloadExec
		case kind == probeKind && sp.Health != nil:
			sp.Exec = sp.Health.Exec
		default:
			sp.Exec = hookCommand(sp, sv.rt.Hook)
		}
	}
	s.mu.Unlock()
	switch {
	case !sp.Exec.Given(): // of an earlier definition, or none
		s.onHelperEnded(ev, fmt.Sprintf("%s: %v", ev.Step, ev.Errno))
	case ev.Step != "exec" || ev.Errno == unix.ETXTBSY:
		s.onHelperEnded(ev, spawnText(sp, ev.Step, ev.Errno))
	default:
		s.aside(func() {
			text := s.looked(sp, ev.Errno)
			s.later(func() { s.onHelperEnded(ev, text) })
		})
	}
}

// attachHelper keeps what a helper prints with the service's output, as of run 0;
// what a probe prints is nobody's.
func (s *Supervisor) attachHelper(kind, name string, seq uint64, held string, fd int) {
	if kind == probeKind {
		s.swallow(name, seq, held, fd)
		return
	}
	s.attach(name, 0, held, fd)
}

// runsHook reports whether the hook that sv waits for is this one.
func (sv *service) runsHook(kind string, seq uint64) bool {
	return sv.rt.Hook != state.NoHook && sv.rt.Hook.String() == kind && sv.rt.HookSeq == seq
}

// helperAgain repeats the order of a helper for which the keeper had no room.
func (s *Supervisor) helperAgain(kind, name string, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	switch {
	case sv == nil:
		return
	case kind == reloadKind && reloadDue(sv, seq) && reloadable(sv):
		s.spawnReload(sv)
		return
	case !sv.runsHook(kind, seq):
		return
	}
	s.spawnHelper(sv, kind, hookCommand(sv.cur, sv.rt.Hook), seq, sv.rt.Run, hookEnv(sv.rt.Hook, sv.rt.Last))
}

// onHelperEnded is the end of a helper; text says why it failed, "" for success.
func (s *Supervisor) onHelperEnded(ev keeper.Event, text string) {
	kind, name := keeper.ParseTag(ev.Tag)
	cause := kind + "_exec ended"
	if ev.Kind == keeper.Failed {
		cause = kind + "_exec cannot be run"
	}
	err := s.decide(cause, func(t *turn) error {
		t.own = true
		sv := s.services[name]
		switch {
		case sv == nil:
		case kind == probeKind:
			t.probed(sv, ev.Run, text)
		case kind == reloadKind:
			sv.reloadRun = sv.rt.Run
			if text == killedText && sv.reloadLate == ev.Run {
				text += ", at its timeout of " + short(reloadTimeout(sv))
			}
			if sv.reloadFault = text; text != "" {
				sv.reloadFault = "reload_exec failed: " + text
				s.say(LevelWarn, "%s: %s", name, sv.reloadFault)
			}
			if reloadDue(sv, ev.Run) {
				t.noteReload(sv, false)
			}
		case sv.runsHook(kind, ev.Run):
			t.hookEnded(sv, text, ev.Step != "" || ev.Kind != keeper.Failed)
		}
		t.act(func() { s.keeper.Ack(ev.Kind, ev.Tag, ev.Run) })
		return nil
	})
	if err != nil {
		s.say(LevelError, "cannot record the end of %s_exec of %q: %v; trying again in 1 s", kind, name, err)
		s.soon(time.Second, func() { s.onHelperEnded(ev, text) })
	}
}

// killedText is what exitText makes of SIGKILL.
const killedText = "signal KILL"

// noteHook keeps how a hook failed, until one of its kind succeeds.
func (sv *service) noteHook(kind, text string) {
	switch {
	case text != "":
		sv.hookFault = fmt.Sprintf("%s_exec failed: %s (run %d)", kind, text, sv.rt.Run)
	case strings.HasPrefix(sv.hookFault, kind):
		sv.hookFault = ""
	}
}

// hookEnded goes on after a hook that was waited for; began is false for one that
// did not come to its program.
func (t *turn) hookEnded(sv *service, text string, began bool) {
	h := sv.rt.Hook
	next := sv.rt
	next.Hook = state.NoHook
	if text == killedText && next.Killed {
		text += fmt.Sprintf(", at its timeout of %s", short(t.s.stopTimeout(sv)))
	}
	if h != state.PreHook {
		sv.noteHook(h.String(), text)
	}
	sv.group.left = ""
	t.touch(sv)
	t.set(sv, next)
	switch {
	case h == state.PreHook && sv.rt.State == state.Stopping:
		t.goneBy(sv) // there was no main process yet
	case h == state.PreHook && text != "":
		if began {
			text = "pre_exec failed: " + text
		}
		t.failed(sv, text, 0)
	case h == state.PreHook:
		run := sv.rt.Run
		t.act(func() { t.s.spawn(sv, run) })
	case h == state.StopHook && text != "" && sv.rt.Live && !sv.rt.Killed:
		t.s.say(LevelWarn, "%s: stop_exec failed (%s); sending %s", sv.name, text, signalName(int(sv.cur.StopSignal)))
		next := sv.rt
		t.stopSignal(sv, &next)
		t.set(sv, next)
	case text != "":
		t.s.say(LevelWarn, "%s: %s_exec failed: %s", sv.name, h, text)
	}
	t.afterHook(sv)
}

// afterHook goes on when nothing of the run is left and no hook is waited for: with
// post_exec, where it is due, which has the whole stop timeout for itself.
func (t *turn) afterHook(sv *service) {
	switch {
	case sv.rt.Hook != state.NoHook || sv.rt.Live || !sv.rt.MainGone:
	case !sv.rt.PostDue:
		t.goneBy(sv)
	case t.peopled(sv):
	default:
		next := sv.rt
		next.PostDue, next.Killed, next.Stuck, next.LeftBy, next.LookBy = false, false, false, 0, 0
		next.StopBy = t.mono + t.s.stopTimeout(sv)
		t.beginHook(sv, &next, state.PostHook)
		t.touch(sv)
		t.set(sv, next)
	}
}

// stopBegins tells sv to stop: by its stop_exec, which the signal follows when it
// fails, or by the signal.
func (t *turn) stopBegins(sv *service, next *state.Service) {
	switch {
	case next.Hook != state.NoHook: // pre_exec: it is all there is
		t.signalHook(sv, next, sv.cur.StopSignal)
	case sv.cur.StopExec.Given() && next.Live && next.Pid != 0:
		t.beginHook(sv, next, state.StopHook)
	default:
		t.stopSignal(sv, next)
	}
}

// mayStillBeTold reports whether a service whose stop_exec has used up its timeout is
// to have the stop signal, and as long again to follow it.
func (t *turn) mayStillBeTold(rt *state.Service) bool {
	return rt.Hook == state.StopHook && rt.Live && !rt.Killed && (t.s.ending == nil || t.s.ending.limit == 0)
}

// stopExecLate ends a stop_exec that hangs, for which nobody waits any more.
func (t *turn) stopExecLate(sv *service) {
	timeout := t.s.stopTimeout(sv)
	text := fmt.Sprintf("it ran longer than its timeout of %s", short(timeout))
	t.s.say(LevelWarn, "%s: stop_exec failed (%s); sending %s", sv.name, text, signalName(int(sv.cur.StopSignal)))
	sv.noteHook(state.StopHook.String(), text)
	next := sv.rt
	t.signalHook(sv, &next, unix.SIGKILL)
	next.Hook = state.NoHook
	t.stopSignal(sv, &next)
	next.StopBy = t.mono + timeout
	t.halfWay(&next, timeout)
	t.set(sv, next)
}

func (t *turn) stopSignal(sv *service, next *state.Service) {
	t.signal(sv, next, sv.cur.StopSignal)
	if sv.cur.StopSignal != unix.SIGKILL {
		t.signal(sv, next, unix.SIGCONT)
	}
}

// signalHook sends a signal to the hook that runs.
func (t *turn) signalHook(sv *service, next *state.Service, sig unix.Signal) {
	if next.Hook == state.NoHook {
		return
	}
	order := signalOrder(sv.name, next, next.Signal(int(sig), state.ToHook), int(sig), state.ToHook)
	t.act(func() { t.s.keeper.Signal(order) })
}

// helperFound deals with a helper that the keeper tells a successor of. It returns
// whether it is the hook that its service waits for, or the reload_exec that is due.
func (t *turn) helperFound(ch keeper.Child) bool {
	kind, name := keeper.ParseTag(ch.Tag)
	sv := t.s.services[name]
	awaited := sv != nil && sv.runsHook(kind, ch.Run)
	if awaited {
		sv.hookPid, sv.hookAt = ch.Pid, t.mono
	}
	awaited = awaited || sv != nil && kind == reloadKind && reloadDue(sv, ch.Run)
	switch ended := ch.Phase == keeper.Exited || ch.Phase == keeper.Failed || ch.Phase == keeper.Gone; {
	case ended && (awaited || kind == probeKind):
		t.later(keeper.Event{Kind: endOf(ch.Phase), Tag: ch.Tag, Run: ch.Run, Pid: ch.Pid, Status: ch.Status, AtNS: ch.AtNS, Step: ch.Step, Errno: ch.Errno})
	case ended:
		t.act(func() { t.s.keeper.Ack(endOf(ch.Phase), ch.Tag, ch.Run) })
	case !awaited && kind != reloadKind:
		t.act(func() {
			t.s.keeper.Signal(keeper.Signal{Tag: ch.Tag, Run: ch.Run, Seq: ch.Seq + 1, Sig: unix.SIGKILL, ToGroup: true})
		})
	}
	if ch.Phase == keeper.Gone {
		t.act(func() { t.s.keeper.Ack(keeper.Gone, ch.Tag, ch.Run) })
	}
	return awaited
}

// endOf is the event that ends a helper which is in a phase.
func endOf(phase keeper.EventKind) keeper.EventKind {
	if phase == keeper.Failed {
		return keeper.Failed
	}
	return keeper.Exited
}

// reconcileHook orders a hook again that the keeper does not know.
func (t *turn) reconcileHook(sv *service, helpers map[string]keeper.Child) {
	h := sv.rt.Hook
	if h == state.NoHook {
		t.afterHook(sv)
		return
	}
	ch, known := helpers[keeper.HelperTag(h.String(), sv.name)]
	if !known {
		seq, run, last := sv.rt.HookSeq, sv.rt.Run, sv.rt.Last
		t.act(func() { t.s.spawnHelper(sv, h.String(), hookCommand(sv.cur, h), seq, run, hookEnv(h, last)) })
	}
	t.signalAgain(sv, ch.Seq, true)
}
