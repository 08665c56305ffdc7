package supervisor

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/logs"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// take turns one piece of news into a decision.
func (s *Supervisor) take(n news) {
	if n.call != nil {
		n.call()
		return
	}
	ev := n.event
	if kind, _ := keeper.ParseTag(ev.Tag); kind != "" {
		s.onHelper(n)
		return
	}
	switch ev.Kind {
	case keeper.Spawned:
		s.onSpawned(ev)
	case keeper.Execed:
		s.onRun(ev, "exec done", func(t *turn, sv *service) { t.execed(sv) })
	case keeper.Failed:
		s.onFailed(ev)
	case keeper.Busy:
		s.soon(100*time.Millisecond, func() { s.spawnAgain(ev.Tag, ev.Run) })
	case keeper.Exited:
		s.onExited(n)
	case keeper.Gone:
		if s.mayStray(ev) {
			return
		}
		s.onRun(ev, "nothing of it is left", func(t *turn, sv *service) { t.goneBy(sv) })
	case keeper.Asked:
		s.onAsked(ev)
	case keeper.Refused:
		s.upgradeFailed(fmt.Sprintf("the keeper could not take the binary: %v", ev.Errno), 0)
	case keeper.Lost:
		s.onLost()
	}
}

// onRun decides about the run that ev belongs to. News of an earlier run, or of
// a service that is no more, touch nobody. The keeper is told that it may
// forget the fact once the frame is written; when it could not be written the
// fact comes again.
func (s *Supervisor) onRun(ev keeper.Event, cause string, f func(*turn, *service)) {
	err := s.decide(cause, func(t *turn) error {
		t.own = true
		if sv := s.services[ev.Tag]; sv != nil && sv.rt.Run == ev.Run {
			if ev.Kind == keeper.Gone && sv.rt.Live {
				return errors.New("its exit is still to be recorded")
			}
			f(t, sv)
		}
		if ev.Kind == keeper.Exited || ev.Kind == keeper.Failed || ev.Kind == keeper.Gone {
			t.act(func() { s.keeper.Ack(ev.Kind, ev.Tag, ev.Run) })
		}
		return nil
	})
	if err != nil {
		s.say(LevelError, "cannot record %q of %q: %v; trying again in 1 s", cause, ev.Tag, err)
		s.soon(time.Second, func() { s.onRun(ev, cause, f) })
	}
}

// ackAgain acknowledges the end of a run that needs no decision any more; it
// reports whether ch has ended.
func (t *turn) ackAgain(ch keeper.Child) bool {
	k := t.s.keeper
	switch ch.Phase {
	case keeper.Exited, keeper.Failed:
		t.act(func() { k.Ack(ch.Phase, ch.Tag, ch.Run) })
	case keeper.Gone:
		t.act(func() { k.Ack(keeper.Exited, ch.Tag, ch.Run); k.Ack(keeper.Gone, ch.Tag, ch.Run) })
	default:
		return false
	}
	return true
}

// onSpawned notes the pid, which the keeper also tells a successor, and takes
// over the read ends of the run's pipes.
func (s *Supervisor) onSpawned(ev keeper.Event) {
	s.mu.Lock()
	sv := s.services[ev.Tag]
	ours := sv != nil && sv.rt.Run == ev.Run
	if ours {
		sv.rt.Pid = ev.Pid
	}
	s.mu.Unlock()
	for _, f := range ev.FDs {
		s.attach(ev.Tag, ev.Run, f.Name, f.FD)
	}
}

// attach gives the read end of a pipe to the room that reads it.
func (s *Supervisor) attach(name string, run uint64, held string, fd int) {
	_, _, end, _ := keeper.ParsePipe(held)
	switch end {
	case "out":
		s.logs.Attach(name, run, logs.Stdout, fd, held)
	case "err":
		s.logs.Attach(name, run, logs.Stderr, fd, held)
	case "ready":
		s.logs.WatchReady(fd, held, func() { s.later(func() { s.ready(name, run) }) })
	}
}

// ready is a newline on the readiness descriptor of a run.
func (s *Supervisor) ready(name string, run uint64) {
	held := fmt.Sprintf("pipe/%s/%d/ready", name, run)
	s.onRun(keeper.Event{Tag: name, Run: run}, "said it is ready", func(t *turn, sv *service) {
		if sv.rt.State == state.Starting {
			t.apply(sv, state.Ready, "")
		}
		t.act(func() { s.logs.Unwatch(held) })
	})
}

// execed is the end of a successful exec, which for many is readiness.
func (t *turn) execed(sv *service) {
	t.watchHealth(sv)
	if sv.rt.State == state.Starting && !sv.cur.Oneshot && sv.cur.Ready.Kind == spec.Spawned {
		t.apply(sv, state.Ready, "")
	}
}

// failed is a run that could not be started; errno is what execve(2) said, 0
// when it did not come to that. Whoever is in its cgroup all the same is what its
// pre_exec left behind in another session.
func (t *turn) failed(sv *service, text string, errno unix.Errno) {
	sv.preparing = false
	if name := sv.name; t.s.populated(sv) {
		t.act(func() { t.s.killGroup(name) })
	}
	next, ev := state.ClassifySpawn(sv.rt, text, sv.rules(), t.mono, t.heldWhenGone(sv))
	if next.Failure.Kind == state.SpawnError {
		next.Failure.Code = int(errno)
	}
	t.touch(sv)
	t.set(sv, next)
	t.apply(sv, ev, "")
}

func (s *Supervisor) onExited(n news) {
	ev := n.event
	s.lastWords(n)
	exit := exitOf(ev, s.opt.Wall()-(s.opt.Now()-ev.AtNS))
	s.onRun(ev, exitText(exit), func(t *turn, sv *service) {
		t.ended = min(ev.AtNS, t.mono)
		t.exited(sv, exit)
	})
}

