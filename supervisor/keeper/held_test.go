package keeper

import "testing"

// What somebody else still prints into the pipes of a run outlives all news of the run.
func TestPipesOfARunThatIsOverAreHeldUntilTheyAreDropped(t *testing.T) {
	w := newWorld(t)
	s := w.server().ready()
	fds := w.fds()
	s.spawn(run(1, "exit 3"))
	for _, kind := range []EventKind{Spawned, Execed, Exited, Gone} {
		s.next(kind)
	}
	s.ack(Exited, "t", 1)
	s.ack(Gone, "t", 1)
	s.sync()
	s = s.kill()
	if len(s.welcome.Children) > 0 {
		t.Errorf("the welcome tells of %+v", s.welcome.Children)
	}
	for end := range 2 {
		name := pipeName(runKey{"t", 1}, end)
		if len(s.welcome.Held[name]) != 1 {
			t.Errorf("%s is not held: %v", name, s.welcome.Held)
		}
		s.do(order{Op: "drop", Name: name})
	}
	s.spawn(run(1, "exit 4")) // its number is free again: nobody knows the run any more
	s.next(Spawned)
	s.next(Execed)
	if ev := s.next(Exited); ev.Status.ExitStatus() != 4 {
		t.Errorf("it ended with %v", ev.Status)
	}
	s.next(Gone)
	for end := range 2 {
		s.do(order{Op: "drop", Name: pipeName(runKey{"t", 1}, end)})
	}
	s.sync()
	s = s.kill()
	if len(s.welcome.Held) != 1 { // stderr
		t.Errorf("held are %v", s.welcome.Held)
	}
	waitUntil(t, "the keeper's descriptors to be as before", func() bool { return w.fds() <= fds })
	s.end(0)
}
