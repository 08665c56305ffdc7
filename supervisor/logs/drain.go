package logs

// drain is what a Drain still has to move out of one pipe.
type drain struct {
	pi   *pipe
	left int
	wait *waiting
}

// waiting counts the pipes that one Drain waits for.
type waiting struct {
	pipes int
	over  chan struct{}
}

func (d drain) done() {
	if d.wait.pipes--; d.wait.pipes == 0 {
		close(d.wait.over)
	}
}

// Drain moves into the store what is in the pipes of a run at the time of the
// call, so that its last words are there before its end is told; what comes
// later comes later. It does so before it returns, and the channel is closed,
// unless the store is new and the holder has not answered yet: then the
// channel is closed when it has, or has refused. Nothing is lost if nobody
// waits for it. Several megabytes at most, which pipes can hold, are moved.
func (p *Pump) Drain(service string, run uint64) <-chan struct{} {
	w := &waiting{over: make(chan struct{}), pipes: 1}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pi := range p.runs[runKey{service, run}] {
		if pi == nil || pi.unkept || p.closed {
			continue
		}
		if n := pending(pi.fd); n > 0 {
			w.pipes++
			p.drain(drain{pi, n, w})
		}
	}
	drain{wait: w}.done()
	return w.over
}

// drain moves what it can now, and leaves word with the store otherwise.
func (p *Pump) drain(d drain) {
	s := p.stores[d.pi.service]
	if s == nil {
		s = p.open(d.pi.service)
	}
	switch {
	case s == nil || s.trouble:
		d.done()
	case !s.ready():
		s.drains = append(s.drains, d)
	default:
		p.moveAll(s, d)
	}
}

// moveAll moves as many bytes as were there.
func (p *Pump) moveAll(s *store, d drain) {
	for d.left > 0 && p.pipes[d.pi.fd] == d.pi {
		n := p.move(s, d.pi, d.left)
		if n == 0 {
			break
		}
		d.left -= n
	}
	d.done()
}

// finishDrains does what waited for the holder.
func (p *Pump) finishDrains(s *store) {
	drains := s.drains
	s.drains = nil
	for _, d := range drains {
		p.moveAll(s, d)
	}
}
