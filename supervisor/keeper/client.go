package keeper

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client is the server's half of the protocol. First Hello, then Start; the
// requests may be made from then on, by any goroutine, with any lock held:
// each joins one ordered outbound queue and returns. The order of the calls
// is the order in which the keeper sees them.
type Client struct {
	in, out *wire
	conn    syscall.RawConn // waits for the socket without a thread

	mu      sync.Mutex // guards what follows
	wake    sync.Cond
	queue   []outgoing
	due     bool        // something in queue cannot wait
	late    *time.Timer // makes due what can
	corked  bool
	lost    bool
	seen    uint64     // datagrams that are delivered
	said    uint64     // of them, those the keeper is told of
	sending sync.Mutex // held while a batch of the queue goes out
	tellMu  sync.Mutex // one delivery at a time
	tell    func(Event)
}

// outgoing is one encoded request, or an answer the keeper need not be asked
// for.
type outgoing struct {
	b      []byte
	fds    []int
	answer *Event
}

// NewClient makes a client of the server's end of the pair. The client owns
// fd from then on.
func NewClient(fd int) (*Client, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("cannot use descriptor %d: %w", fd, err)
	}
	conn, err := os.NewFile(uintptr(fd), "keeper").SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot use descriptor %d: %w", fd, err)
	}
	c := &Client{in: newReceiver(fd), out: &wire{fd: fd}, conn: conn}
	c.wake.L = &c.mu
	c.late = time.AfterFunc(time.Hour, func() {
		c.mu.Lock()
		c.due = true
		c.mu.Unlock()
		c.wake.Signal()
	})
	c.late.Stop()
	return c, nil
}

// Hello greets the keeper and returns all it has to tell. The descriptors in
// the welcome are the caller's. It fails when the keeper does not answer
// within the timeout, which it never does to another version.
func (c *Client) Hello(timeout time.Duration) (*Welcome, error) {
	deadline := time.Now().Add(timeout)
	w := &Welcome{Held: map[string][]int{}}
	ask := request{kind: recHello, num: version}
	for {
		var e encoder
		e.request(&ask)
		if errno := c.out.send(e.b, nil, 0); errno != 0 {
			return nil, fmt.Errorf("cannot greet the keeper: %w", errno)
		}
		done, err := c.receiveWelcome(w, deadline)
		if err != nil {
			return nil, fmt.Errorf("cannot read the keeper's welcome: %w", err)
		}
		if done {
			return w, nil
		}
		ask = request{kind: recNext}
	}
}

// receiveWelcome reads the next datagram of the welcome into w.
func (c *Client) receiveWelcome(w *Welcome, deadline time.Time) (done bool, err error) {
	if err := waitReadable(c.in.fd, deadline); err != nil {
		return false, err
	}
	b, fds, cut, errno := c.in.receive(0)
	switch {
	case errno != 0:
		return false, errno
	case cut:
		closeAll(fds)
		return false, fmt.Errorf("descriptors were lost: %w", syscall.EMFILE)
	case len(b) == 0:
		return false, syscall.EPIPE
	}
	err = records(b, func(kind byte, d *decoder) error {
		done = done || kind == recWelcomeEnd
		fds = w.add(kind, d, fds)
		if d.bad {
			return errMalformed
		}
		return nil
	})
	closeAll(fds)
	return done, err
}

// waitReadable waits until fd has something to read.
func waitReadable(fd int, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return syscall.ETIMEDOUT
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}

// Start begins to send what is queued and to deliver what the keeper tells,
// in order, one event at a time. deliver may block shortly, and may call the
// client. After Lost it is not called again.
func (c *Client) Start(deliver func(Event)) {
	c.tell = deliver
	go c.read()
	go c.write()
}

func (c *Client) deliver(ev Event) {
	c.tellMu.Lock()
	defer c.tellMu.Unlock()
	c.tell(ev)
}

// read delivers events until the keeper is gone.
func (c *Client) read() {
	for {
		b, fds, cut, errno := c.receive()
		if errno == syscall.EINTR || errno == syscall.ECONNRESET {
			continue // after a reset the queue is still to be read
		}
		if errno != 0 || len(b) == 0 {
			break
		}
		_ = records(b, func(kind byte, d *decoder) error {
			if kind != recEvent { // it asks for nothing but the word below
				return nil
			}
			ev := d.event()
			if d.bad {
				return errMalformed
			}
			fds = ev.claim(fds, cut)
			c.deliver(ev)
			return nil
		})
		closeAll(fds)
		c.delivered()
	}
	c.mu.Lock()
	c.lost = true
	c.mu.Unlock()
	c.wake.Signal()
	c.deliver(Event{Kind: Lost})
}

// delivered notes that one more datagram is done with. The keeper takes a
// server that does not say so for hung; it is told with the next message, or
// by itself a little later.
func (c *Client) delivered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 && c.seen == c.said {
		c.late.Reset(tidyWithin)
	}
	c.seen++
}

