package supervisor

import (
	"os"
	"testing"

	"zinit/supervisor/keeper"
	"zinit/supervisor/probe"
	"zinit/supervisor/state"
)

// What a process sends may be read before the keeper has told that it runs. It is
// heard when it is known whose it is: a liar that is quick is no more believed than
// a slow one (scenario 77).
func TestANotificationThatOvertakesItsSendersStartIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	sm := newSimWith(t, files{"victim": "ready = \"notify\"\n", "liar": ""}, func(o *Options) { o.NotifyDir = dir })
	lie := probe.Notification{From: probe.Sender{Pid: os.Getpid(), UID: uint32(os.Geteuid())}, Message: probe.Message{Ready: true}}
	toldOf := func(name string) {
		for _, ev := range sm.queue {
			if ev.Kind == keeper.Spawned && name == "liar" {
				ev.Pid = probe.Session(os.Getpid())
			}
			if ev.Tag == name {
				sm.s.take(news{event: ev})
			}
		}
	}
	victim := &sm.s.services["victim"].rt
	toldOf("victim")
	if again := sm.s.onNotify("victim", lie); again != unjudged || victim.State != state.Starting {
		t.Fatalf("the liar's start is not told yet: again after %v, %v", again, victim.State)
	}
	toldOf("liar")
	if again := sm.s.onNotify("victim", lie); again != 0 || victim.State != state.Starting {
		t.Fatalf("it is known who lies: again after %v, %v", again, victim.State)
	}
}

// A start that is not told for long, as from a mount that is frozen, holds up nobody.
func TestAStartThatIsNotToldHoldsUpNoNotificationForLong(t *testing.T) {
	dir := t.TempDir()
	sm := newSimWith(t, files{"web": "ready = \"notify\"\n", "frozen": ""}, func(o *Options) { o.NotifyDir = dir })
	for _, ev := range sm.queue {
		if ev.Tag == "web" {
			sm.s.take(news{event: ev})
		}
	}
	sm.queue = nil
	// It comes from a session that nobody knows.
	ready := probe.Notification{From: probe.Sender{Pid: os.Getpid(), UID: uint32(os.Geteuid())}, Message: probe.Message{Ready: true}}
	web := &sm.s.services["web"].rt
	if again := sm.s.onNotify("web", ready); again != unjudged {
		t.Fatalf("it may be of frozen: again after %v", again)
	}
	sm.now += 2e9
	if again := sm.s.onNotify("web", ready); again != 0 || web.State != state.Running {
		t.Fatalf("again after %v, %v", again, web.State)
	}
}
