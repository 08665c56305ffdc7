package bus

import (
	"sync"
	"testing"
)

// drain reads what is in the buffer of a subscription that was closed.
func drain[T any](s *Subscription[T]) (got []T) {
	for v := range s.C {
		got = append(got, v)
	}
	return got
}

func TestAllSubscribersSeeOneOrder(t *testing.T) {
	const publishers, each = 8, 200
	var b Bus[[2]int]
	one, two := b.Subscribe(publishers*each), b.Subscribe(publishers*each)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				b.Publish([2]int{p, i})
			}
		})
	}
	wg.Wait()
	b.Close()
	first, second := drain(one), drain(two)
	if len(first) != publishers*each || len(second) != len(first) {
		t.Fatalf("got %d and %d messages, want %d each", len(first), len(second), publishers*each)
	}
	next := map[int]int{}
	for i, v := range first {
		if second[i] != v {
			t.Fatalf("message %d is %v for one subscriber and %v for the other", i, v, second[i])
		}
		if v[1] != next[v[0]] {
			t.Fatalf("publisher %d: message %d came when %d was due", v[0], v[1], next[v[0]])
		}
		next[v[0]]++
	}
}

func TestFullBufferIsCountedAndStopsNobody(t *testing.T) {
	var b Bus[int]
	slow, quick := b.Subscribe(3), b.Subscribe(10)
	for i := range 10 {
		b.Publish(i) // would hang here if a full buffer could block it
	}
	if got := slow.Missed(); got != 7 {
		t.Errorf("the slow one missed %d, want 7", got)
	}
	if got := quick.Missed(); got != 0 {
		t.Errorf("the quick one missed %d, want 0", got)
	}
	b.Close()
	if got := drain(slow); len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 2 {
		t.Errorf("the slow one got %v, want 0 1 2", got)
	}
	if got := drain(quick); len(got) != 10 {
		t.Errorf("the quick one got %v, want all ten", got)
	}
}

func TestSlowSubscriberGetsTheNextMessageOnceItHasRoom(t *testing.T) {
	var b Bus[string]
	s := b.Subscribe(1)
	b.Publish("kept")
	b.Publish("missed")
	if got := <-s.C; got != "kept" {
		t.Fatalf("got %q, want the oldest", got)
	}
	b.Publish("next")
	if got := <-s.C; got != "next" {
		t.Fatalf("got %q, want the one after the gap", got)
	}
	if s.Missed() != 1 {
		t.Errorf("missed %d, want 1", s.Missed())
	}
}

func TestClosedSubscriptionLeavesTheOthersAlone(t *testing.T) {
	var b Bus[int]
	gone, stays := b.Subscribe(2), b.Subscribe(2)
	b.Publish(1)
	gone.Close()
	gone.Close()
	b.Publish(2)
	if got := drain(gone); len(got) != 1 || got[0] != 1 {
		t.Errorf("the closed one has %v, want what came before its end", got)
	}
	b.Close()
	b.Close()
	stays.Close()
	b.Publish(3)
	if got := drain(stays); len(got) != 2 {
		t.Errorf("the other one has %v, want 1 2", got)
	}
	if _, open := <-b.Subscribe(1).C; open {
		t.Error("a subscription to a closed bus is open")
	}
}

func TestBufferOfLessThanOneHoldsOne(t *testing.T) {
	var b Bus[int]
	s := b.Subscribe(-5)
	b.Publish(1)
	b.Close()
	if got := drain(s); len(got) != 1 {
		t.Errorf("got %v, want one message", got)
	}
}
