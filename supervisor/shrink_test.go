package supervisor

import (
	options "flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// promise is something that a history must not break.
type promise func(t tester, h *history)

// verdictOf is a tester that ends a history where it breaks its promise.
type verdictOf struct{}

type (
	broken     string // promise
	unreadable string // service file: no history at all
)

func (verdictOf) Helper()                           {}
func (verdictOf) Fatalf(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

// breaks lives h and returns how it breaks the promise, "" when it does not.
func (p promise) breaks(h *history) (how string) {
	defer func() {
		switch x := recover().(type) {
		case nil, unreadable:
		case broken:
			how = string(x)
		default:
			panic(fmt.Sprintf("%v\nthe history:\n%s", x, h))
		}
	}()
	p(verdictOf{}, h.clone())
	return ""
}

func (h *history) clone() *history {
	return &history{title: h.title, files: maps.Clone(h.files), steps: slices.Clone(h.steps)}
}

// shrink returns a smaller history that breaks the promise too: without the
// steps, services and lines that do not matter.
func (p promise) shrink(h *history) *history {
	for tries, smaller := 0, true; smaller && tries < 5000; {
		smaller = false
		for n := max(len(h.steps)/2, 1); n > 0; n /= 2 {
			for i := 0; i+n <= len(h.steps); {
				less := h.clone()
				less.steps = slices.Delete(less.steps, i, i+n)
				if tries++; p.breaks(less) != "" {
					h, smaller = less, true
				} else {
					i++
				}
			}
		}
		for _, less := range h.lesser() {
			if tries++; p.breaks(less) != "" {
				h, smaller = less, true
				break
			}
		}
	}
	return h
}

// lesser lists h without one service, or without one line of a file.
func (h *history) lesser() []*history {
	var list []*history
	each := func(f files, put func(*history, files)) {
		for _, name := range sortedKeys(f) {
			less, rest := h.clone(), maps.Clone(f)
			delete(rest, name)
			put(less, rest)
			list = append(list, less)
			lines := strings.Split(strings.TrimSpace(f[name]), "\n")
			for i := range lines {
				if strings.HasPrefix(lines[i], "[") || len(lines) < 2 {
					continue
				}
				less, rest := h.clone(), maps.Clone(f)
				rest[name] = strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "\n")
				put(less, rest)
				list = append(list, less)
			}
		}
	}
	each(h.files, func(less *history, f files) { less.files = f })
	for i, s := range h.steps {
		each(s.files, func(less *history, f files) { less.steps[i].files = f })
	}
	return list
}

var (
	seedFlag   = options.Uint64("seed", 1, "the first seed of random histories")
	shrinkFlag = options.Bool("shrink", true, "whether a history that breaks a promise is made smaller")
	countFlag  = options.Int("histories", 0, "how many random histories of each kind; 0: what suits the kind")
)

// hold lives count random histories and holds that none breaks the promise.
func (p promise) hold(t *testing.T, count, steps int) {
	t.Helper()
	t.Parallel()
	switch {
	case *countFlag > 0:
		count = *countFlag
	case testing.Short():
		count /= 20
	case raced:
		count /= 8
	}
	for seed := *seedFlag; seed < *seedFlag+uint64(count); seed++ {
		h := seeded(seed).invent(fmt.Sprintf("%s, seed %d", t.Name(), seed), steps)
		for _, s := range append(h.steps, step{files: h.files}) {
			configOf(t, s.files)
		}
		if p.breaks(h) != "" {
			if *shrinkFlag {
				h = p.shrink(h)
			}
			t.Fatalf("seed %d: %s", seed, p.breaks(h))
		}
	}
}

func seeded(seed uint64) dice {
	r := rand.New(rand.NewPCG(seed, 0))
	return r.IntN
}

// fuzzed lets a fuzzer choose.
func fuzzed(data []byte) dice {
	return func(n int) int {
		x := 0
		for most := 1; most < n; most *= 256 {
			if len(data) == 0 {
				return x % n
			}
			x, data = x*256+int(data[0]), data[1:]
		}
		return x % n
	}
}

func TestRandomHistoriesKeepTheirPromises(t *testing.T) {
	promise(keepsItsPromises).hold(t, 16_000, 20)
}

func FuzzHistories(f *testing.F) {
	f.Add([]byte("a history is made of bytes"))
	f.Fuzz(func(t *testing.T, data []byte) {
		promise(keepsItsPromises).judge(t, fuzzed(data).invent(t.Name(), 60))
	})
}

// Histories that broke a promise once. Each tells its story in its first lines.
func TestWhatFailedOnceIsKept(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob("testdata/histories/*.txt")
	if err != nil || len(kept) == 0 {
		t.Fatalf("%v: there is none", err)
	}
	for _, path := range kept {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			h := readHistory(t, path)
			promise(keepsItsPromises).judge(t, h)
			promise(aCrashChangesNothing).judge(t, h)
		})
	}
}

func (p promise) judge(t *testing.T, h *history) {
	t.Helper()
	if how := p.breaks(h); how != "" {
		t.Errorf("%s", how)
	}
}
