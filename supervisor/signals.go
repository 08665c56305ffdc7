package supervisor

import (
	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/state"
)

// A signal is recorded with its number before it is ordered. The keeper answers each
// order, and acts once on a number; what it has not done, a successor orders again.

// signalOrder is the order of signal number seq of a service.
func signalOrder(name string, rt *state.Service, seq uint64, sig int, to state.Reach) keeper.Signal {
	o := keeper.Signal{Tag: name, Run: rt.Run, Seq: seq, Sig: unix.Signal(sig), ToGroup: to != state.ToMain}
	if to == state.ToHook {
		o.Tag, o.Run = keeper.HelperTag(rt.Hook.String(), name), rt.HookSeq
	}
	return o
}

// operatorSignal sends a signal that somebody asked for, to a run, to its hook where
// its main process has ended, and to all that this has left. It is refused while so
// many wait to be sent that one might be forgotten.
func (t *turn) operatorSignal(sv *service, sig unix.Signal, to state.Reach) error {
	if sv.rt.SigSeq > sv.sent+state.MaxUnsent {
		return refuse(Refused, sv.name, "try again", "cannot send %s to %q: %d signals before it are not sent yet", signalName(int(sig)), sv.name, sv.rt.SigSeq-sv.sent)
	}
	t.touch(sv)
	next := sv.rt
	order := signalOrder(sv.name, &next, next.Signal(int(sig), to), int(sig), to)
	if next.Pid == 0 {
		t.signalHook(sv, &next, sig)
	}
	t.set(sv, next)
	t.act(func() {
		t.s.keeper.Signal(order)
		if next.Left && t.s.groups.tree != nil {
			t.s.signalRest(sv.name, next.Last.Pid, sig)
		}
	})
	return nil
}

// signalAgain orders again, of what was ordered for a run, or for its hook, what
// comes after number done, the last that the keeper has acted on.
func (t *turn) signalAgain(sv *service, done uint64, hook bool) {
	sv.rt.Signals(func(seq uint64, sig int, to state.Reach) {
		if seq <= done || (to == state.ToHook) != hook {
			return
		}
		sv.sent = min(sv.sent, seq-1)
		order := signalOrder(sv.name, &sv.rt, seq, sig, to)
		t.act(func() { t.s.keeper.Signal(order) })
	})
}

// signaled is the keeper's answer to the order of a signal. It is not recorded: a
// successor orders again what is remembered.
func (s *Supervisor) signaled(ev keeper.Event) {
	name := ev.Tag
	if kind, of := keeper.ParseTag(name); kind != "" {
		name = of
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv := s.services[name]; sv != nil && ev.Seq <= sv.rt.SigSeq {
		sv.sent = max(sv.sent, ev.Seq)
	}
}
