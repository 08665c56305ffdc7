package supervisor

import (
	"testing"
	"time"

	"zinit/supervisor/keeper"
)

// slowEar keeps what is printed in stores that wait for the keeper's word.
type slowEar struct {
	quiet
	held chan struct{}
}

func (e slowEar) Held(string, error) { close(e.held) }

func (e slowEar) Drain(service string, _ uint64) <-chan struct{} {
	if service != "web" {
		return nothing
	}
	return e.held
}

// The first words of a service may be its hook's. Its store waits for the keeper,
// and so must not the one who reads from the keeper.
func TestTheFirstWordsOfAHookHoldUpNobody(t *testing.T) {
	sm := newSim(t, files{"web": "[lifecycle]\npre_exec = \"/bin/pre\"\n"})
	sm.s.logs = slowEar{held: make(chan struct{})}
	sm.s.backlog.Store(0) // the loop runs
	read := make(chan struct{})
	go func() {
		defer close(read)
		sm.s.Deliver(keeper.Event{Kind: keeper.Exited, Tag: keeper.HelperTag("pre", "web"), Run: 1})
		sm.s.Deliver(keeper.Event{Kind: keeper.Held, Name: "log/web"})
	}()
	select {
	case <-read:
	case <-time.After(time.Minute):
		t.Fatal("the keeper's answer is not read before a hook's end is told")
	}
}

// A reload_exec that runs while servers change is not run twice: the one that is
// there to hear its end strikes it off.
func TestAReloadExecOutlivesTheServerThatOrderedIt(t *testing.T) {
	sm := newSim(t, files{"a": "[lifecycle]\nreload_exec = \"r\""})
	defer sm.close()
	sm.run()
	if err := sm.s.ReloadService("a", me); err != nil {
		t.Fatal(err)
	}
	sm.crash()
	if !sm.s.services["a"].rt.Reload {
		t.Error("while it runs, it is not due")
	}
	sm.die("reload/a", 3, 0)
	sm.crash()
	sm.crash()
	if due, n := sm.s.services["a"].rt.Reload, sm.count("spawn reload/a"); due || n != 1 {
		t.Errorf("it ran %d times, and after its end it is due: %t", n, due)
	}
	if len(sm.facts) != 1 {
		t.Errorf("the keeper still keeps %v", sm.facts)
	}
}
