package probe

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = int64(time.Millisecond)

func plan(interval time.Duration, retries int) Plan {
	return Plan{Interval: interval, Retries: retries}
}

func TestProbesOfAStartingServiceComeQuicklyAndThenRarely(t *testing.T) {
	s := Begin(plan(time.Second, 1), 0)
	var at []int64
	for range 6 {
		at = append(at, s.Due/ms)
		if !s.Start(s.Due) {
			t.Fatal("what is due does not start")
		}
		if got := s.End(at[len(at)-1]*ms, false); got != Nothing {
			t.Fatalf("a failure while starting is %v", got)
		}
	}
	if want := []int64{100, 300, 700, 1500, 2500, 3500}; !slices.Equal(at, want) {
		t.Errorf("they come at %v ms, want %v", at, want)
	}
	if s := Begin(plan(30*time.Millisecond, 1), 0); s.Due != 30*ms {
		t.Errorf("with a short interval the first comes at %d", s.Due/ms)
	}
}

func TestFirstSuccessIsHealthyAndSoManyFailuresInARowAreLost(t *testing.T) {
	s := Begin(plan(time.Second, 3), 0)
	now := int64(0)
	ask := func(ok bool) Outcome {
		now = s.Due
		s.Start(now)
		out := s.End(now+ms, ok)
		if out == Healthy {
			s.Up(now + ms)
		}
		if s.Running && s.Due != now+ms+1000*ms {
			t.Errorf("after a probe that ended at %d the next is due at %d", now+ms, s.Due)
		}
		return out
	}
	got := []Outcome{}
	for _, ok := range []bool{false, true, true, false, false, true, false, false, false, false, false, true, true} {
		got = append(got, ask(ok))
	}
	want := []Outcome{Nothing, Healthy, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Lost, Nothing, Nothing, Healthy, Nothing}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFailuresWithinTheStartPeriodDoNotCount(t *testing.T) {
	s := Begin(Plan{Interval: time.Second, Retries: 1, StartPeriod: 3 * time.Second}, 500*ms)
	s.Up(500 * ms)
	for _, at := range []int64{1500, 2500} {
		s.Start(at * ms)
		if s.End(at*ms, false) != Nothing {
			t.Errorf("a failure at %d counts", at)
		}
	}
	s.Start(3500 * ms)
	if s.End(3500*ms, false) != Lost {
		t.Error("a failure after the period does not count")
	}
}

func TestASuccessorAsksAgainWhatItsPredecessorHadAsked(t *testing.T) {
	s := Begin(plan(time.Second, 3), 0)
	s.Up(0)
	before := s
	if s.Adopt(5); s != before {
		t.Errorf("with no probe under way it became %+v", s)
	}
	s.Start(s.Due)
	if s.Adopt(2000 * ms); s.Due != 2000*ms || s.Failures != 0 {
		t.Errorf("with one under way it became %+v", s)
	}
}

// The twin is slow and obvious: it keeps all that has happened, and looks at
// it from the end.
type answer struct {
	at      int64
	ok      bool
	running bool
}

func TestAScheduleGivesTheVerdictsOfItsHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Plan{
			Interval:    time.Duration(rapid.Int64Range(1, 3000).Draw(t, "interval")) * time.Millisecond,
			Retries:     rapid.IntRange(1, 4).Draw(t, "retries"),
			StartPeriod: time.Duration(rapid.Int64Range(0, 4000).Draw(t, "period")) * time.Millisecond,
		}
		now := rapid.Int64Range(0, 1e12).Draw(t, "begin")
		s := Begin(p, now)
		var history []answer
		began, well, quick := now, false, int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "probes") {
			if s.Due <= now || s.Due > now+int64(p.Interval) {
				t.Fatalf("at %d the next is due at %d, with interval %v", now, s.Due, p.Interval)
			}
			if s.Start(s.Due - 1) {
				t.Fatal("a probe starts before it is due")
			}
			if pause := s.Due - now; !s.Running && len(history) > 0 && pause < quick {
				t.Fatalf("while starting, a pause of %d follows one of %d", pause, quick)
			} else if !s.Running {
				quick = pause
			}
			now = s.Due + rapid.Int64Range(0, 2e9).Draw(t, "late")
			if !s.Start(now) || s.Start(now) || s.Start(Never-1) {
				t.Fatal("not exactly one probe is under way")
			}
			if rapid.IntRange(0, 3).Draw(t, "up") == 0 {
				s.Up(now) // another way to be ready
			}
			a := answer{now + rapid.Int64Range(0, 5e9).Draw(t, "took"), rapid.Bool().Draw(t, "ok"), s.Running}
			now = a.at
			got := s.End(now, a.ok)
			if s.End(now, !a.ok) != Nothing {
				t.Fatal("an answer to no probe counts")
			}
			history = append(history, a)
			row := 0
			for i := len(history) - 1; i >= 0 && !history[i].ok; i-- {
				if h := history[i]; h.running && h.at-began >= int64(p.StartPeriod) {
					row++
				}
			}
			want := Nothing
			switch counts := a.running && a.at-began >= int64(p.StartPeriod); {
			case a.ok && !well:
				want, well = Healthy, true
			case !a.ok && counts && row == p.Retries:
				want, well = Lost, false
			}
			if got != want {
				t.Fatalf("verdict %v, want %v, after %+v", got, want, history)
			}
			if got == Healthy {
				s.Up(now)
			}
			before := s
			if s.Shift(7); s.Due != before.Due+7 || s.Started != before.Started+7 {
				t.Fatal("a shift moves something else")
			}
			s = before
		}
	})
}
