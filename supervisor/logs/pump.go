package logs

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// turnBytes is how much of one pipe is moved before the others come to
	// their turn: what a pipe holds.
	turnBytes = 64 << 10
	// pause is how long a pipe or a store rests after an error.
	pause = time.Second
	// Own is the name under which zinit's own messages are kept.
	Own = "zinit"
)

// ErrClosed ends followers of a pump that was closed.
var ErrClosed = errors.New("the log pump was closed")

// Holder keeps descriptors for a successor: the keeper's client. Its methods
// are called with the pump's lock held: they must not wait, nor call back.
// The answer to Hold comes by Pump.Held, once for each call.
type Holder interface {
	Hold(name string, fds ...int)
	Drop(name string)
}

// Pump owns the stores of all services, the read ends of their pipes and the
// goroutine that moves from these to those. Its methods are safe for many
// callers and never wait for a service, a reader or the console; Follow and
// Close say what they wait for.
type Pump struct {
	holder Holder
	poll   *poller
	ended  chan struct{} // closed when the goroutine has ended
	stop   chan struct{} // closed by Close

	mu        sync.Mutex // held for one splice or one look-up
	stores    map[string]*store
	limits    map[string]int64 // configured, by service
	pipes     map[int]*pipe    // by descriptor
	runs      map[runKey][2]*pipe
	asked     map[string]int // Holds without an answer yet
	followers map[*follower]struct{}
	quiet     chan struct{} // closed when Close was called and no follower is left
	total     int64         // all stores together may take this
	lenient   bool          // but not before it is told how much that is
	used      int64
	moved     int // bytes since the goroutine last asked
	closed    bool
}

// runKey names a run.
type runKey struct {
	service string
	run     uint64
}

// pipe is the read end of a stream, or of readiness.
type pipe struct {
	runKey
	stream Stream
	fd     int
	held   string // its name with the holder
	polled bool
	spoke  bool   // it may have bytes in the store
	watch  *watch // not a stream
	unkept bool   // what comes is thrown away: its service was forgotten, its readiness recorded
}

// NewPump returns a pump without stores. It lifts the limit on the size of
// files for this process: a store's offsets only grow.
func NewPump(h Holder) (*Pump, error) {
	liftFileSize()
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	p := &Pump{
		holder: h, poll: poll, ended: make(chan struct{}), stop: make(chan struct{}), total: DefaultTotal(),
		stores: map[string]*store{}, limits: map[string]int64{}, pipes: map[int]*pipe{}, runs: map[runKey][2]*pipe{},
		asked: map[string]int{}, followers: map[*follower]struct{}{}, quiet: make(chan struct{}),
	}
	go p.run()
	return p, nil
}

// liftFileSize sets RLIMIT_FSIZE to unlimited, or as far as is allowed.
func liftFileSize() {
	want := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_FSIZE, &want) == nil {
		return
	}
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &want) == nil {
		want.Cur = want.Max
		_ = unix.Setrlimit(unix.RLIMIT_FSIZE, &want)
	}
}

// Configure sets how many bytes of a service's output are kept, at least a
// page; 0 or less means DefaultBuffer. What is over is dropped at once. The
// store may take up to a page more, and an index.
func (p *Pump) Configure(service string, bufferBytes int64) {
	if bufferBytes <= 0 {
		bufferBytes = DefaultBuffer
	}
	bufferBytes = max(bufferBytes, page())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits[service] = bufferBytes
	if s := p.stores[service]; s != nil {
		s.limit = bufferBytes
		p.settle(s)
	}
}

func (p *Pump) limit(service string) int64 {
	if n, ok := p.limits[service]; ok {
		return n
	}
	return DefaultBuffer
}

// Attach begins to move what comes out of fd, the read end of a pipe that the
// holder knows as heldName. The pump owns fd from then on: at the end of the
// file it closes it and has the name dropped. After Close fd is only closed.
func (p *Pump) Attach(service string, run uint64, s Stream, fd int, heldName string) {
	pi := &pipe{runKey: runKey{service, run}, stream: s, fd: fd, held: heldName}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.stores[service]; old != nil {
		pi.spoke = old.adopted
	}
	if !p.takeIn(pi) || s < Stdout || s > Stderr {
		return
	}
	both := p.runs[pi.runKey]
	both[s-1] = pi
	p.runs[pi.runKey] = both
}

// takeIn begins to wait for a pipe.
func (p *Pump) takeIn(pi *pipe) bool {
	if p.closed {
		unix.Close(pi.fd)
		return false
	}
	p.pipes[pi.fd] = pi
	_ = unix.SetNonblock(pi.fd, true)
	p.listen(pi)
	return true
}

// listen puts a pipe into epoll.
func (p *Pump) listen(pi *pipe) {
	if pi.polled || p.closed {
		return
	}
	if err := p.poll.add(pi.fd, pi.events()); err != nil {
		p.note(fmt.Sprintf("cannot wait for the output of %q: %v; trying again", pi.service, err))
		p.later(pi)
		return
	}
	pi.polled = true
}

