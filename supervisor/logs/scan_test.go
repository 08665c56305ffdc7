package logs

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// filled returns a store outside of a pump, to be fed by hand.
func filled(t testing.TB, limit int64) *store {
	t.Helper()
	s, err := newStore("web", limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// put stores bytes as a splice would.
func (s *store) put(t testing.TB, run uint64, stream Stream, text []byte, now int64) {
	t.Helper()
	at := s.size()
	if err := s.mark(at, run, stream, now); err != nil {
		t.Fatal(err)
	}
	if err := writeAll(s.data, text, int64(at)); err != nil {
		t.Fatal(err)
	}
	s.tail = at + uint64(len(text))
	s.trim()
}

// linesOf reads a store from a cursor on, a few bytes at a time.
func linesOf(s *store, from uint64, most int) (lines []Line) {
	r := newReader(s, from)
	last := newest{q: &Query{}}
	var tmp scratch
	for r.read(&tmp, s.size(), most, last.add) {
	}
	r.rest(last.add)
	return last.lines()
}

func TestStreamsAndRunsAreToldApart(t *testing.T) {
	s := filled(t, DefaultBuffer)
	s.put(t, 1, Stdout, []byte("a1 "), 1e9)
	s.put(t, 1, Stderr, []byte("b1 "), 2e9)
	s.put(t, 2, Stdout, []byte("c1\n"), 3e9)
	s.put(t, 1, Stdout, []byte("a2\na3"), 4e9)
	s.put(t, 1, Stderr, []byte("b2\n"), 5e9)
	if err := s.end(1, Stdout, 6e9); err != nil {
		t.Fatal(err)
	}
	s.put(t, 2, Stdout, []byte("c2\n"), 7e9)
	got := linesOf(s, 0, 1)
	want := []string{"2 stdout 3 c1", "1 stdout 4 a1 a2", "1 stderr 5 b1 b2", "1 stdout 6 a3~", "2 stdout 7 c2"}
	var have []string
	last := uint64(0)
	for _, l := range got {
		p := ""
		if l.Partial {
			p = "~"
		}
		have = append(have, fmt.Sprintf("%d %s %d %s%s", l.Run, l.Stream, l.Time/1e9, l.Text, p))
		if l.Seq <= last {
			t.Errorf("Seq %d comes after %d", l.Seq, last)
		}
		last = l.Seq
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecordWithoutBytesIsVoid(t *testing.T) {
	s := filled(t, DefaultBuffer)
	s.put(t, 1, Stdout, []byte("out\n"), 1e9)
	if err := s.mark(s.size(), 7, Stderr, 2e9); err != nil { // killed before the splice
		t.Fatal(err)
	}
	s.put(t, 1, Stdout, []byte("again\n"), 3e9)
	for _, l := range linesOf(s, 0, 1000) {
		if l.Run != 1 || l.Stream != Stdout {
			t.Errorf("%q belongs to run %d, %s", l.Text, l.Run, l.Stream)
		}
	}
}

func TestNotUTF8AndEmptyLinesAreKept(t *testing.T) {
	s := filled(t, DefaultBuffer)
	s.put(t, 1, Stdout, []byte("\n\xff\xfe\x00\r\n\n"), 1)
	lines := linesOf(s, 0, 3)
	if len(lines) != 3 || len(lines[0].Text) != 0 || string(lines[1].Text) != "\xff\xfe\x00\r" || len(lines[2].Text) != 0 {
		t.Errorf("got %q", text(lines))
	}
}

func TestLinesLongerThanTheLimitComeInPieces(t *testing.T) {
	for _, n := range []int{MaxLine - 1, MaxLine, MaxLine + 1, 3*MaxLine - 1, 3 * MaxLine} {
		s := filled(t, 1<<20)
		s.put(t, 1, Stdout, append(bytes.Repeat([]byte("x"), n), "\nnext\n"...), 1)
		for _, most := range []int{1, 5000, 1 << 20} {
			lines := linesOf(s, 0, most)
			pieces := (n + MaxLine - 1) / MaxLine
			if len(lines) != pieces+1 || string(lines[pieces].Text) != "next" {
				t.Fatalf("%d bytes: %d lines, want %d pieces and the next", n, len(lines), pieces)
			}
			total := 0
			for i, l := range lines[:pieces] {
				total += len(l.Text)
				if l.Partial != (i < pieces-1) || len(l.Text) > MaxLine {
					t.Fatalf("%d bytes: piece %d has %d bytes, partial %v", n, i, len(l.Text), l.Partial)
				}
			}
			if total != n {
				t.Fatalf("%d bytes came back as %d", n, total)
			}
		}
	}
}

// A service that prints without a newline used to be able to fill memory.
func TestHugeLineDoesNotMakeMemoryGrow(t *testing.T) {
	size := 256 << 20
	if testing.Short() {
		size = 16 << 20
	}
	p, _ := newPump(t)
	o := attach(t, p, "web", 1, Stdout)
	var before, after runtime.MemStats
	chunk := strings.Repeat("x", 1<<16)
	o.write(chunk)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := len(chunk); n < size; n += len(chunk) {
		o.write(chunk)
	}
	o.write("\nend\n")
	waitFor(t, "the end", func() bool {
		l := p.Tail("web", 1)
		return len(l) == 1 && string(l[0].Text) == "end"
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	kept, dropped := p.Size("web")
	if kept+dropped != int64(size+5) || kept > DefaultBuffer+page() {
		t.Errorf("kept %d, dropped %d of %d", kept, dropped, size+5)
	}
	var st unix.Stat_t
	s := p.choose((&Query{}).selects())[0]
	if err := unix.Fstat(s.data, &st); err != nil || st.Blocks*512 > DefaultBuffer+2*page() {
		t.Errorf("the store takes %d bytes of memory (%v)", st.Blocks*512, err)
	}
	bytes := int64(0)
	for i, l := range p.Tail("web", -1) {
		if bytes += int64(len(l.Text)); i == 0 && l.Dropped != dropped {
			t.Errorf("the first piece says %d are missing, want %d", l.Dropped, dropped)
		}
	}
	if bytes != kept-2 {
		t.Errorf("%d bytes came back, %d are kept", bytes, kept)
	}
}

// story draws what services do to a store and keeps a plain account of it.
type story struct {
	s    *store
	all  []byte      // every byte
	who  []streamKey // whose it is
	ends map[int][]streamKey
	now  int64
}

func (y *story) step(t *rapid.T, tt testing.TB) {
	key := streamKey{rapid.Uint64Range(1, 2).Draw(t, "run"), Stream(rapid.IntRange(1, 2).Draw(t, "stream"))}
	y.now += rapid.Int64Range(0, 2e6).Draw(t, "later")
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		if err := y.s.end(key.run, key.stream, y.now); err != nil {
			tt.Fatal(err)
		}
		y.ends[len(y.all)] = append(y.ends[len(y.all)], key)
	case 1:
		if err := y.s.mark(y.s.size(), key.run, key.stream, y.now); err != nil {
			tt.Fatal(err)
		}
	default:
		n := rapid.SampledFrom([]int{1, 5, 30, 300, 3000, 70000}).Draw(t, "bytes")
		text := bytes.Repeat([]byte{byte('a' + len(y.all)%26)}, n)
		if rapid.Bool().Draw(t, "newline") {
			text[rapid.IntRange(0, n-1).Draw(t, "where")] = '\n'
		}
		y.s.put(tt, key.run, key.stream, text, y.now)
		y.all = append(y.all, text...)
		for range text {
			y.who = append(y.who, key)
		}
	}
}

// lines is the slow and obvious twin of reader, from the head on.
func (y *story) lines(head int) (out []string) {
	open := map[streamKey][]byte{}
	has := map[streamKey]int{}
	ended := func(at int) {
		for _, k := range y.ends[at] {
			if len(open[k]) > 0 {
				out = append(out, fmt.Sprint(k, string(open[k]), "~"))
			}
			delete(open, k)
		}
	}
	for i := head; i < len(y.all); i++ {
		if i > head {
			ended(i)
		}
		k := y.who[i]
		if y.all[i] == '\n' {
			out = append(out, fmt.Sprint(k, string(open[k])))
			delete(open, k)
			continue
		}
		if len(open[k]) == MaxLine {
			out = append(out, fmt.Sprint(k, string(open[k]), "~"))
			delete(open, k)
		}
		open[k] = append(open[k], y.all[i])
		has[k] = i
	}
	ended(len(y.all))
	for len(open) > 0 {
		var first streamKey
		for k := range open {
			if first == (streamKey{}) || has[k] < has[first] {
				first = k
			}
		}
		out = append(out, fmt.Sprint(first, string(open[first]), "~"))
		delete(open, first)
	}
	return out
}

func show(lines []Line) (out []string) {
	for _, l := range lines {
		p := ""
		if l.Partial {
			p = "~"
		}
		out = append(out, fmt.Sprint(streamKey{l.Run, l.Stream}, string(l.Text), p))
	}
	return out
}

func TestReaderAgreesWithASlowTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.SampledFrom([]int64{4096, 16384, 1 << 20}).Draw(rt, "limit")
		y := &story{s: filled(t, limit), ends: map[int][]streamKey{}, now: 1}
		defer y.s.close()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			y.step(rt, t)
		}
		head := int(y.s.head())
		if kept := len(y.all) - head; int64(kept) >= limit+page() || (head > 0 && int64(kept) < min(limit, int64(page()))) {
			rt.Fatalf("%d bytes are kept of %d, the limit is %d", kept, len(y.all), limit)
		}
		got := linesOf(y.s, 0, rapid.SampledFrom([]int{1, 100, 10000, 1 << 20}).Draw(rt, "most"))
		have, want := show(got), y.lines(head)
		if strings.Join(have, "\n") != strings.Join(want, "\n") {
			rt.Fatalf("got\n%.300q\nwant\n%.300q", have, want)
		}
		if len(got) > 0 && got[0].Dropped != int64(head) {
			rt.Fatalf("the first line says %d are missing, want %d", got[0].Dropped, head)
		}
		// Going on after any line gives the lines after it, unless its
		// stream goes on in pieces whose beginning was dropped.
		if len(got) > 0 && head == 0 {
			i := rapid.IntRange(0, len(got)-1).Draw(rt, "resume after")
			whole := true
			for _, l := range got[i:] {
				whole = whole && !l.Partial
			}
			if rest := show(linesOf(y.s, got[i].Seq, 1000)); whole && strings.Join(rest, "\n") != strings.Join(have[i+1:], "\n") {
				rt.Fatalf("after line %d of %d: got\n%.300q\nwant\n%.300q", i, len(got), rest, have[i+1:])
			}
		}
	})
}

func TestIndexIsTrimmedWithTheData(t *testing.T) {
	s := filled(t, 64<<10)
	var st unix.Stat_t
	for i := range 40000 {
		s.put(t, 1, Stream(1+i%2), []byte("0123456789 a line\n"), int64(i)*1e7)
	}
	if err := unix.Fstat(s.index, &st); err != nil {
		t.Fatal(err)
	}
	if most := int64(64<<10) + 8*page(); st.Blocks*512 > most || s.indexSize < 40000*recordSize {
		t.Errorf("the index takes %d bytes, want at most %d", st.Blocks*512, most)
	}
	lines := linesOf(s, 0, 1<<20)
	head := s.head()
	if kept := s.size() - head; len(lines) < int(kept/18) || len(lines) > int(kept/18)+1 {
		t.Errorf("%d lines of %d bytes", len(lines), kept)
	}
	for i, l := range lines[1:] {
		if want := Stream(1 + (i+int(lines[1].Stream)-1)%2); l.Stream != want || string(l.Text) != "0123456789 a line" {
			t.Fatalf("line %d: %s %q", i, l.Stream, l.Text)
		}
	}
}
