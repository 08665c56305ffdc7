package supervisor

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
)

// welcome is what the keeper would tell a successor now.
func (sm *sim) welcome() *keeper.Welcome {
	sm.t.Helper()
	w := &keeper.Welcome{Generation: 2, KeeperPID: 1, Held: map[string][]int{}}
	for _, ch := range sm.facts {
		w.Children = append(w.Children, *ch)
	}
	for name, fd := range sm.held {
		mine, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			sm.t.Fatal(err)
		}
		w.Held[name] = []int{mine}
	}
	return w
}

// succeed has another server take over what the keeper tells.
func (sm *sim) succeed(w *keeper.Welcome) {
	sm.t.Helper()
	sm.queue = nil
	sm.s = New(sm.options(), sm, quiet{})
	if err := sm.s.Begin(w); err != nil {
		sm.t.Fatal(err)
	}
	first := sm.s.first
	sm.s.first = nil
	for _, n := range first {
		sm.s.take(n)
	}
	sm.check()
	sm.run()
}

// Servers that end by themselves again and again before they are ready may do so
// because of what they read. The fifth such death in a row costs the last decision,
// the sixth the whole journal; what lives is wanted then, and starts nothing twice.
func TestPoisonInTheJournalIsLeftOut(t *testing.T) {
	for failures, want := range map[int]string{
		0: "deaf=stopping done=exited web=running",
		4: "deaf=stopping done=exited web=running",
		5: "deaf=running done=exited web=running",
		6: "deaf=running done=inactive web=running",
		9: "deaf=running done=inactive web=running",
	} {
		sm := newSim(t, files{"web": "", "deaf": "", "done": oneshot})
		sm.ignoresTerm["deaf"] = true
		sm.run()
		sm.die("done", 0, 0)
		sm.run()
		sm.stop("deaf") // the last decision
		w := sm.welcome()
		w.Failures = failures
		sm.succeed(w)
		sm.wantStates(want)
		for _, name := range []string{"web", "deaf"} {
			if n := sm.count("spawn " + name); n != 1 {
				t.Errorf("after %d deaths %s was started %d times", failures, name, n)
			}
			if f, err := sm.s.full(name); err != nil || f.State.PID != sm.procs[name].pid {
				t.Errorf("after %d deaths the pid of %s is %d, want %d: %v", failures, name, f.State.PID, sm.procs[name].pid, err)
			}
		}
		sm.close()
	}
}

// F77: what a newer server has written, in words that this one does not know, is
// taken over as far as it is known, and the rest is kept for its next server.
func TestTheJournalOfANewerServerIsTakenOver(t *testing.T) {
	sm := newSim(t, files{"web": ""})
	defer sm.close()
	sm.run()
	var frame, one journal.Encoder
	encodeService(&one, sm.s.services["web"])
	one.String(60, "what a newer one says of web")
	frame.Bytes(frameService, one.Payload())
	frame.String(99, "what a newer one says of itself")
	if err := sm.s.journal.Append(frame.Payload()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		sm.succeed(sm.welcome())
		sm.wantStates("web=running")
		if err := sm.s.Kill("web", unix.SIGCONT, Cause{Kind: "operator"}); err != nil { // writes its record again
			t.Fatal(err)
		}
	}
	if n := sm.count("spawn web"); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	if kept := string(sm.s.services["web"].extra); !strings.Contains(kept, "what a newer one says of web") {
		t.Errorf("kept of it is %q", kept)
	}
}

// An accepted definition that cannot be read any more leaves out its service; the
// others are taken over, and the process of the one that is left out is not left
// to itself.
func TestADefinitionThatDoesNotParseLeavesOutThatServiceOnly(t *testing.T) {
	sm := newSim(t, files{"web": "", "bad": "description = \"spoil me\"\n"})
	defer sm.close()
	sm.run()
	name := specsName(sm.s.specsHeld)
	src, err := readMemfd(sm.held[name])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(src), "= \"spoil me\"")
	if at < 0 {
		t.Fatalf("the definitions do not hold it: %q", src)
	}
	if _, err := unix.Pwrite(sm.held[name], []byte("=="), int64(at)); err != nil {
		t.Fatal(err)
	}
	sm.succeed(sm.welcome())
	sm.wantStates("web=running")
	if n := sm.count("spawn web"); n != 1 {
		t.Errorf("web was started %d times", n)
	}
	if n := sm.count("KILL bad"); n != 1 {
		t.Errorf("what ran of the one that is left out got SIGKILL %d times: %v", n, sm.trace)
	}
}
