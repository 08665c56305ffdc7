package rpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// conn is one connection. One goroutine reads and answers; calls that wait have
// a goroutine each.
type conn struct {
	s    *Server
	nc   *net.UnixConn
	peer Peer

	mu      sync.Mutex // held while one line is written; guards what follows
	waiting int
	subs    map[uint64]context.CancelFunc
	lastSub uint64
	pending []func() // subscriptions whose answer is still to be sent
}

// serve reads lines until the peer is gone, too slow or too much.
func (c *conn) serve() {
	ctx, cancel := context.WithCancel(c.s.ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	defer c.endSubscriptions()
	lines := newLineReader(c.nc, c.s.finishBy)
	for {
		line, err := lines.next()
		switch {
		case err == errTooLong:
			c.turnAway(Errorf(CodeTooMuch, "cannot take a request of more than %d bytes", MaxRequest))
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.turnAway(Errorf(CodeTooMuch, "cannot wait longer than %v for the rest of a request", c.s.finishBy))
			return
		case err != nil:
			return
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		if c.line(ctx, &calls, line) != nil {
			return
		}
		c.start(c.takePending())
	}
}

// turnAway says why and closes, without waiting for the peer to read it.
func (c *conn) turnAway(e *Error) {
	c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	c.nc.Write(item{Request: Request{ID: null}}.answer(nil, e))
	c.nc.Close()
}

// line answers one line. An error means that the peer cannot be written to.
func (c *conn) line(ctx context.Context, calls *sync.WaitGroup, line []byte) error {
	items, batch, fatal := parseLine(line)
	switch {
	case fatal != nil:
		return c.write(item{Request: Request{ID: null}}.answer(nil, fatal))
	case batch:
		return c.batch(ctx, calls, items)
	}
	it := items[0]
	result, err := c.begin(it)
	if later, waits := result.(Later); waits {
		if err := c.mayWait(); err != nil {
			return c.write(it.answer(nil, err))
		}
		calls.Go(func() { c.write(c.finish(ctx, it, later)) })
		return nil
	}
	return c.write(it.answer(result, err))
}

// batch answers several calls with one line. They begin in their order, and
// those that wait do so together; the whole batch may then be overtaken. Once
// its answers are too many bytes nothing more of it is begun.
func (c *conn) batch(ctx context.Context, calls *sync.WaitGroup, items []item) error {
	answers, size := make([][]byte, len(items)), 0
	var waiting sync.WaitGroup
	waits := false
	for i, it := range items {
		var result any
		var err error = Errorf(CodeTooMuch, "not done: the answers of this batch have more than %d bytes", MaxAnswers)
		if size <= MaxAnswers {
			result, err = c.begin(it)
		}
		if later, ok := result.(Later); ok {
			if err = c.mayWait(); err == nil {
				waits = true
				waiting.Go(func() { answers[i] = c.finish(ctx, it, later) })
				continue
			}
			result = nil
		}
		answers[i] = it.answer(result, err)
		size += len(answers[i])
	}
	if !waits {
		return c.write(join(answers))
	}
	subs := c.takePending()
	calls.Go(func() {
		waiting.Wait()
		if c.write(join(answers)) == nil {
			c.start(subs)
		}
	})
	return nil
}

// join makes the line of a batch; nothing when all were notifications.
func join(answers [][]byte) []byte {
	var line []byte
	for _, a := range answers {
		if len(a) > 0 {
			line = append(append(line, ','), a[:len(a)-1]...)
		}
	}
	if line != nil {
		line[0] = '['
		line = append(line, "]\n"...)
	}
	return line
}

// begin finds the method and calls its handler. With an error there is no
// result.
func (c *conn) begin(it item) (any, error) {
	if it.bad != nil {
		return nil, it.bad
	}
	m := c.s.methods[it.Method]
	if m == nil {
		return nil, &Error{Code: CodeMethodNotFound, Message: "unknown method " + quote(it.Method),
			Data: &Data{Kind: "method_not_found", Hint: "rpc.discover lists every method"}}
	}
	if !c.s.opt.Policy.May(c.peer, m.Access) {
		return nil, &Error{Code: CodeNotAllowed, Message: "not allowed: " + it.Method + " is for root and zinit's own user",
			Data: &Data{Kind: "not_allowed"}}
	}
	params, bad := m.bindNames(it.Params)
	if bad != nil {
		return nil, bad
	}
	call := &Call{Method: m, Peer: c.peer, params: params, conn: c}
	return c.s.run(m.Name, func() (any, error) { return m.Handler(call) })
}

// finish waits for the outcome of a call that mayWait has let in.
func (c *conn) finish(ctx context.Context, it item, later Later) []byte {
	defer c.waited()
	return it.answer(c.s.run(it.Method, func() (any, error) { return later(ctx) }))
}

// write sends one line, or nothing when it is empty. A peer that does not read
// is cut off: memory for it stays bounded.
func (c *conn) write(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(c.s.writeBy))
	_, err := c.nc.Write(line)
	if err != nil {
		c.nc.Close()
	}
	return err
}

// mayWait counts in a call that waits, unless there are too many.
func (c *conn) mayWait() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting >= MaxWaiting {
		return Errorf(CodeTooMuch, "cannot wait for more than %d calls on one connection", MaxWaiting)
	}
	c.waiting++
	return nil
}

func (c *conn) waited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
}
