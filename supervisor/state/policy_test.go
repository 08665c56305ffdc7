package state

import (
	"slices"
	"syscall"
	"testing"
)

const second = int64(1e9)

// The whole matrix of {never, on-failure, always} and the ways to end.
func TestPolicyMatrix(t *testing.T) {
	type end struct {
		name string
		exit Exit
	}
	ends := []end{
		{"0", Exit{}}, {"1", Exit{Code: 1}}, {"listed 42", Exit{Code: 42}},
		{"TERM", Exit{Signal: int(syscall.SIGTERM)}}, {"SEGV", Exit{Signal: int(syscall.SIGSEGV), Core: true}},
	}
	want := map[Policy][]Event{
		Never:     {Done, ExitedFinal, Done, ExitedFinal, ExitedFinal},
		OnFailure: {Done, ExitedRetry, Done, ExitedRetry, ExitedRetry},
		Always:    {DoneRetry, ExitedRetry, DoneRetry, ExitedRetry, ExitedRetry},
	}
	for policy, events := range want {
		rules := Rules{Policy: policy, SuccessCodes: []int{42}, Stability: 30 * second, MaxRestarts: 10}
		for i, e := range ends {
			s, ev := ClassifyExit(Service{State: Running, Wanted: true, Run: 1, Live: true, ReadyAt: 1}, e.exit, rules, 2)
			if ev != events[i] {
				t.Errorf("policy %d, exit %s: %q, want %q", policy, e.name, ev, events[i])
			}
			if (s.Failure.Kind == NoFailure) != (ev == Done || ev == DoneRetry) {
				t.Errorf("policy %d, exit %s: failure %s", policy, e.name, s.Failure.Kind)
			}
			stopped := Service{State: Running, Wanted: false, Run: 1, Live: true}
			if _, ev := ClassifyExit(stopped, e.exit, rules, 2); ev == DoneRetry || ev == ExitedRetry {
				t.Errorf("policy %d, exit %s: restarted although an operator stopped it", policy, e.name)
			}
		}
	}
}

// Each policy after each status and each signal there is, wanted and not.
func TestEachPolicyAfterEveryStatusAndSignal(t *testing.T) {
	listed := []int{1, 42, 143, 255}
	var ends []Exit
	for code := range 256 {
		ends = append(ends, Exit{Code: code})
	}
	for sig := 1; sig <= 64; sig++ {
		ends = append(ends, Exit{Signal: sig}, Exit{Signal: sig, Core: true})
	}
	for _, e := range ends {
		success := e.Signal == 0 && (e.Code == 0 || slices.Contains(listed, e.Code))
		for policy, want := range map[Policy]Event{Never: ExitedFinal, OnFailure: ExitedRetry, Always: ExitedRetry} {
			if success {
				want = Done
				if policy == Always {
					want = DoneRetry
				}
			}
			rules := Rules{Policy: policy, SuccessCodes: listed, Stability: 30 * second, MaxRestarts: 10}
			s, ev := ClassifyExit(Service{State: Running, Wanted: true, Run: 1, Live: true, ReadyAt: 1}, e, rules, 2)
			f := Failure{}
			switch {
			case e.Signal != 0:
				f = Failure{Kind: Signal, Code: e.Signal, Core: e.Core}
			case !success:
				f = Failure{Kind: ExitCode, Code: e.Code}
			}
			if ev != want || s.Failure != f || s.Last != e || s.OK != success {
				t.Errorf("policy %d, %+v: %q with failure %+v, last %+v, ok %v; want %q", policy, e, ev, s.Failure, s.Last, s.OK, want)
			}
			stopping := Service{State: Stopping, Run: 1, Live: true}
			if s, ev := ClassifyExit(stopping, e, rules, 2); ev != Ended || s.Failure != (Failure{}) || s.Attempts != 0 {
				t.Errorf("policy %d, %+v in an operator's stop: %q, %+v", policy, e, ev, s.Failure)
			}
		}
	}
}

