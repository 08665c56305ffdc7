package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// figures are all measurements: what, by whom, run by run.
type figures map[string]map[string][]float64

func (f figures) add(what, peer string, value float64) {
	if f[what] == nil {
		f[what] = map[string][]float64{}
	}
	f[what][peer] = append(f[what][peer], value)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Clone(values)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// row is a line of the table. bound is on the ratio to the C floor where there
// is one, else on the figure itself; 0 is none.
type row struct {
	key, text, unit string
	bound           float64
}

func (b *bench) rows() []row {
	return append([]row{
		{"cold start", fmt.Sprintf("cold start of %d daemons", b.n), "ms", 1.1},
		{"chain", fmt.Sprintf("chain of %d oneshots", b.chain), "ms", 1.35},
		{"restart", "restart after SIGKILL, p50, less the delay", "µs", 1.4},
		{"memory 0", "memory (PSS) of keeper and server, no services", "MiB", 8},
		{fmt.Sprintf("memory %d", b.n), fmt.Sprintf("the same, %d idle services", b.n), "MiB", 12},
		{"idle", fmt.Sprintf("wake-ups in %v, %d services", b.idle, b.n), "", 0},
		{"takeover 100", "takeover after SIGKILL, 100 services", "ms", 15},
		{fmt.Sprintf("takeover %d", b.n), fmt.Sprintf("takeover after SIGKILL, %d services", b.n), "ms", 60},
	}, b.answerRows()...)
}

// table prints medians and ratios, and returns how many are over their bound.
func (b *bench) table(out io.Writer) (over int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "median of %d\tC floor\tGo floor\tzinit\t/ C\t/ Go\tbound\t\t\n", b.runs)
	for _, r := range b.rows() {
		f := b.figures[r.key]
		if len(f) == 0 {
			continue
		}
		c, g, z := median(f["C floor"]), median(f["Go floor"]), median(f["zinit"])
		judged := z
		if c > 0 {
			judged = z / c
		}
		verdict := "ok"
		if judged > r.bound {
			verdict = "OVER"
			over++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%g\t%s\t\n", r.text,
			figure(c, r.unit), figure(g, r.unit), figure(z, r.unit), ratio(z, c), ratio(z, g), r.bound, verdict)
	}
	w.Flush()
	return over
}

func figure(v float64, unit string) string {
	switch {
	case v == 0 && unit != "":
		return "-"
	case unit == "":
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
