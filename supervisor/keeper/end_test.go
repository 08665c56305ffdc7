package keeper

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// orderly has every server of w that is still to come serve, and end when that
// is asked for.
func (w *world) orderly() {
	go func() {
		for {
			s, err := w.accept()
			if err != nil {
				return
			}
			_ = s.out.Encode(order{Op: "ready"})
			if len(s.welcome.Asked) > 0 {
				_ = s.out.Encode(order{Op: "end", End: End{How: Stop}})
			}
			go func() {
				for ev := range s.events {
					if ev.Kind == Asked {
						_ = s.out.Encode(order{Op: "end", End: End{How: Stop}})
					}
				}
			}()
		}
	}()
}

// endedWithin checks that the keeper ends in time and with one of the statuses.
func (w *world) endedWithin(d time.Duration, statuses ...int) {
	w.t.Helper()
	select {
	case err := <-w.wait:
		w.wait <- err // for close
		got := w.cmd.ProcessState.ExitCode()
		for _, want := range statuses {
			if got == want {
				return
			}
		}
		w.t.Fatalf("the keeper ended with %d (%v), want one of %v", got, err, statuses)
	case <-time.After(d):
		w.t.Fatalf("the keeper did not end within %v", d)
	}
}

// bound is what an end may take: the patience of these tests, the time a
// server has to go, the grace, and what a busy machine needs.
const (
	shortPatience = "KEEPER_TEST_PATIENCE=500"
	bound         = 15 * time.Second
)

func TestTermAtAnyInstantAroundADeathOfTheServer(t *testing.T) {
	t.Parallel()
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	for i := range rounds {
		w := newWorld(t, shortPatience)
		s := w.server().ready()
		s.alive(run(1, "exec sleep 1000"))
		w.orderly()
		// From 12 ms before the kill to 34 ms after it, which is when the
		// successor is ready.
		gap := time.Duration(i*2-12) * time.Millisecond
		first, second := func() { s.send(unix.SIGKILL) }, func() { w.send(unix.SIGTERM) }
		if gap < 0 {
			first, second, gap = second, first, -gap
		}
		first()
		start := time.Now()
		for time.Since(start) < gap { // to the microsecond
		}
		second()
		w.endedWithin(bound, 0)
	}
}

func TestTermWhileNoServerGetsReadyEndsAlone(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"they exit": "fail", "they hang": "muted"} {
		for _, wait := range []time.Duration{0, 150 * time.Millisecond, 1200 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " ", wait), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, shortPatience)
				s := w.server()
				s.alive(run(1, `trap "" TERM; while :; do sleep 1000; done`))
				w.file(file)
				s.send(unix.SIGKILL)
				lets(t, "the pauses to grow", wait)
				asked := time.Now()
				w.send(unix.SIGTERM)
				w.endedWithin(bound, StatusAlone)
				if d := time.Since(asked); d < 500*time.Millisecond {
					t.Errorf("ended %v after the request, before its patience was over", d)
				}
				if w.said("no server is ready to stop the services in order") != 1 {
					t.Error("the keeper did not say why")
				}
			})
		}
	}
}

func TestTermWhileTheServerHangsEndsInOrder(t *testing.T) {
	t.Parallel()
	// It was ready, so the keeper waits for its word; the successor does it.
	w := newWorld(t, quickTicks, "KEEPER_TEST_PATIENCE=20000")
	s := w.server().ready()
	s.send(unix.SIGSTOP)
	w.send(unix.SIGTERM)
	n := w.server()
	if len(n.welcome.Asked) != 1 || n.welcome.Asked[0] != (Ask{Stop, 1, unix.SIGTERM}) {
		t.Errorf("the successor is told %+v", n.welcome.Asked)
	}
	n.end(0)
}

func TestTermDuringProbationEndsInOrder(t *testing.T) {
	w := newWorld(t, shortPatience)
	n := w.server().ready().upgrade(copyOfSelf(t)).ready()
	w.orderly()
	w.send(unix.SIGTERM)
	n.next(Asked)
	n.send(unix.SIGKILL)
	w.endedWithin(bound, 0)
}

func TestServerThatDoesNotLeaveAfterTheEndIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server().ready()
	s.alive(run(1, "exec sleep 1000"))
	s.do(order{Op: "stay"})
	s.do(order{Op: "end", End: End{How: Stop, Status: 4}})
	s.next(Lost)
	s.send(unix.SIGSTOP)
	w.endedWithin(bound, 4)
}

func TestEveryOneOfManyTermsIsHeardWhileServersDie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "KEEPER_TEST_PATIENCE=20000")
	s := w.server().ready()
	for n := uint64(1); n <= 10; n++ {
		w.send(unix.SIGTERM)
		waitUntil(t, "the request to be told", func() bool { return s.next(Asked).Ask == Ask{Stop, n, unix.SIGTERM} })
		s = s.kill()
		if len(s.welcome.Asked) != 1 || s.welcome.Asked[0] != (Ask{Stop, n, unix.SIGTERM}) {
			t.Fatalf("after %d requests the next server is told %+v", n, s.welcome.Asked)
		}
		s.ready()
	}
	s.end(0)
}
