package applets_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// needs writes a service that runs the witness and has these dependencies,
// each "kind name".
func (b *bed) needs(name, exec, settings string, deps ...string) {
	kinds := map[string][]string{}
	for _, d := range deps {
		kind, to, _ := strings.Cut(d, " ")
		kinds[kind] = append(kinds[kind], fmt.Sprintf("%q", to))
	}
	text := fmt.Sprintf("[service]\nexec = %q\n%s\n[dependencies]\n", exec, settings)
	for kind, names := range kinds {
		text += kind + " = [" + strings.Join(names, ", ") + "]\n"
	}
	b.service(name, text)
}

// Scenario 65: members of a cycle do not start and are told the whole path;
// the twenty beside them feel nothing.
func TestScenario065ACycleHurtsItsMembersOnly(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		members []string
		kinds   []string // by turns
	}{
		{"self", cycleNames("s", 1), []string{"requires"}},
		{"two", cycleNames("d", 2), []string{"requires"}},
		{"three", cycleNames("t", 3), []string{"requires", "after", "requires"}},
		{"fifty", cycleNames("f", 50), []string{"after", "requires"}},
	}
	b := newBed(t)
	for i := range 20 {
		b.needs(fmt.Sprintf("good%02d", i), "wit", "", "wants s00", "after good"+fmt.Sprintf("%02d", (i+19)%20)+"x")
	}
	for _, c := range cases {
		for i, m := range c.members {
			next := c.members[(i+1)%len(c.members)]
			b.needs(m, "wit", "", c.kinds[i%len(c.kinds)]+" "+next)
		}
	}
	// before is after, seen from the other side: mixed kinds close a cycle too.
	b.needs("m00", "wit", "", "before m01")
	b.needs("m01", "wit", "", "before m02")
	b.needs("m02", "wit", "", "before m00")

	out, errs, code := b.zinit("check", b.etc)
	if code != 1 {
		t.Errorf("check ended with %d", code)
	}
	for _, c := range cases {
		for _, m := range c.members {
			if !strings.Contains(out+errs, m) {
				t.Errorf("check does not name %s of the cycle of %s:\n%s%s", m, c.name, out, errs)
			}
		}
	}
	b.serve()
	b.witnessed(20, "START good.*")
	b.never(300*time.Millisecond, 0, "START [sdtfm][0-9]+")
	f := b.full("t01")
	if f.State.State != "failed" || f.State.Reason.Type != "cycle" {
		t.Errorf("t01 is %s (%s): %s", f.State.State, f.State.Reason.Type, f.Reason)
	}
	for _, m := range cycleNames("t", 3) {
		if !strings.Contains(f.Reason, m) {
			t.Errorf("the reason of t01 does not name %s: %s", m, f.Reason)
		}
	}
	if _, errs, code := b.zinit("start", "f07"); code != 8 || !strings.Contains(errs, "f08") {
		t.Errorf("start of a member: exit %d, %s", code, errs)
	}
}

func cycleNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	return names
}

// Scenario 92: shutdown is the reverse of the start, branches in parallel. A
// random graph in five layers of six, each service 60 ms from TERM to its
// end.
func TestScenario092ShutdownGoesInReverse(t *testing.T) {
	t.Parallel()
	const layers, width, each = 5, 6, 60 * time.Millisecond
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	b := newBed(t)
	edges := map[string][]string{}
	kinds := []string{"requires", "requires", "after"}
	for layer := range layers {
		for i := range width {
			name := fmt.Sprintf("n%d%d", layer, i)
			var deps []string
			for j := range width {
				if layer == 0 || rnd.IntN(3) > 0 {
					continue
				}
				to := fmt.Sprintf("n%d%d", rnd.IntN(layer), j)
				edges[name] = append(edges[name], to)
				deps = append(deps, kinds[rnd.IntN(len(kinds))]+" "+to)
			}
			b.needs(name, "wit -ready-fd 3 -term-delay "+each.String(), "ready = \"fd:3\"\n", deps...)
		}
	}
	b.serve()
	b.witnessed(layers*width, "START n.*")
	for name, deps := range edges {
		for _, d := range deps {
			b.ordered("START "+d, "START "+name)
		}
	}
	if code, err := b.stop(30 * time.Second); err != nil || code != 0 {
		t.Fatalf("shutdown: status %d, %v", code, err)
	}
	if n := len(b.matching("EXIT n.* 0")); n != layers*width {
		t.Errorf("%d of %d services ended by themselves", n, layers*width)
	}
	for name, deps := range edges {
		for _, d := range deps {
			b.ordered("EXIT "+name+" 0", "TERM "+d)
		}
	}
	terms, exits := b.matching("TERM n.*"), b.matching("EXIT n.*")
	slices.SortFunc(exits, func(a, b record) int { return a.line - b.line })
	took := exits[len(exits)-1].at - terms[0].at
	if limit := patience * (layers*each + time.Second); took > limit {
		t.Errorf("the shutdown took %v; in parallel %v would do", took, layers*each)
	}
}
