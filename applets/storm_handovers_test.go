package applets_test

import (
	"fmt"
	"testing"
)

// zinit 0.3, B21: system.prepare_restart answers that it is ready, or not at all,
// and services are lost with the latter. Here the answer comes before the end.
func TestStormOfHandOvers(t *testing.T) {
	t.Parallel()
	n, whole := 12, false
	if _, whole = stormKills(0); whole {
		n = 1000
	}
	b := newBed(t)
	for _, name := range []string{"a", "b", "c"} {
		b.service(name, "[service]\nexec = \"wit\"\n")
	}
	b.serve()
	for _, name := range []string{"a", "b", "c"} {
		b.awaitState(name, "running")
	}
	var before version
	b.mustCall("system.version", nil, &before)
	for i := range n {
		var answer struct {
			Ready bool `json:"ready"`
		}
		if err := b.call("system.prepare_restart", nil, &answer); err != nil || !answer.Ready {
			t.Fatalf("hand-over %d: %+v, %v", i+1, answer, err)
		}
		b.await("a successor", func() error {
			var after version
			if err := b.call("system.version", nil, &after); err != nil {
				return err
			}
			if after.PID == before.PID {
				return fmt.Errorf("still server %d", after.PID)
			}
			before = after
			return nil
		})
	}
	if starts := b.matching("START .*"); len(starts) != 3 {
		t.Errorf("%d starts of three services: %v", len(starts), starts)
	}
}
