package supervisor

import (
	"os"
	"os/exec"
	"syscall"
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
	lie := readiness(t)
	toldOf := func(name string) {
		for _, ev := range sm.queue {
			if ev.Kind == keeper.Spawned && name == "liar" {
				ev.Pid = lie.From.Pid
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
	ready := readiness(t)
	web := &sm.s.services["web"].rt
	if again := sm.s.onNotify("web", ready); again != unjudged {
		t.Fatalf("it may be of frozen: again after %v", again)
	}
	sm.now += 2e9
	if again := sm.s.onNotify("web", ready); again != 0 || web.State != state.Running {
		t.Fatalf("again after %v, %v", again, web.State)
	}
}

// readiness is what a process of our user says that leads a session of its own,
// which nobody knows. (The session of this test's process need not be one of
// this PID namespace.)
func readiness(t *testing.T) probe.Notification {
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	from := probe.Sender{Pid: cmd.Process.Pid, UID: uint32(os.Geteuid())}
	return probe.Notification{From: from, Message: probe.Message{Ready: true}}
}
