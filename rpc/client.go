package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrGone is a connection that ended before an answer came: the server has been
// stopped or replaced. A call that only asks can be made again.
var ErrGone = errors.New("the connection ended before the answer came")

// Notification is what a server tells by itself.
type Notification struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// Client is one connection to a server. Its methods are safe for many callers.
type Client struct {
	conn   net.Conn
	notes  chan Notification
	closed chan struct{} // closed by Close
	close  sync.Once

	writing sync.Mutex // held while one line is written

	mu    sync.Mutex // guards what follows
	last  uint64
	calls map[uint64]chan reply
	err   error
}

type reply struct {
	ID     uint64          `json:"id"`
	Method string          `json:"method"` // of a notification
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

// Dial connects to the socket at path. The connection waits in the socket's
// queue while a server is being replaced.
func Dial(ctx context.Context, path string) (*Client, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("cannot connect to %s: the path has %d bytes and a socket's may have %d", path, len(path), maxPath)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	c := &Client{conn: conn, notes: make(chan Notification, 1024), closed: make(chan struct{}), calls: map[uint64]chan reply{}}
	go c.read()
	return c, nil
}

// Close ends the connection. Calls in progress fail with ErrGone.
func (c *Client) Close() {
	c.close.Do(func() {
		close(c.closed)
		c.conn.Close()
	})
}

// Notifications gives what the server tells by itself, in order. It is closed
// when the connection ends. A reader that is slow slows the server's telling.
func (c *Client) Notifications() <-chan Notification { return c.notes }

// Call makes one call and waits for its answer. params is what marshals to an
// object or array, or nil; result is where the answer goes, or nil. An answer
// that is an error is returned as *Error.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	id, answer, err := c.register()
	if err != nil {
		return err
	}
	b, err := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		ID      uint64 `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
	}{"2.0", id, method, params})
	if err != nil {
		c.forget(id)
		return fmt.Errorf("cannot encode the parameters of %s: %w", method, err)
	}
	if err := c.write(append(b, '\n')); err != nil {
		// The server may have said why it hung up.
		select {
		case r, ok := <-answer:
			if ok {
				return finish(r, result)
			}
		case <-time.After(time.Second):
		}
		return c.failure()
	}
	select {
	case r, ok := <-answer:
		if !ok {
			return c.failure()
		}
		return finish(r, result)
	case <-ctx.Done():
		c.forget(id)
		return ctx.Err()
	}
}

func finish(r reply, result any) error {
	if r.Error != nil {
		return r.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	return nil
}

func (c *Client) register() (uint64, chan reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	c.last++
	answer := make(chan reply, 1)
	c.calls[c.last] = answer
	return c.last, answer, nil
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

func (c *Client) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.conn.Write(b)
	return err
}

func (c *Client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return ErrGone
}

// read hands answers to their calls until the connection ends.
func (c *Client) read() {
	r := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			c.fail(ErrGone)
			return
		}
		var rep reply
		if err := json.Unmarshal(line, &rep); err != nil {
			c.fail(fmt.Errorf("what answers there is no zinit: %w", err))
			return
		}
		switch {
		case rep.Method != "":
			select {
			case c.notes <- Notification{rep.Method, rep.Params}:
			case <-c.closed:
			}
		case rep.ID == 0 && rep.Error != nil: // turned away before a call was read
			c.fail(rep.Error)
			return
		default:
			c.hand(rep)
		}
	}
}

func (c *Client) hand(rep reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer, ok := c.calls[rep.ID]; ok {
		answer <- rep
		delete(c.calls, rep.ID)
	}
}

// fail ends every call that waits, and every later one.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for id, answer := range c.calls {
		close(answer)
		delete(c.calls, id)
	}
	c.conn.Close()
	close(c.notes)
}