// lastWordsBy bounds the wait for a store that is new.
const lastWordsBy = 100 * time.Millisecond

// drain has what an ended run or hook has printed moved to the service's log. It
// returns when that is done, or with word of it to come: a store that is new waits
// for the keeper, whom nobody hears who waits for the store.
func (s *Supervisor) drain(ev keeper.Event) (moved <-chan struct{}) {
	if kind, service := keeper.ParseTag(ev.Tag); kind != "" {
		return s.logs.Drain(service, 0)
	}
	return s.logs.Drain(ev.Tag, ev.Run)
}

// lastWords waits, not for long, for what a run or a hook has printed before its end
// is told.
func (s *Supervisor) lastWords(n news) {
	moved := n.moved
	if moved == nil {
		moved = s.drain(n.event)
	}
	if over(moved) {
		return
	}
	select {
	case <-moved:
	case <-time.After(lastWordsBy):
	}
}

func exitOf(ev keeper.Event, wall int64) state.Exit {
	e := state.Exit{Run: ev.Run, Pid: ev.Pid, Wall: wall}
	if ev.Status.Signaled() {
		e.Signal, e.Core = int(ev.Status.Signal()), ev.Status.CoreDump()
	} else {
		e.Code = ev.Status.ExitStatus()
	}
	return e
}

// exited is the end of the main process of the latest run.
func (t *turn) exited(sv *service, e state.Exit) {
	if !sv.rt.Live {
		return
	}
	t.judgeOOM(sv, &e)
	was := sv.rt
	classify := state.ClassifyExit
	if sv.cur.PostExec.Given() {
		if classify = state.ClassifyEnding; was.State == state.Stopping {
			classify = state.ClassifyExit
		}
	}
	next, ev := classify(sv.rt, e, sv.rules(), t.mono)
	next.PostDue = sv.cur.PostExec.Given()
	if ev != state.Ended {
		next.LeftBy = t.mono + t.s.stopTimeout(sv)
	}
	t.touch(sv)
	t.set(sv, next)
	t.apply(sv, ev, "")
	if ev != state.Ended {
		next := sv.rt
		t.halfWay(&next, next.LeftBy-t.mono)
		t.set(sv, next)
	}
	t.tellRest(sv)
	t.afterHook(sv)
	if was.Queued && was.Again && t.s.ending == nil { // it went before it was told to
		t.apply(sv, t.held(sv, state.StartFree, state.StartHeld), "")
	}
}

// heldWhenGone reports whether something blocks sv beside what is left of its
// latest run. A target ends in the turn that stops it: what else that turn brings
// back may be to be waited for.
func (t *turn) heldWhenGone(sv *service) bool {
	return sv.cur.Target || sv.need > 0 || sv.order > 0 || sv.clash > 0 || sv.portless() || t.s.ending != nil || sv.rt.State == state.Stopping && sv.rt.Again && t.noSlot(sv)
}

// goneBy is the end of the last process of the latest run.
func (t *turn) goneBy(sv *service) {
	if sv.rt.Hook != state.NoHook || sv.rt.PostDue {
		next := sv.rt
		next.MainGone = true
		t.touch(sv)
		t.set(sv, next)
		t.afterHook(sv)
		return
	}
	if sv.rt.Live && sv.rt.State != state.Stopping && !sv.cur.Target {
		return // its own end is still to be told
	}
	if sv.rt.Live { // it never came to a main process, which nobody may wait for then
		next := sv.rt
		next.Live = false
		t.touch(sv)
		t.set(sv, next)
		t.tellRest(sv)
	}
	if t.peopled(sv) {
		return
	}
	next, ev := state.ClassifyGone(sv.rt, sv.rules(), t.mono, t.heldWhenGone(sv))
	next.MainGone = false
	sv.group.left = ""
	t.touch(sv)
	t.set(sv, next)
	t.apply(sv, ev, "")
}

// onAsked is a signal from outside, or a request that the keeper passes on.
func (s *Supervisor) onAsked(ev keeper.Event) {
	by := Cause{Kind: "signal", PID: s.keeperPID, Signal: int(ev.Ask.Sig), Text: "reload"}
	switch ev.Ask.What {
	case keeper.Reload: // reads files: nobody waits for a disk
		go func() {
			if s.opt.Reopen != nil {
				s.opt.Reopen()
			}
			if _, err := s.Reload(by, ReloadOptions{}); err != nil {
				s.say(LevelError, "%v", err)
			}
			s.keeper.AckAsk(ev.Ask)
		}()
		return
	case keeper.Stop, keeper.PowerOff, keeper.Reboot, keeper.Halt:
		err := s.Shutdown(shutdownWord(ev.Ask.What), by)
		if err != nil {
			s.say(LevelError, "%v", err)
		}
		if e, ok := err.(*Error); ok && e.Kind == Unrecorded { // nobody would ask again
			s.soon(time.Second, func() { s.onAsked(ev) })
			return
		}
	}
	s.keeper.AckAsk(ev.Ask)
}

// exitText says how a run ended: "exit 1", "signal SEGV (core dumped)".
func exitText(e state.Exit) string {
	switch {
	case e.Signal == 0 && e.OOM:
		return fmt.Sprintf("exit %d, after a process of it was killed for want of memory", e.Code)
	case e.Signal == 0:
		return fmt.Sprintf("exit %d", e.Code)
	case e.OOM && e.Signal == int(unix.SIGKILL) && !e.Killed:
		return "killed for want of memory"
	}
	text := "signal " + signalName(e.Signal)
	if e.Core {
		text += " (core dumped)"
	}
	return text
}