// receive waits for the next datagram.
func (c *Client) receive() (b []byte, fds []int, cut bool, errno syscall.Errno) {
	err := c.conn.Read(func(uintptr) bool {
		b, fds, cut, errno = c.in.receive(unix.MSG_DONTWAIT)
		return errno != syscall.EAGAIN
	})
	if err != nil {
		return nil, nil, false, syscall.EBADF
	}
	return b, fds, cut, errno
}

// send sends a datagram, or, where it may wait, waits until it can be sent.
// What it returns is scarce only when it may not.
func (c *Client) send(b []byte, fds []int, wait bool) (errno syscall.Errno) {
	for {
		if errno = c.out.send(b, fds, unix.MSG_DONTWAIT); !wait || !scarce(errno) {
			return errno
		}
		if errno != syscall.EAGAIN { // of memory, or of descriptors on the way
			time.Sleep(10 * time.Millisecond)
			continue
		}
		waited := false
		err := c.conn.Write(func(uintptr) (done bool) { done, waited = waited, true; return done })
		if err != nil {
			return syscall.EBADF
		}
	}
}

// claim gives ev its descriptors. What was cut off stays -1: its pipe is still
// held by the keeper and comes with the next welcome.
func (ev *Event) claim(fds []int, cut bool) (rest []int) {
	for i := range ev.FDs {
		if len(fds) == 0 {
			break
		}
		ev.FDs[i].FD, fds = fds[0], fds[1:]
	}
	if cut {
		ev.FDs = slices.DeleteFunc(ev.FDs, func(f NamedFD) bool { return f.FD < 0 })
	}
	return fds
}

// write sends what is queued and was not sent by who queued it.
func (c *Client) write() {
	for {
		c.mu.Lock()
		for (!c.due || c.corked) && !c.lost {
			c.wake.Wait()
		}
		lost := c.lost
		c.mu.Unlock()
		if lost {
			return
		}
		c.sending.Lock()
		c.sendAll(c.take(), true)
		c.sending.Unlock()
	}
}

// take empties the queue.
func (c *Client) take() []outgoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.queue
	if c.seen > c.said {
		c.said = c.seen
		var e encoder
		e.request(&request{kind: recSeen, num: c.seen})
		batch = append(batch, outgoing{b: e.b})
	}
	c.queue, c.due = nil, false
	c.late.Stop()
	return batch
}

// Cork keeps what is queued from now on until Uncork, so that it goes out in
// few datagrams.
func (c *Client) Cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// Uncork sends what is queued, as far as the socket takes it at once; the rest
// is for the goroutine that may wait.
func (c *Client) Uncork() {
	c.mu.Lock()
	c.corked = false
	due := c.due
	c.mu.Unlock()
	if !due {
		return
	}
	if c.sending.TryLock() {
		rest := c.sendAll(c.take(), false)
		c.mu.Lock()
		c.queue, c.due = append(rest, c.queue...), c.due || len(rest) > 0
		c.mu.Unlock()
		c.sending.Unlock()
		if len(rest) == 0 {
			return
		}
	}
	c.wake.Signal()
}

// sendAll sends the batch in as few datagrams as it fits into. When it may not
// wait it returns what the socket did not take, or what comes from the first
// answer on: those are delivered by the goroutine that may.
func (c *Client) sendAll(batch []outgoing, wait bool) (rest []outgoing) {
	const full = 16 << 10
	var b []byte
	var fds []int
	first := 0 // of those in b
	flush := func(next int) bool {
		if len(b) > 0 && scarce(c.send(b, fds, wait)) { // a lost keeper is told by read
			return false
		}
		b, fds, first = b[:0], fds[:0], next
		return true
	}
	for i, o := range batch {
		if o.answer != nil {
			if !flush(i) || !wait {
				return batch[first:]
			}
			c.deliver(*o.answer)
			first = i + 1
			continue
		}
		if (len(b)+len(o.b) > full || len(fds)+len(o.fds) > maxPassed) && !flush(i) {
			return batch[first:]
		}
		b, fds = append(b, o.b...), append(fds, o.fds...)
	}
	if !flush(len(batch)) {
		return batch[first:]
	}
	return nil
}

// scarce says that a message did not go out and may be sent again.
func scarce(errno syscall.Errno) bool {
	switch errno {
	case syscall.EAGAIN, syscall.ENOBUFS, syscall.ENOMEM, syscall.ETOOMANYREFS:
		return true
	}
	return false
}

func (c *Client) put(o outgoing) {
	c.mu.Lock()
	wake := !c.corked
	if !c.lost {
		c.queue, c.due = append(c.queue, o), true
	}
	c.mu.Unlock()
	if wake {
		c.wake.Signal()
	}
}

// tidyWithin is how long what is only tidying up waits for company.
const tidyWithin = 20 * time.Millisecond

// putLate queues what nobody waits for: it goes out with the next that cannot
// wait, or by itself a little later.
func (c *Client) putLate(r *request) {
	var e encoder
	e.request(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return
	}
	if len(c.queue) == 0 && c.seen == c.said {
		c.late.Reset(tidyWithin)
	}
	c.queue = append(c.queue, outgoing{b: e.b})
}
