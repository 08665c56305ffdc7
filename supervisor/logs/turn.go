package logs

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// run is the pump's goroutine: whatever can be read gets its turn.
func (p *Pump) run() {
	defer close(p.ended)
	var last time.Time
	for {
		if p.dribble() {
			now := time.Now()
			if now.Sub(last) < 2*breath {
				_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(breath)}, nil)
			}
			last = now
		}
		events, err := p.poll.wait()
		if err != nil {
			return
		}
		for _, ev := range events {
			if ready := p.turn(int(ev.Fd), ev.Events); ready != nil {
				ready()
			}
		}
	}
}

// A service that writes line by line without a pause would wake the pump for
// every few of them. So when little came, and little had come just before,
// the pump takes a breath and lets more come together: at 100 bytes a write
// that is half again as fast for a quarter of the processor time.
const (
	breath = 100 * time.Microsecond
	little = 2048
)

// dribble says whether little was moved since the last call.
func (p *Pump) dribble() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := p.moved
	p.moved = 0
	return moved > 0 && moved < little
}

// turn serves one pipe. An event that is no longer true does no harm: nothing
// is read that is not there. What it returns is to be called without the lock.
func (p *Pump) turn(fd int, events uint32) (ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pi := p.pipes[fd]
	switch {
	case pi == nil || p.closed || !pi.polled:
	case pi.unkept:
		p.throwAway(pi)
	case pi.watch != nil:
		return p.look(pi)
	default:
		p.pump(pi, events)
	}
	return nil
}

// pump moves what a stream's pipe holds, when its store is ready.
func (p *Pump) pump(pi *pipe, events uint32) {
	s := p.stores[pi.service]
	if s == nil && events&unix.EPOLLIN == 0 { // ended without a word
		p.release(pi)
		return
	}
	if s == nil {
		if s = p.open(pi.service); s == nil {
			p.later(pi)
			return
		}
	}
	if !s.ready() {
		p.rest(pi)
		s.parked = append(s.parked, pi)
		return
	}
	p.move(s, pi, turnBytes)
}

// open makes a service's store and has it held.
func (p *Pump) open(service string) *store {
	s, err := newStore(service, p.limit(service))
	if err != nil {
		p.note(err.Error() + "; it waits in its pipe")
		return nil
	}
	p.stores[service] = s
	p.hold(s, dataFile)
	p.hold(s, indexFile)
	return s
}

// move splices once. It returns how many bytes came; at the end of the file
// the pipe is closed.
func (p *Pump) move(s *store, pi *pipe, most int) int {
	now := time.Now().UnixNano()
	n, err := s.splice(pi.fd, pi.run, pi.stream, most, now)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0
	case err != nil:
		p.complain(s, fmt.Sprintf("cannot store the output of %q: %v; it waits in its pipe", s.name, err))
		p.later(pi)
		return 0
	case n == 0:
		if pi.spoke {
			_ = s.end(pi.run, pi.stream, now) // without it the last words just stay unfinished
			p.tell(s)
		}
		p.release(pi)
		return 0
	}
	pi.spoke, s.trouble = true, false
	p.moved += n
	p.settle(s)
	p.tell(s)
	return n
}

// throwAway reads what nobody wants.
func (p *Pump) throwAway(pi *pipe) {
	var b [4096]byte
	n, err := unix.Read(pi.fd, b[:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil || n == 0:
		p.release(pi)
	}
}

// settle drops what is over the limits, of the store and of all together.
func (p *Pump) settle(s *store) {
	s.trim()
	p.count(s)
	if p.used > p.total && !p.lenient {
		p.giveWay()
	}
}

func (p *Pump) count(s *store) {
	cost := s.used()
	p.used += cost - s.cost
	s.cost = cost
}

// tell wakes those who follow a store. It never waits.
func (p *Pump) tell(s *store) {
	for f := range p.followers {
		f.wake(s)
	}
}

// complain says in zinit's own log what is wrong with a store, once until it
// has passed.
func (p *Pump) complain(s *store, text string) {
	if s.trouble {
		return
	}
	s.trouble = true
	if s.name != Own {
		p.note(text)
	}
}

// Write keeps a message of zinit's own, one or more lines, as service Own and
// stream stderr; a missing last newline is added. The bytes are in memory
// when it returns, and survive this process as soon as the holder has the
// store, which is asked for at the first call. Adopt must come before it.
func (p *Pump) Write(text []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(string(text))
}

// note is Write under the lock.
func (p *Pump) note(text string) {
	if p.closed || text == "" {
		return
	}
	s := p.stores[Own]
	if s == nil {
		var err error
		if s, err = newStore(Own, p.limit(Own)); err != nil {
			return // no memory for words about it either
		}
		p.stores[Own] = s
		p.hold(s, dataFile)
		p.hold(s, indexFile)
	}
	if text[len(text)-1] != '\n' {
		text += "\n"
	}
	if s.write([]byte(text), time.Now().UnixNano()) == nil {
		p.settle(s)
		p.tell(s)
	}
}
