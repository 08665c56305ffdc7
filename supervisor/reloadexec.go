package supervisor

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// reloadKind is the helper that nobody waits for. rt.Reload says that it is due, so
// that a successor orders it too.
const reloadKind = "reload"

// ReloadService has a service read its own configuration again: by its
// reload_signal or reload_exec.
func (s *Supervisor) ReloadService(name string, by Cause) error {
	by.Text = "reload"
	return s.decideBy(by, func(t *turn) error {
		sv := s.services[name]
		switch {
		case sv == nil:
			return s.unknown(name)
		case !reloadable(sv):
			return refuse(NotRunning, name, "", "service not running: %s", name)
		case sv.cur.ReloadSignal == 0 && !sv.cur.ReloadExec.Given():
			return refuse(Refused, name, "zinit restart "+name+", or give its file reload_signal or reload_exec", "cannot reload %q: its file does not say how", name)
		}
		if sv.cur.ReloadSignal != 0 {
			if err := t.operatorSignal(sv, sv.cur.ReloadSignal, state.ToMain); err != nil {
				return err
			}
		} else {
			sv.reloadFault = ""
			t.noteReload(sv, true)
			t.act(func() { s.spawnReload(sv) })
		}
		s.say(LevelInfo, "%s: asked to reload (%s)", name, by)
		return nil
	})
}

// reloadable reports whether sv has a run that could be told to reload.
func reloadable(sv *service) bool {
	return sv.rt.Live && sv.rt.Pid != 0 && sv.rt.State != state.Stopping
}

// reloadDue reports whether reload_exec number seq is due.
func reloadDue(sv *service, seq uint64) bool { return sv.rt.Reload && sv.rt.HookSeq == seq }

// noteReload notes that another reload_exec is due, or that none is any more. One
// that is due and was not begun is no longer due by itself: the next one begins after
// both were asked for, which is what either was promised.
func (t *turn) noteReload(sv *service, due bool) {
	t.touch(sv)
	next := sv.rt
	if next.Reload = due; due {
		next.HookSeq++
	}
	t.set(sv, next)
}

// reloadTimeout is how long a reload_exec may run, in nanoseconds: as long as a start.
func reloadTimeout(sv *service) int64 {
	return int64(cmp.Or(sv.cur.StartTimeout, spec.DefaultStartTimeout))
}

// boundReload ends the reload_exec that has just been ordered, or found, at its
// timeout. The lock is held.
func (s *Supervisor) boundReload(sv *service) {
	seq := sv.rt.HookSeq
	order := keeper.Signal{Tag: keeper.HelperTag(reloadKind, sv.name), Run: seq, Seq: 1, Sig: unix.SIGKILL, ToGroup: true}
	s.soon(time.Duration(reloadTimeout(sv)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !reloadDue(sv, seq) {
			return
		}
		sv.reloadLate = seq
		s.keeper.Signal(order)
	})
}

// spawnReload orders the reload_exec that is due. The lock is held.
func (s *Supervisor) spawnReload(sv *service) {
	s.boundReload(sv)
	s.spawnHelper(sv, reloadKind, sv.cur.ReloadExec, sv.rt.HookSeq, sv.rt.Run, []string{fmt.Sprintf("ZINIT_PID=%d", sv.rt.Pid)})
}

// reconcileReload orders a reload_exec again that the keeper does not know, if the
// run that it is for lives, of which run tells what happened last.
func (t *turn) reconcileReload(sv *service, helpers map[string]keeper.Child, run keeper.EventKind) {
	if !sv.rt.Reload {
		return
	}
	if _, known := helpers[keeper.HelperTag(reloadKind, sv.name)]; known {
		t.act(func() { t.s.boundReload(sv) })
		return
	}
	if lives := run == keeper.Spawned || run == keeper.Execed; lives && reloadable(sv) && sv.cur.ReloadExec.Given() {
		t.act(func() { t.s.spawnReload(sv) })
		return
	}
	t.noteReload(sv, false)
}