func (pi *pipe) events() uint32 {
	if pi.watch != nil && !pi.unkept {
		return unix.EPOLLIN | unix.EPOLLET
	}
	return unix.EPOLLIN
}

// rest takes a pipe out of epoll.
func (p *Pump) rest(pi *pipe) {
	if pi.polled {
		p.poll.remove(pi.fd)
		pi.polled = false
	}
}

// later lets a pipe rest for a while.
func (p *Pump) later(pi *pipe) {
	p.rest(pi)
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pipes[pi.fd] == pi {
			p.listen(pi)
		}
	})
}

// release closes a pipe that has ended.
func (p *Pump) release(pi *pipe) {
	p.rest(pi)
	unix.Close(pi.fd)
	delete(p.pipes, pi.fd)
	if both, ok := p.runs[pi.runKey]; ok && pi.watch == nil {
		both[pi.stream-1] = nil
		if p.runs[pi.runKey] = both; both == [2]*pipe{} {
			delete(p.runs, pi.runKey)
		}
	}
	p.holder.Drop(pi.held)
}

// Held is the holder's answer to Hold. Bytes go into a store only after both
// of its files are held; when one cannot be, that is said once in zinit's own
// log and tried again after a second.
func (p *Pump) Held(name string, err error) {
	service, file, ok := parseHeld(name)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked[name] > 1 { // of a store that is no more
		p.asked[name]--
		return
	}
	s := p.stores[service]
	if delete(p.asked, name); s == nil || p.closed {
		return
	}
	if err != nil {
		p.holdLater(s, file, err)
		return
	}
	s.held[file] = true
	if !s.ready() {
		return
	}
	s.trouble = false
	p.finishDrains(s)
	for _, pi := range s.parked {
		if p.pipes[pi.fd] == pi {
			p.listen(pi)
		}
	}
	s.parked = nil
}

// parseHeld takes "log/NAME/data" or "log/NAME/index" apart.
func parseHeld(name string) (service string, file int, ok bool) {
	service, ok = strings.CutPrefix(name, "log/")
	if !ok {
		return "", 0, false
	}
	if s, ok := strings.CutSuffix(service, "/data"); ok && s != "" {
		return s, dataFile, true
	}
	if s, ok := strings.CutSuffix(service, "/index"); ok && s != "" {
		return s, indexFile, true
	}
	return "", 0, false
}

// hold asks the holder to keep a store's file.
func (p *Pump) hold(s *store, file int) {
	name := heldName(s.name, file)
	p.asked[name]++
	p.holder.Hold(name, [...]int{s.data, s.index}[file])
}

// holdLater asks again in a while.
func (p *Pump) holdLater(s *store, file int, err error) {
	p.complain(s, fmt.Sprintf("cannot keep the output of %q for a successor: %v; it waits in its pipe", s.name, err))
	for _, d := range s.drains {
		d.done()
	}
	s.drains = nil
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stores[s.name] == s && !s.held[file] && !p.closed {
			p.hold(s, file)
		}
	})
}

// Forget drops the store of a service that is no more. What still comes from
// runs of it is thrown away, so that nothing of it is stopped by a full pipe.
func (p *Pump) Forget(service string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.limits, service)
	for _, pi := range p.pipes {
		if pi.service == service && pi.watch == nil {
			pi.unkept = true
			p.listen(pi)
		}
	}
	if s := p.stores[service]; s != nil {
		p.abandon(s)
		p.holder.Drop(heldName(service, dataFile))
		p.holder.Drop(heldName(service, indexFile))
	}
}

// abandon closes a store and forgets it.
func (p *Pump) abandon(s *store) {
	delete(p.stores, s.name)
	p.used -= s.cost
	for _, d := range s.drains {
		d.done()
	}
	s.drains, s.parked = nil, nil
	s.close()
}

// Size returns how many bytes of a service's output are kept, and how many
// were dropped because the buffer was full.
func (p *Pump) Size(service string) (kept, dropped int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stores[service]
	if s == nil {
		return 0, 0
	}
	head := s.head()
	return int64(s.size() - head), int64(head)
}

// Close stops pumping, after a last look into the pipes, and waits until the
// console and all followers have shown what there is, at most for wait. What
// is in pipes and in the files held stays there for a successor. It must not
// be called from emit. Closing again does nothing.
func (p *Pump) Close(wait time.Duration) {
	if !p.shut() {
		return
	}
	p.poll.close()
	<-p.ended
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.quiet:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for fd := range p.pipes {
		unix.Close(fd)
	}
	clear(p.pipes)
	clear(p.runs)
	for _, s := range p.stores {
		p.abandon(s)
	}
}

// shut lets nothing in any more. It returns false when that is so already.
func (p *Pump) shut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	for _, pi := range p.pipes {
		if s := p.stores[pi.service]; s != nil && s.ready() && pi.watch == nil && !pi.unkept {
			p.moveAll(s, drain{pi, pending(pi.fd) + 1, &waiting{}}) // one more: to see the end
		}
	}
	p.closed = true
	close(p.stop)
	if len(p.followers) == 0 {
		close(p.quiet)
	}
	return true
}
