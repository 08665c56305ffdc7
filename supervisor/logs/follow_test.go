package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

// followTo collects lines until one with the given text came.
func followTo(t *testing.T, p *Pump, q Query, cursors map[string]uint64, last string) (got []Line) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := p.Follow(ctx, q, cursors, func(lines []Line) error {
		for _, l := range lines {
			if got = append(got, l); string(l.Text) == last {
				return errEnough
			}
		}
		return nil
	})
	if err != errEnough {
		t.Errorf("follow ended with %v before %q came", err, last)
	}
	return got
}

// checkRow looks for numbers without gap or repetition.
func checkRow(t *testing.T, lines []Line) {
	t.Helper()
	next := -1
	for _, l := range lines {
		n, err := strconv.Atoi(string(l.Text))
		if err != nil || l.Partial || (next >= 0 && n != next) {
			t.Fatalf("%q came when %d was due", l.Text, next)
		}
		next = n + 1
	}
}

func TestNoGapAndNoRepeatBetweenWhatIsThereAndWhatComes(t *testing.T) {
	p, _ := newPump(t)
	p.Configure("web", 64<<20)
	p.LimitTotal(1 << 30)
	o := attach(t, p, "web", 1, Stdout)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { printRow(o, stop) })
	defer wg.Wait()
	defer close(stop)
	for round := range 200 {
		q := Query{N: []int{0, 1, 2, 3, 50, -1}[round%6]}
		got := followFor(p, q, nil, round%20)
		checkRow(t, got)
		// Going on from the last Seq continues the row.
		last := got[len(got)-1]
		more := followFor(p, q, map[string]uint64{"web": last.Seq}, round%3)
		checkRow(t, append([]Line{last}, more...))
	}
}

// printRow prints numbers, some of them in two writes, until stop.
func printRow(o *out, stop <-chan struct{}) {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for i := 0; ; i += 10 {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		var b strings.Builder
		for j := range 10 {
			fmt.Fprintln(&b, i+j)
		}
		cut := i / 10 % b.Len()
		o.write(b.String()[:cut])
		o.write(b.String()[cut:])
	}
}

// followFor collects lines over some calls after the first.
func followFor(p *Pump, q Query, cursors map[string]uint64, calls int) (got []Line) {
	_ = p.Follow(context.Background(), q, cursors, func(l []Line) error {
		got = append(got, l...)
		if calls--; calls < 0 {
			return errEnough
		}
		return nil
	})
	return got
}

func TestFollowSeesServicesThatPrintLater(t *testing.T) {
	p, _ := newPump(t)
	one := attach(t, p, "one", 1, Stdout)
	one.write("1\n")
	waitText(t, p, "one", "out:1")
	go func() {
		two := attach(t, p, "two", 1, Stdout)
		two.write("2\n")
		one.write("3\n")
		p.Write([]byte("not asked for"))
		waitText(t, p, "one", "out:1 out:3")
		waitText(t, p, "two", "out:2")
		two.write("end\n")
	}()
	got := followTo(t, p, Query{Services: []string{"one", "two"}}, nil, "end")
	if len(got) != 4 || string(got[0].Text) != "1" || string(got[3].Text) != "end" {
		t.Errorf("got %s", text(got))
	}
}

func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	p, _ := newPump(t)
	p.Configure("web", 16<<10)
	o := attach(t, p, "web", 1, Stdout)
	o.write("begin\n")
	waitText(t, p, "web", "out:begin")
	total, got, missed := 0, 0, int64(0)
	err := p.Follow(t.Context(), Query{}, nil, func(lines []Line) error {
		for _, l := range lines {
			got += len(l.Text)
			if !l.Partial {
				got++
			}
			missed += l.Dropped
			if string(l.Text) == "end" {
				return errEnough
			}
		}
		if total == 0 { // takes its time, and much happens meanwhile
			for range 3 {
				o.write(strings.Repeat("a line of some length\n", 10_000))
			}
			o.write("end\n")
			total = 6 + 3*22*10_000 + 4
			waitFor(t, "all is stored", func() bool { k, d := p.Size("web"); return k+d == int64(total) })
		}
		return nil
	})
	if err != errEnough || missed == 0 || int64(got)+missed != int64(total) {
		t.Errorf("%v: %d bytes came, %d were missed, of %d", err, got, missed, total)
	}
}

func TestReadersWhileTheBufferTurnsOverSeeOnlyWhatWasWritten(t *testing.T) {
	p, _ := newPump(t)
	p.Configure("web", 8192)
	o := attach(t, p, "web", 1, Stdout)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 3000 {
			o.write(strings.Repeat(fmt.Sprintf("line %d\n", i), 20))
		}
		o.write("end\n")
	})
	for range 2 {
		wg.Go(func() {
			for {
				lines := p.Tail("web", -1)
				for i, l := range lines {
					cut := i == 0 || l.Dropped > 0 // its beginning has been dropped
					if !cut && !l.Partial && !strings.HasPrefix(string(l.Text), "line ") && string(l.Text) != "end" {
						t.Errorf("read %q", l.Text)
						return
					}
				}
				if len(lines) > 0 && string(lines[len(lines)-1].Text) == "end" {
					return
				}
			}
		})
	}
	wg.Go(func() { followTo(t, p, Query{}, nil, "end") })
	wg.Wait()
}

