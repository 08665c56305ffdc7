package logs

import "context"

// stretch is how many bytes of a store are read before the lines go out.
const stretch = 256 << 10

// Follow shows the lines that q chooses, q.N of what is there and then what
// comes, also of services that print for the first time; with q.N < 0 only
// what comes. A service in cursors is shown from after that Seq on, however
// many lines that are. Between what is there and what comes, no line is
// missing or shown twice. A line is shown when it has its end, when its
// stream has ended, or as a piece when it is longer than MaxLine.
//
// emit is called by the caller's goroutine, in order, with lines merged by
// time within the call; it may keep them. It may take its time: nobody waits
// for it, and when the buffer has gone on without it, the next line says how
// many bytes are missing before it.
//
// Follow returns when emit fails, with its error; when ctx ends, with its
// cause; with ErrClosed after Close, when everything was shown.
func (p *Pump) Follow(ctx context.Context, q Query, cursors map[string]uint64, emit func([]Line) error) error {
	c := p.chase(q.selects())
	defer p.unchase(c)
	c.from = func(s *store) uint64 { return cursors[s.name] }
	lines := c.snapshot(&q, cursors)
	for {
		if len(lines) > 0 {
			if err := emit(lines); err != nil {
				return err
			}
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
		lines = c.next(&q)
	}
}

// chase is a set of readers that keep up with the stores.
type chase struct {
	p       *Pump
	f       *follower
	from    func(*store) uint64
	readers map[*store]*reader
	tmp     scratch
}

// chase begins to follow; on a closed pump there is nothing to follow.
func (p *Pump) chase(only func(string) bool) *chase {
	f := &follower{only: only, news: make(chan struct{}, 1), grown: map[*store]struct{}{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.followers[f] = struct{}{}
		for _, s := range p.stores {
			f.wake(s)
		}
	}
	return &chase{p: p, f: f, readers: map[*store]*reader{}}
}

func (p *Pump) unchase(c *chase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.followers[c.f]; !known {
		return
	}
	if delete(p.followers, c.f); p.closed && len(p.followers) == 0 {
		close(p.quiet)
	}
}

// wait returns when a store has grown. After Close it fails as soon as none
// has any more.
func (c *chase) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.f.news:
		return nil
	default:
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.f.news:
		return nil
	case <-c.p.stop:
		select {
		case <-c.f.news:
			return nil
		default:
			return ErrClosed
		}
	}
}

// reader returns the reader of a store. A cursor that lies beyond the end is
// one of an earlier store of that name.
func (c *chase) reader(s *store) *reader {
	r := c.readers[s]
	if r == nil {
		from := c.from(s)
		c.p.mu.Lock()
		if from>>seqBits > s.tail {
			from = 0
		}
		c.p.mu.Unlock()
		r = newReader(s, from)
		c.readers[s] = r
	}
	return r
}

// snapshot returns what there is.
func (c *chase) snapshot(q *Query, cursors map[string]uint64) []Line {
	var lists, resumed [][]Line
	for _, s := range c.f.take() {
		if _, known := cursors[s.name]; known {
			all := *q
			all.N = 0
			resumed = append(resumed, c.all(s, &all))
		} else {
			lists = append(lists, c.all(s, q))
		}
	}
	lines := cutTo(merge(lists), max(q.N, 0))
	if len(resumed) == 0 {
		return lines
	}
	return merge(append(resumed, lines))
}

// all returns what there is of one store.
func (c *chase) all(s *store, q *Query) []Line {
	r := c.reader(s)
	last := newest{q: q}
	last.fill(r, &c.tmp)
	r.unsaid = last.skipped
	return last.lines()
}

// next returns a stretch of lines from the stores that have grown.
func (c *chase) next(q *Query) []Line {
	all := *q
	all.N = 0
	var lists [][]Line
	for _, s := range c.f.take() {
		r := c.reader(s)
		open := false
		var until uint64
		s.read(func() { open, until = true, s.size() })
		if !open {
			delete(c.readers, s)
			continue
		}
		some := newest{q: &all, skipped: r.unsaid}
		if r.read(&c.tmp, until, stretch, some.add) {
			c.f.wake(s)
		}
		r.unsaid = some.skipped
		lists = append(lists, some.lines())
	}
	return merge(lists)
}