// zinit 0.3 F32, B23: the SIGKILL that ended it was told in place of the timeout.
func TestStartTimeoutIsJudgedByThePolicyAndKeepsItsCause(t *testing.T) {
	for policy, want := range map[Policy]Event{Never: GoneFinal, OnFailure: GoneRetry, Always: GoneRetry} {
		s := Service{State: Starting, Wanted: true, Run: 1, Live: true}
		s, _, err := s.Step(StartTimeout, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		s, ev := ClassifyExit(s, Exit{Run: 1, Signal: int(syscall.SIGKILL)}, Rules{Policy: policy}, 2)
		if ev != Ended {
			t.Fatalf("the exit of a stopping service is %q", ev)
		}
		s, ev = ClassifyGone(s, Rules{Policy: policy}, 3, false)
		if ev != want || s.Failure.Kind != StartTimedOut {
			t.Errorf("policy %d: %q with failure %s, want %q with start_timeout", policy, ev, s.Failure.Kind, want)
		}
	}
}

func TestADaemonThatExitsBeforeReadyHasFailedWhateverItsCode(t *testing.T) {
	s, ev := ClassifyExit(Service{State: Starting, Wanted: true, Run: 1, Live: true}, Exit{Run: 1}, Rules{MaxRestarts: 3}, 2)
	if ev != ExitedRetry || !s.Failure.Early {
		t.Errorf("got %q, early=%t", ev, s.Failure.Early)
	}
}

func TestAOneshotIsDoneOnceAndSatisfiesOnlyBySuccess(t *testing.T) {
	for code, want := range map[int]Event{0: Done, 1: ExitedRetry} {
		rules := Rules{Oneshot: true, Policy: Always, MaxRestarts: 3}
		s, ev := ClassifyExit(Service{State: Starting, Wanted: true, Run: 1, Live: true}, Exit{Run: 1, Code: code}, rules, 2)
		if ev != want {
			t.Errorf("exit %d of a oneshot is %q, want %q", code, ev, want)
		}
		s, _, _ = s.Step(ev, 3, 3)
		if s.Satisfies(true) != (code == 0) || s.Satisfies(false) {
			t.Errorf("exit %d: satisfies as oneshot %t, as daemon %t", code, s.Satisfies(true), s.Satisfies(false))
		}
	}
}

func TestTheBudgetCountsAttemptsInARowAndStabilityClearsIt(t *testing.T) {
	rules := Rules{MaxRestarts: 5, Stability: 30 * second}
	s := Service{State: Running, Wanted: true}
	starts, now := 1, int64(1)
	for range 20 {
		s.State, s.ReadyAt, s.Live = Running, now, true
		var ev Event
		s, ev = ClassifyExit(s, Exit{Code: 1}, rules, now+second)
		if ev == ExitedFinal {
			break
		}
		starts++
		now += 2 * second
	}
	if starts != 6 {
		t.Errorf("%d starts with max_restarts 5, want 6", starts)
	}
	s.State, s.ReadyAt = Running, now
	s, ev := ClassifyExit(s, Exit{Code: 1}, rules, now+31*second)
	if ev != ExitedRetry || s.Attempts != 1 {
		t.Errorf("after a stable run: %q, attempt %d; want a fresh budget", ev, s.Attempts)
	}
}

func TestBackoffDoublesToItsLimitWithAtMostATenthOfJitter(t *testing.T) {
	const ms = int64(1e6)
	for attempt, want := range map[int]int64{1: 500 * ms, 2: 1000 * ms, 3: 2000 * ms, 5: 8000 * ms, 6: 8000 * ms, 4000: 8000 * ms} {
		low, high := Backoff(500*ms, 8000*ms, attempt, 0), Backoff(500*ms, 8000*ms, attempt, 1)
		if low != want || high != want+want/10 {
			t.Errorf("attempt %d: %d to %d, want %d to %d", attempt, low, high, want, want+want/10)
		}
	}
	if d := Backoff(0, 0, 1, 0); d < ms {
		t.Errorf("a delay of 0 became %d ns: a loop without pause", d)
	}
	if d := Backoff(2*ms, 2*ms, 1, 1); d != 2*ms {
		t.Errorf("a delay of 2 ms is spread to %d ns", d)
	}
}

// The stop timeout may pass while the news of an end is on its way.
func TestOnlySIGKILLCountsAsKilled(t *testing.T) {
	s := Service{State: Stopping, Live: true, Killed: true}
	if got, _ := ClassifyExit(s, Exit{Code: 0}, Rules{}, 0); got.Last.Killed {
		t.Error("an exit with 0 is told as a kill")
	}
	if got, _ := ClassifyExit(s, Exit{Signal: 9}, Rules{}, 0); !got.Last.Killed {
		t.Error("a kill is not told")
	}
}
