package supervisor

import "testing"

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
