package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheMedianIsInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

func TestRecordsAreRead(t *testing.T) {
	got, err := parse("s00001 12 345\ns00002 13 346\n")
	if err != nil || len(got) != 2 || got[1] != (record{"s00002", 13, 346}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parse("half a\n"); err == nil {
		t.Error("a broken record was read")
	}
}

func TestTheTableJudgesByTheRatioToTheCFloor(t *testing.T) {
	b := &bench{n: 1000, figures: figures{}}
	b.figures.add("cold start", "C floor", 100)
	b.figures.add("cold start", "zinit", 109)
	b.figures.add("idle", "zinit", 1)
	var out bytes.Buffer
	if over := b.table(&out); over != 1 {
		t.Errorf("%d over the bound, want the wake-up alone\n%s", over, out.String())
	}
	if !strings.Contains(out.String(), "1.09") {
		t.Errorf("no ratio in\n%s", out.String())
	}
}
