package supervisor

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTransitionsSurviveTheirRingSlotBySlot(t *testing.T) {
	long := strings.Repeat("ä", 400)
	for _, tr := range []Transition{
		{Seq: 1, Because: 0, TimeMS: 5, Name: "web", From: "inactive", To: "starting", Event: "start", Run: 1, PID: 9, Cause: "boot", Reason: "not ready yet"},
		{Seq: 10_007, Because: 10_000, Name: strings.Repeat("n", 128), From: "starting", To: "failed", Event: "exited", Cause: long, Reason: long},
	} {
		slot := make([]byte, historySlot)
		encodeTransition(slot, &tr)
		got, ok := decodeTransition(slot, int(tr.Seq%historySlots))
		if !ok || got.Seq != tr.Seq || got.Because != tr.Because || got.Name != tr.Name || got.To != tr.To || got.PID != tr.PID ||
			!strings.HasPrefix(tr.Cause, got.Cause) || !strings.HasPrefix(tr.Reason, got.Reason) || got.Cause == "" {
			t.Errorf("got %+v, %v; want %+v", got, ok, tr)
		}
		slot[historyHead+3] ^= 1
		if _, ok := decodeTransition(slot, int(tr.Seq%historySlots)); ok {
			t.Error("a damaged slot was taken for a transition")
		}
	}
}

// What comes after the ring is full is written over what was first.
func TestThePastIsTheNewestThatFits(t *testing.T) {
	sm := newSim(t, files{"web": ""})
	fd, err := unix.MemfdCreate("t", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	sm.s.history = fd
	var done []Transition
	for n := range uint64(historySlots + 50) {
		done = append(done, Transition{Seq: n + 1, Name: fmt.Sprint("s", n+1), Cause: "boot"})
	}
	sm.s.writeHistory(done[:30])
	sm.s.writeHistory(done[30 : historySlots-5])
	sm.s.writeHistory(done[historySlots-5:])
	sm.s.seq = historySlots + 40 // ten that no frame confirms
	past := sm.s.Past(0, 0)
	if len(past) != historySlots-10 || past[0].Seq != 51 || past[len(past)-1].Name != fmt.Sprint("s", historySlots+40) {
		t.Errorf("%d transitions, %+v to %+v", len(past), past[0], past[len(past)-1])
	}
	if some := sm.s.Past(100, 3); len(some) != 3 || some[2].Seq != historySlots+40 {
		t.Errorf("the newest three are %+v", some)
	}
}

func TestEveryTransitionNamesTheOneItFollowsFrom(t *testing.T) {
	sm := newSim(t, files{"db": "ready = \"fd:3\"", "web": "[dependencies]\nrequires = [\"db\"]"})
	sub := sm.s.Events(100)
	sm.run()
	sm.s.ready("db", 1)
	sm.run()
	sm.die("web", 1, 0)
	sm.run()
	sm.sleep(3e9)
	seqOf := map[string]uint64{}
	for len(sub.C) > 0 {
		tr := <-sub.C
		seqOf[tr.Name+" "+tr.To] = tr.Seq
		switch tr.Name + " " + tr.From + " " + tr.To {
		case "web blocked starting":
			if tr.Because != seqOf["db running"] || tr.Cause != "db is running" {
				t.Errorf("%+v does not follow from %d", tr, seqOf["db running"])
			}
		case "web failed starting":
			if tr.Because != seqOf["web failed"] || tr.Cause != "restart due" {
				t.Errorf("%+v does not follow from %d", tr, seqOf["web failed"])
			}
			return
		}
	}
	t.Error("web was not restarted")
}
