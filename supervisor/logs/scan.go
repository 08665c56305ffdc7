package logs

import (
	"bytes"
	"sort"
)

// reader goes over a store and makes lines of its bytes. It needs no lock of
// the pump: bytes do not change once they are there, records are written
// before their bytes, and what is punched out is announced first.
type reader struct {
	s     *store
	from  uint64 // lines up to this Seq are known already
	begun bool

	at    uint64 // offset of the next byte
	cur   record // whose it is
	index int64  // where the record after cur is
	gap   int64  // bytes missing before the next line
	line  Line   // the last one

	unsaid int64 // bytes missing before lines that nobody wanted

	open map[streamKey]*unfinished
	*scratch
	block []byte // of the index, from start
	start int64
}

// scratch is memory that readers use one after the other.
type scratch struct {
	records [4096]byte
	bytes   [32 << 10]byte
}

// streamKey names a stream within a service.
type streamKey struct {
	run    uint64
	stream Stream
}

// unfinished is the beginning of a line.
type unfinished struct {
	text []byte
	seq  uint64
	time int64
}

// newReader starts before the first line, or after the one with Seq from.
func newReader(s *store, from uint64) *reader {
	return &reader{s: s, from: from, open: map[streamKey]*unfinished{}}
}

// read goes on over about most bytes, but not beyond offset until, and shows
// each line; its Text is good during the call. It returns whether it stopped
// before until. Of a closed store nothing is read.
func (r *reader) read(tmp *scratch, until uint64, most int, visit func(*Line)) (more bool) {
	r.scratch, r.block = tmp, nil
	r.s.read(func() {
		r.begin()
		for most > 0 {
			n, over := r.step(until, visit)
			if over {
				return
			}
			most -= n
		}
		more = true
	})
	return more
}

func (r *reader) begin() {
	if r.begun {
		return
	}
	r.begun = true
	r.seek(r.s.head())
	if known := r.from >> seqBits; known < r.at {
		r.gap = int64(r.at - known)
	}
}

// step reads a piece of the data, or enters the next record.
func (r *reader) step(until uint64, visit func(*Line)) (n int, over bool) {
	next, has, hole := r.record(r.index)
	if head := r.s.head(); head > r.at {
		r.lost(head, visit)
		return 0, false
	} else if hole {
		return 0, true // not without a new head
	}
	end := until
	if has {
		end = min(until, next.offset)
	}
	if r.at < end {
		return r.take(min(end-r.at, uint64(len(r.bytes))), visit)
	}
	if !has || next.offset > until {
		return 0, true
	}
	r.cur = next
	r.index += recordSize
	if next.kind == streamEnded {
		r.finish(visit)
	}
	return 0, false
}

// take reads n bytes that belong to the present record.
func (r *reader) take(n uint64, visit func(*Line)) (int, bool) {
	got, err := pread(r.s.data, r.bytes[:n], int64(r.at))
	if err != nil || got == 0 {
		return 0, true
	}
	if r.s.head() > r.at {
		return 0, false // these may be no bytes but a hole
	}
	chunk := r.bytes[:got]
	if cut := r.from >> seqBits; r.from == seqOf(cut) && r.at < cut && cut <= r.at+uint64(got) {
		// Its reader knows this stream up to here, also when no line ends.
		known := cut - r.at
		r.feed(chunk[:known], visit)
		chunk = chunk[known:]
		delete(r.open, r.key())
	}
	r.feed(chunk, visit)
	return got, false
}

func (r *reader) key() streamKey { return streamKey{r.cur.run, r.cur.stream} }

// feed adds bytes to the present stream and shows the lines they end.
func (r *reader) feed(chunk []byte, visit func(*Line)) {
	u := r.open[r.key()]
	if u == nil {
		u = &unfinished{}
		r.open[r.key()] = u
	}
	for len(chunk) > 0 {
		n := bytes.IndexByte(chunk, '\n')
		whole := n >= 0
		if !whole {
			n = len(chunk)
		}
		if room := MaxLine - len(u.text); n > room {
			n, whole = room, false
		} else if !whole {
			u.text = append(u.text, chunk...)
			r.at += uint64(n)
			u.seq, u.time = seqOf(r.at), r.cur.time
			return
		}
		text := chunk[:n:n]
		if len(u.text) > 0 {
			u.text = append(u.text, text...)
			text = u.text
		}
		if whole {
			n++ // the newline
		}
		r.at += uint64(n)
		chunk = chunk[n:]
		r.show(r.key(), text, seqOf(r.at), r.cur.time, !whole, visit)
		if u.text = u.text[:0]; cap(u.text) > len(r.records) {
			u.text = nil // long lines are rare, streams are many
		}
	}
}

// show gives a line to visit, unless its reader knows it.
func (r *reader) show(k streamKey, text []byte, seq uint64, time int64, partial bool, visit func(*Line)) {
	if seq <= r.from {
		return
	}
	r.line = Line{Seq: seq, Time: time, Service: r.s.name, Stream: k.stream, Run: k.run, Text: text,
		Partial: partial, Dropped: r.gap}
	visit(&r.line)
	r.gap = 0
}

// finish shows the last words of the stream that the present record ends.
func (r *reader) finish(visit func(*Line)) {
	if u := r.open[r.key()]; u != nil && len(u.text) > 0 {
		r.show(r.key(), u.text, r.cur.endSeq(), r.cur.time, true, visit)
	}
	delete(r.open, r.key())
}

// rest shows what has no end yet, oldest first.
func (r *reader) rest(visit func(*Line)) {
	keys := make([]streamKey, 0, len(r.open))
	for k, u := range r.open {
		if len(u.text) > 0 {
			keys = append(keys, k)
		}
	}
	sort.Slice(keys, func(i, j int) bool { return r.open[keys[i]].seq < r.open[keys[j]].seq })
	for _, k := range keys {
		u := r.open[k]
		r.show(k, u.text, u.seq, u.time, true, visit)
	}
}

// lost goes on at head, because what was next has been dropped.
func (r *reader) lost(head uint64, visit func(*Line)) {
	r.rest(visit) // how they go on may be in the gap
	clear(r.open)
	r.gap += int64(head - r.at)
	r.seek(head)
}

// seek goes to offset head and the record that holds there.
func (r *reader) seek(head uint64) {
	r.at, r.cur, r.index, r.block = head, record{}, firstRecord(r.s.index), nil
	for {
		next, has, hole := r.record(r.index)
		switch {
		case hole: // a page punched out meanwhile
			r.index = (r.index/page() + 1) * page()
			continue
		case !has || r.cur.kind != 0 && next.offset > head:
			return
		}
		r.cur = next
		r.index += recordSize
	}
}

// record returns the record at an offset of the index, if there is one yet;
// hole says that it was punched out.
func (r *reader) record(at int64) (rec record, has, hole bool) {
	if at < r.start || at+recordSize > r.start+int64(len(r.block)) {
		n, err := pread(r.s.index, r.records[:], at)
		if err != nil {
			n = 0
		}
		r.start, r.block = at, r.records[:n/recordSize*recordSize]
		if len(r.block) == 0 {
			return rec, false, false
		}
	}
	rec, has = decodeRecord(r.block[at-r.start:])
	return rec, has, !has
}
