package supervisor

import "testing"

// The first question gets the average of the run, the next what was used since, and
// one that comes too soon, or after a restart, the average again.
func TestARateIsTheUseBetweenTwoQuestions(t *testing.T) {
	var sm samples
	for i, c := range []struct {
		now   sample
		begun int64
		want  float64
	}{
		{sample{7, 10_000, 1000}, 0, 10},     // 1 s of 10
		{sample{7, 12_000, 2000}, 0, 50},     // 1 s of 2
		{sample{7, 12_010, 2010}, 0, 16.7},   // too soon: 2.01 s of 12.01
		{sample{7, 14_000, 2000}, 0, 0},      // idle
		{sample{8, 15_000, 100}, 14_500, 20}, // another run
		{sample{8, 15_000, 100}, 15_000, 0},  // no time at all
	} {
		if got := sm.rate("web", c.now, c.begun); got != c.want {
			t.Errorf("%d: %v %%, want %v %%", i, got, c.want)
		}
	}
}