func TestServicesAreMergedByTimeAndKeepTheirOwnOrder(t *testing.T) {
	a := []Line{{Service: "a", Time: 1, Seq: 1}, {Service: "a", Time: 9, Seq: 2}, {Service: "a", Time: 2, Seq: 3}}
	b := []Line{{Service: "b", Time: 1, Seq: 1}, {Service: "b", Time: 5, Seq: 2}, {Service: "b", Time: 9, Seq: 3}}
	var got []string
	for _, l := range merge([][]Line{a, nil, b}) {
		got = append(got, fmt.Sprint(l.Service, l.Seq))
	}
	if s := strings.Join(got, " "); s != "a1 b1 b2 a2 a3 b3" { // a's clock went back after a2
		t.Errorf("got %s", s)
	}
}

func TestQueryChoosesLines(t *testing.T) {
	p, _ := newPump(t)
	for _, name := range []string{"a", "b"} {
		for run := range uint64(2) {
			o, e := attach(t, p, name, run+1, Stdout), attach(t, p, name, run+1, Stderr)
			o.write(fmt.Sprintf("%s%d\n", name, run+1))
			<-p.Drain(name, run+1)
			e.write(fmt.Sprintf("%s%d\n", name, run+1))
			<-p.Drain(name, run+1)
		}
	}
	for want, q := range map[string]Query{
		"out:a1 err:a1 out:a2 err:a2 out:b1 err:b1 out:b2 err:b2": {},
		"out:b1 out:b2":               {Services: []string{"b", "c"}, Stream: Stdout},
		"out:b1 err:b1 out:b2 err:b2": {N: 4},
		"out:a2 err:a2":               {Services: []string{"a"}, Run: 2},
		"":                            {N: -1},
		"err:b2":                      {N: 1, Services: []string{"a", "b"}, Match: func(l Line) bool { return l.Stream == Stderr }},
		"out:a2":                      {N: 1, Services: []string{"a"}, Stream: Stdout, Since: time.Now().Add(-time.Hour)},
	} {
		if got := text(queried(p, q)); got != want {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
	if got := queried(p, Query{Since: time.Now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("lines from the future: %s", text(got))
	}
	if got := text(p.Tail("a", 1)); got != "err:a2" || len(p.Tail("a", 0)) != 0 || len(p.Tail("nobody", -1)) != 0 {
		t.Errorf("tail of one is %q", got)
	}
}

func TestFollowEndsWithThePumpAfterTheLastLine(t *testing.T) {
	p, _ := newPump(t)
	p.Write([]byte("one"))
	var got []Line
	err := p.Follow(t.Context(), Query{}, nil, func(l []Line) error {
		if got = append(got, l...); len(got) == 1 {
			p.Write([]byte("two"))
			go p.Close(20 * time.Second)
			<-p.stop
		}
		return nil
	})
	if err != ErrClosed || text(got) != "err:one err:two" {
		t.Errorf("%v after %s", err, text(got))
	}
}

// queried is what q chooses, which is less than one answer may hold.
func queried(p *Pump, q Query) []Line {
	lines, err := p.Query(q)
	if err != nil {
		panic(err)
	}
	return lines
}

// What cannot be held at once is refused; the newest lines of it can be had.
func TestAnAnswerHasABound(t *testing.T) {
	p, _ := newPump(t)
	p.LimitTotal(1 << 30)
	line := strings.Repeat("x", 99) + "\n"
	for _, name := range []string{"a", "b", "c"} {
		p.Configure(name, MaxQuery)
		o := attach(t, p, name, 1, Stdout)
		for range MaxQuery / 2 / 100 / 500 {
			o.write(strings.Repeat(line, 500))
		}
		o.write("last of " + name + "\n")
		<-p.Drain(name, 1)
	}
	if lines, err := p.Query(Query{}); err != ErrTooMuch {
		t.Errorf("%d lines, error %v; want ErrTooMuch", len(lines), err)
	}
	if lines, err := p.Query(Query{N: 100_000}); len(lines) != 100_000 || err != nil || string(lines[len(lines)-1].Text) != "last of c" {
		t.Errorf("the newest 100,000 are %d lines, error %v", len(lines), err)
	}
	last := func(l Line) bool { return bytes.HasPrefix(l.Text, []byte("last of ")) }
	if lines, err := p.Query(Query{Match: last}); len(lines) != 3 || err != nil {
		t.Errorf("%d lines match, error %v", len(lines), err)
	}
}
