package logs

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// watch looks for a newline in a readiness pipe.
type watch struct {
	ready func()
	told  bool
}

// WatchReady calls ready once, from the pump's goroutine, when there is a
// newline in the pipe that the holder knows as heldName, also when it has
// been there before the call. The bytes stay in the pipe, so that a successor
// who does not know yet sees them too, until Unwatch. ready must not wait.
// The pump owns fd; when all writers have gone and nothing is left in it, it
// is closed and the name dropped.
func (p *Pump) WatchReady(fd int, heldName string, ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeIn(&pipe{fd: fd, held: heldName, watch: &watch{ready: ready}})
}

// Unwatch says that the readiness was recorded, or does not matter any more.
// From now on what is in the pipe is thrown away until its writers have gone.
func (p *Pump) Unwatch(heldName string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pi := range p.pipes {
		if pi.watch != nil && pi.held == heldName && !pi.unkept {
			p.rest(pi)
			pi.unkept = true
			p.listen(pi)
		}
	}
}

// look handles a readiness pipe that can be read. It returns who is to be
// called when the newline is there.
func (p *Pump) look(pi *pipe) (ready func()) {
	b, err := peek(pi.fd)
	switch {
	case err == unix.EAGAIN:
	case err == errNoPipe || err == unix.EINTR:
		p.later(pi)
	case err != nil || len(b) == 0:
		p.release(pi)
	case bytes.IndexByte(b, '\n') >= 0:
		if !pi.watch.told {
			pi.watch.told = true
			return pi.watch.ready
		}
	case len(b) >= peekFull: // of what means nothing
		_, _ = unix.Read(pi.fd, b)
	}
	return nil
}

// errNoPipe means that there was no descriptor or memory to look with.
var errNoPipe = errors.New("no pipe to copy into")

// peekFull bytes without a newline are thrown away so that the pipe can take
// more; a pipe of one page, the smallest, holds as many.
const peekFull = 4096

// peek returns what is in a pipe without taking it out: at the end of the
// file nothing, and EAGAIN when there is nothing yet.
func peek(fd int) ([]byte, error) {
	var copied [2]int
	if err := unix.Pipe2(copied[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, errNoPipe
	}
	defer unix.Close(copied[0])
	defer unix.Close(copied[1])
	n, err := unix.Tee(fd, copied[1], turnBytes, unix.SPLICE_F_NONBLOCK)
	if err != nil || n == 0 {
		return nil, err
	}
	b := make([]byte, n)
	got := 0
	for got < len(b) {
		m, err := unix.Read(copied[0], b[got:])
		if err != nil || m <= 0 {
			break
		}
		got += m
	}
	return b[:got], nil
}
