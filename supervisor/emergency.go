package supervisor

import (
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// An emergency is a person at the console: a root shell, or a prompt of our
// own where there is none. It runs as a helper of the keeper's, so it outlives
// servers; there is one at a time.

// EmergencyKind is the kind of the helper, by which the keeper knows it too.
const EmergencyKind = "emergency"

// rescueTag is the emergency that was asked for: nothing starts before it ends.
var rescueTag = keeper.HelperTag(EmergencyKind, spec.Reserved)

// EmergencyRun is the order for an emergency on behalf of a service. run is never
// used twice.
func EmergencyRun(service string, run uint64, why string) keeper.Spawn {
	return keeper.Spawn{Tag: keeper.HelperTag(EmergencyKind, service), Run: run, Paths: []string{"/proc/self/exe"},
		Argv: []string{"zinit", "emergency", why}, Env: []string{"PATH=" + machinePath, "HOME=/", "TERM=linux"}, Umask: -1, TTY: "/dev/console"}
}

// emergencies opens one for a critical service that has failed for good in this
// turn.
func (t *turn) emergencies() {
	for _, sv := range t.touched {
		if sv.spec.Critical && sv.rt.State == state.Failed && t.endedForGood(sv) && t.s.ending == nil {
			t.emergency(sv.name, "the critical service "+sv.name+" has failed: "+t.s.endText(sv))
		}
	}
}

// emergency opens one, unless there is one.
func (t *turn) emergency(service, why string) {
	s := t.s
	if s.emergency != "" {
		s.say(LevelError, "%s; the emergency shell is open already", why)
		return
	}
	order := EmergencyRun(service, uint64(t.mono), why)
	s.emergency = order.Tag
	t.undoes = append(t.undoes, func() { s.emergency = "" })
	s.say(LevelError, "%s; opening an emergency shell on the console", why)
	t.act(func() { s.keeper.Spawn(order) })
}

// adoptEmergency recognizes an emergency among the keeper's children.
func (t *turn) adoptEmergency(ch keeper.Child) bool {
	if kind, _ := keeper.ParseTag(ch.Tag); kind != EmergencyKind {
		return false
	}
	t.s.emergency = ch.Tag
	switch ch.Phase {
	case keeper.Failed, keeper.Exited:
		t.later(keeper.Event{Kind: ch.Phase, Tag: ch.Tag, Run: ch.Run, Step: ch.Step, Errno: ch.Errno})
	case keeper.Gone:
		t.later(keeper.Event{Kind: keeper.Exited, Tag: ch.Tag, Run: ch.Run})
		t.later(keeper.Event{Kind: keeper.Gone, Tag: ch.Tag, Run: ch.Run})
	}
	return true
}

// onEmergency is news of an emergency. After a rescue the boot goes on.
func (s *Supervisor) onEmergency(ev keeper.Event) {
	switch ev.Kind {
	case keeper.Failed:
		s.say(LevelError, "cannot open an emergency shell on the console: %s: %v", ev.Step, ev.Errno)
	case keeper.Busy:
		s.say(LevelError, "cannot open an emergency shell on the console: the keeper is full")
	case keeper.Exited:
	case keeper.Gone:
		s.keeper.Ack(keeper.Gone, ev.Tag, ev.Run)
		return
	default:
		return
	}
	err := s.decide("the emergency shell was closed", func(t *turn) error {
		s.emergency = ""
		t.act(func() { s.keeper.Ack(ev.Kind, ev.Tag, ev.Run) })
		if ev.Tag != rescueTag || s.ending != nil {
			return nil
		}
		return t.startBoot()
	})
	if err != nil {
		s.say(LevelError, "cannot go on after the emergency shell: %v", err)
	}
}
