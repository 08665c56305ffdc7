package state

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// everyPair calls f for all states and events.
func everyPair(f func(State, Event)) {
	for s := Inactive; s < numStates; s++ {
		for e := StartFree; e < numEvents; e++ {
			f(s, e)
		}
	}
}

func TestEveryPairIsARowOrARefusalThatNamesBoth(t *testing.T) {
	everyPair(func(s State, e Event) {
		before := Service{State: s, Wanted: true, Run: 7, Attempts: 2}
		after, do, err := before.Step(e, 100, 200)
		to, rowDo, _, ok := Row(s, e)
		if ok {
			if err != nil || after.State != to || do != rowDo {
				t.Errorf("%s + %q: got %s, %q, %v; the row says %s, %q", s, e, after.State, do, err, to, rowDo)
			}
			return
		}
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.State != s || refused.Event != e {
			t.Errorf("%s + %q has no row, but Step gave %v", s, e, err)
		}
		if err != nil && (!strings.Contains(err.Error(), s.String()) || !strings.Contains(err.Error(), e.String())) {
			t.Errorf("%v does not name both %s and %q", err, s, e)
		}
		if after != before {
			t.Errorf("%s + %q was refused, but changed %+v to %+v", s, e, before, after)
		}
	})
}

func TestARowThatStaysSaysWhyItIsHarmless(t *testing.T) {
	everyPair(func(s State, e Event) {
		to, do, why, ok := Row(s, e)
		if ok && to == s && do == 0 && why == "" {
			t.Errorf("%s + %q does nothing and does not say why", s, e)
		}
	})
}

// The table as text, so that a change of it is read as one.
func TestTableReadsAsItIsWrittenDown(t *testing.T) {
	var b strings.Builder
	everyPair(func(s State, e Event) {
		to, do, why, ok := Row(s, e)
		if !ok {
			return
		}
		note := do.String()
		if why != "" {
			note = "(" + why + ")"
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-9s %-18s %-9s %s", s, e, to, note), " ") + "\n")
	})
	want, err := os.ReadFile("testdata/table.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table differs from testdata/table.txt; it is\n%s", b.String())
	}
}

func TestStateAndEventNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for s := Inactive; s < numStates; s++ {
		if seen[s.String()] || seen[s.Symbol()] || Parse(s.String()) != s {
			t.Errorf("%s %s is not its own name", s.Symbol(), s)
		}
		seen[s.String()], seen[s.Symbol()] = true, true
	}
	for e := StartFree; e < numEvents; e++ {
		if e.String() == "" || seen["e"+e.String()] {
			t.Errorf("event %d is called %q, like another", e, e)
		}
		seen["e"+e.String()] = true
	}
}

func TestAnOperatorsStopDropsEverythingPending(t *testing.T) {
	for s := Inactive; s < numStates; s++ {
		before := Service{State: s, Wanted: true, Again: true, Queued: true, RetryAt: 5}
		after, _, err := before.Step(Stop, 1, 1)
		if err != nil || after.Wanted || after.Again || after.Queued || after.RetryAt != 0 {
			t.Errorf("stop while %s leaves %+v, %v", s, after, err)
		}
	}
}

func TestEveryBeginningIsANewRun(t *testing.T) {
	everyPair(func(s State, e Event) {
		after, do, err := Service{State: s, Run: 3, OK: true}.Step(e, 1, 1)
		if err == nil && (do&Spawn != 0) != (after.Run == 4) {
			t.Errorf("%s + %q: effects %q, run %d", s, e, do, after.Run)
		}
		if err == nil && do&Spawn != 0 && (!after.Live || after.OK) {
			t.Errorf("%s + %q begins a run with live=%t, ok=%t", s, e, after.Live, after.OK)
		}
	})
}

func TestADeadlineDoesNotOutliveItsState(t *testing.T) {
	everyPair(func(s State, e Event) {
		after, _, err := Service{State: s, StartBy: 1, StopBy: 2, RetryAt: 3, ReadyAt: 4}.Step(e, 100, 200)
		if err != nil || after.State == s {
			return
		}
		if after.StartBy != 0 || after.StopBy != 0 || after.RetryAt != 0 || after.ReadyAt == 4 {
			t.Errorf("%s + %q leaves deadlines of %s behind: %+v", s, e, s, after)
		}
	})
}
