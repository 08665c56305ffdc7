package logs

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sort"
	"sync"
	"unsafe"
)

// Tail returns a service's newest n lines, oldest first; all when n < 0. What
// has no newline yet comes last, Partial. A service that never printed has
// none. It reads what was there at the call and waits for nobody.
func (p *Pump) Tail(service string, n int) []Line {
	if n == 0 {
		return nil
	}
	lines, _ := p.Query(Query{Services: []string{service}, N: max(n, 0)})
	return lines
}

// MaxQuery is the most memory that one answer of Query may take, in bytes.
const MaxQuery = 32 << 20

// ErrTooMuch says that more lines were chosen than one answer may hold.
var ErrTooMuch = errors.New("the lines would take more than 32 MiB")

// Query returns the lines that q chooses, merged by time; see Tail. It fails
// with ErrTooMuch.
func (p *Pump) Query(q Query) ([]Line, error) {
	if q.N < 0 {
		return nil, nil
	}
	var lists [][]Line
	var tmp scratch
	size := 0
	for _, s := range p.choose(q.selects()) {
		last := newest{q: &q}
		r := newReader(s, 0)
		last.fill(r, &tmp)
		r.rest(last.add)
		lists = append(lists, last.lines())
		if size += last.size; size > MaxQuery { // what is too old will not be asked for again
			all := cutTo(merge(lists), q.N)
			lists, size = [][]Line{all}, sizeOf(all)
		}
		if size > MaxQuery {
			return nil, ErrTooMuch
		}
	}
	return cutTo(merge(lists), q.N), nil
}

// sizeOf is what lines take, in bytes.
func sizeOf(lines []Line) (size int) {
	for i := range lines {
		size += len(lines[i].Text) + int(unsafe.Sizeof(Line{}))
	}
	return size
}

// selects returns which services are chosen.
func (q *Query) selects() func(string) bool {
	if q.Services == nil {
		return func(string) bool { return true }
	}
	return func(name string) bool { return slices.Contains(q.Services, name) }
}

// choose returns the stores of the chosen services, by name.
func (p *Pump) choose(only func(string) bool) []*store {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*store
	for name, s := range p.stores {
		if only(name) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *store) int { return cmp.Compare(a.name, b.name) })
	return out
}

// newest keeps the last lines that a query wants of one service.
type newest struct {
	q       *Query
	ring    []Line // a ring when q.N > 0 are there
	oldest  int
	size    int   // of ring, see sizeOf
	skipped int64 // Dropped of lines that were not wanted
}

// fill reads everything up to where the store ends now.
func (n *newest) fill(r *reader, tmp *scratch) {
	var until uint64
	r.s.read(func() { until = r.s.size() })
	for r.read(tmp, until, 1<<20, n.add) {
	}
}

// add copies a line if it is wanted.
func (n *newest) add(l *Line) {
	if !n.q.wants(l) {
		n.skipped += l.Dropped
		return
	}
	l.Dropped += n.skipped
	n.skipped = 0
	if n.q.N < 0 || n.q.N == 0 && n.size > MaxQuery {
		return
	}
	n.size += len(l.Text)
	if n.q.N == 0 || len(n.ring) < n.q.N {
		l.Text = bytes.Clone(l.Text)
		n.ring = append(n.ring, *l)
		n.size += int(unsafe.Sizeof(*l))
		return
	}
	slot := &n.ring[n.oldest]
	n.size -= len(slot.Text)
	l.Text = append(slot.Text[:0], l.Text...)
	*slot = *l
	n.oldest = (n.oldest + 1) % len(n.ring)
}

// lines returns what was kept, oldest first.
func (n *newest) lines() []Line {
	return append(n.ring[n.oldest:len(n.ring):len(n.ring)], n.ring[:n.oldest]...)
}

// merge puts the lines of several services into the order of time. Each
// service keeps its own order also where its clock went back.
func merge(lists [][]Line) []Line {
	lists = slices.DeleteFunc(lists, func(l []Line) bool { return len(l) == 0 })
	if len(lists) == 1 {
		return lists[0]
	}
	type timed struct {
		at int64
		Line
	}
	var all []timed
	for _, list := range lists {
		at := int64(0)
		for _, l := range list {
			at = max(at, l.Time)
			all = append(all, timed{at, l})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].at < all[j].at })
	out := make([]Line, len(all))
	for i, l := range all {
		out[i] = l.Line
	}
	return out
}

// cutTo keeps the last n lines; all when n is 0.
func cutTo(lines []Line, n int) []Line {
	if n > 0 && len(lines) > n {
		return lines[len(lines)-n:]
	}
	return lines
}

// follower hears which stores have grown.
type follower struct {
	only func(string) bool
	news chan struct{} // capacity 1

	mu    sync.Mutex
	grown map[*store]struct{}
}

// wake is called with the pump's lock held and never waits.
func (f *follower) wake(s *store) {
	if !f.only(s.name) {
		return
	}
	f.mu.Lock()
	f.grown[s] = struct{}{}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// take returns the stores that have grown since the last call, by name.
func (f *follower) take() []*store {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.grown) == 0 {
		return nil
	}
	out := make([]*store, 0, len(f.grown))
	for s := range f.grown {
		out = append(out, s)
	}
	clear(f.grown)
	slices.SortFunc(out, func(a, b *store) int { return cmp.Compare(a.name, b.name) })
	return out
}
