package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
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
	lines := newLineReader(c.nc)
	for {
		line, err := lines.next()
		if err == errTooLong {
			c.turnAway(Errorf(CodeTooMuch, "cannot take a request of more than %d bytes", MaxRequest))
			return
		}
		if err != nil {
			return
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if c.line(ctx, &calls, line) != nil {
			return
		}
		c.startPending()
	}
}

// turnAway says why and closes, without waiting for the peer to read it.
func (c *conn) turnAway(e *Error) {
	c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := json.Marshal(answerTo(nil, nil, e)); err == nil {
		c.nc.Write(append(b, '\n'))
	}
	c.nc.Close()
}

// line answers one line. An error means that the peer cannot be written to.
func (c *conn) line(ctx context.Context, calls *sync.WaitGroup, line []byte) error {
	items, batch, fatal := parseLine(line)
	if fatal != nil {
		return c.send(answerTo(nil, nil, fatal))
	}
	if !batch {
		return c.one(ctx, calls, items[0])
	}
	var answers []Response
	for _, it := range items {
		if r := c.answer(ctx, it); r != nil {
			answers = append(answers, *r)
		}
	}
	if len(answers) == 0 {
		return nil
	}
	return c.send(answers)
}

// one answers a request that stands alone; one that waits is answered later.
func (c *conn) one(ctx context.Context, calls *sync.WaitGroup, it item) error {
	result, err, done := c.begin(it)
	if later, ok := result.(Later); ok && err == nil && !done {
		if !c.mayWait() {
			return c.send(answerTo(it.ID, nil, Errorf(CodeTooMuch, "cannot wait for more than %d calls on one connection", MaxWaiting)))
		}
		calls.Go(func() {
			result, err := c.s.run(func() (any, error) { return later(ctx) })
			c.waited()
			c.reply(it, result, err)
		})
		return nil
	}
	return c.reply(it, result, err)
}

// answer carries out one request of a batch to its end; nil for a notification.
func (c *conn) answer(ctx context.Context, it item) *Response {
	if it.bad != nil {
		return it.bad
	}
	result, err, _ := c.begin(it)
	if later, ok := result.(Later); ok && err == nil {
		result, err = c.s.run(func() (any, error) { return later(ctx) })
	}
	if it.ID == nil {
		return nil
	}
	var e *Error
	if err != nil {
		result, e = nil, errorOf(err)
	}
	a := answerTo(it.ID, result, e)
	return &a
}

// begin finds the method and calls its handler. done says that there was none
// to call.
func (c *conn) begin(it item) (result any, err error, done bool) {
	if it.bad != nil {
		return nil, it.bad.Error, true
	}
	m := c.s.methods[it.Method]
	if m == nil {
		return nil, &Error{Code: CodeMethodNotFound, Message: "unknown method " + quote(it.Method),
			Data: &Data{Kind: "method_not_found", Hint: "rpc.discover lists every method"}}, true
	}
	if !c.s.opt.Policy.May(c.peer, m.Access) {
		return nil, &Error{Code: CodeNotAllowed, Message: "not allowed: " + it.Method + " is for root and zinit's own user",
			Data: &Data{Kind: "not_allowed"}}, true
	}
	params, bad := m.bindNames(it.Params)
	if bad != nil {
		return nil, bad, true
	}
	call := &Call{Method: m, Peer: c.peer, params: params, conn: c}
	result, err = c.s.run(func() (any, error) { return m.Handler(call) })
	return result, err, false
}

// reply answers a call; a notification gets no answer.
func (c *conn) reply(it item, result any, err error) error {
	if it.bad != nil {
		return c.send(it.bad)
	}
	if it.ID == nil {
		return nil
	}
	if err != nil {
		return c.send(answerTo(it.ID, nil, errorOf(err)))
	}
	return c.send(answerTo(it.ID, result, nil))
}

// send writes one value and LF. A peer that does not read is cut off: memory
// for it stays bounded.
func (c *conn) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(answerTo(nil, nil, Errorf(CodeInternal, "cannot encode the answer: %v", err)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(WriteBy))
	if _, err = c.nc.Write(append(b, '\n')); err != nil {
		c.nc.Close()
	}
	return err
}

func (c *conn) mayWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting >= MaxWaiting {
		return false
	}
	c.waiting++
	return true
}

func (c *conn) waited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
}
