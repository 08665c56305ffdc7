package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// digest is all that matters of a world, but for who is asked for causes, which
// process ids were given out, and what a wall clock says.
func (w *world) digest() string {
	var b strings.Builder
	for _, name := range w.s.names {
		sv := w.s.services[name]
		rt := sv.rt
		rt.Pid, rt.Last.Pid, rt.Cause, rt.Seq, rt.Since, rt.Last.Wall = 0, 0, "", 0, 0, 0
		fmt.Fprintf(&b, "%s %+v %+v removed=%t by an old definition=%t", name, rt, sv.tally, sv.removed, rt.Alive() && !sv.cur.Same(sv.spec))
		if r := w.latest[name]; r != nil && r.lives() {
			fmt.Fprintf(&b, " run %d lives=%t", r.Run, r.alive)
		}
		fmt.Fprintf(&b, " reloads=%d", w.reloads[name])
		b.WriteString("\n")
	}
	if e := w.s.ending; e != nil {
		fmt.Fprintf(&b, "ending by %d, scaled by %v, at most %d, forced %t, over %t\n", e.by, e.scale, e.limit, e.forced, e.over)
	}
	return b.String()
}

// firstDifference returns the first lines that differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// aCrashChangesNothing lives a history twice: once with a server that crashes,
// also between a frame and the orders that follow from it, and once with one
// that does not. Both know the same after every step.
//
// Left out are steps in which the two may differ: what the keeper had no room
// for is asked for again after a crash at once and not after 100 ms, and a
// crash ends a journal's refusal; a pause is measured from the last tick.
func aCrashChangesNothing(t tester, h *history) {
	crashed, whole := newWorld(t, h.clone()), newWorld(t, h.clone())
	defer crashed.close()
	defer whole.close()
	for _, w := range []*world{crashed, whole} {
		w.p, w.bare = h, w == whole
		w.readAll()
	}
	for _, s := range h.steps {
		if slices.Contains([]string{"busy", "full", "again", "read", "wall", "pause"}, s.verb) {
			continue
		}
		if whole.isOver() || crashed.isOver() {
			return
		}
		crashed.next(s)
		if s.verb == "cut" {
			continue
		}
		if s.verb != "crash" {
			whole.step(s)
			whole.after(s.verb)
			whole.readAll()
		}
		crashed.readAll()
		if a, b := crashed.digest(), whole.digest(); a != b {
			crashed.fail("after %s %v, with the crash and without:\n%s\nand %v", s.verb, s.args, firstDifference(a, b), whole.trace[max(0, len(whole.trace)-20):])
		}
	}
}

func TestACrashChangesNothing(t *testing.T) {
	promise(aCrashChangesNothing).hold(t, 2500, 20)
}

// theWallClockChangesNothing lives a history twice, with wall clocks that jump
// differently.
func theWallClockChangesNothing(t tester, h *history) {
	one, two := newWorld(t, h.clone()), newWorld(t, h.clone())
	defer one.close()
	defer two.close()
	two.bare = true
	for i, s := range h.steps {
		two.skew = int64(i%7-3) * 1e15
		for _, w := range []*world{one, two} {
			if !w.isOver() {
				w.next(s)
			}
		}
		if a, b := one.digest(), two.digest(); a != b {
			one.fail("after %s the wall clock made a difference:\n%s", s.verb, firstDifference(a, b))
		}
	}
	if a, b := strings.Join(one.trace, ", "), strings.Join(two.trace, ", "); a != b {
		one.fail("the wall clock made another history: %s", b)
	}
}

func TestTheWallClockChangesNothing(t *testing.T) {
	promise(theWallClockChangesNothing).hold(t, 750, 20)
}

// theSameHistoryIsTheSameLife lives a history twice and compares everything.
func theSameHistoryIsTheSameLife(t tester, h *history) {
	var lives [2]string
	for i := range lives {
		w := newWorld(t, h.clone())
		w.bare = i > 0
		w.live()
		w.readAll()
		lives[i] = w.digest() + strings.Join(w.trace, "\n")
		w.close()
	}
	if lives[0] != lives[1] {
		t.Fatalf("two lives of one history differ:\n%s\nthe history:\n%s", firstDifference(lives[0], lives[1]), h)
	}
}

func TestTheSameHistoryIsTheSameLife(t *testing.T) {
	promise(theSameHistoryIsTheSameLife).hold(t, 750, 20)
}
