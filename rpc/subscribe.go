package rpc

import "context"

// Subscribe runs f, which sends notifications with Notify, until it returns,
// the peer goes, or calls rpc.unsubscribe with the number that is the answer.
// The answer goes out before f's first notification.
func (c *Call) Subscribe(f func(ctx context.Context, id uint64)) (any, error) {
	ctx, cancel := context.WithCancel(c.conn.s.ctx)
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if len(c.conn.subs) >= MaxWaiting {
		cancel()
		return nil, Errorf(CodeTooMuch, "cannot follow more than %d things on one connection", MaxWaiting)
	}
	if c.conn.subs == nil {
		c.conn.subs = map[uint64]context.CancelFunc{}
	}
	c.conn.lastSub++
	id := c.conn.lastSub
	c.conn.subs[id] = cancel
	c.after(func() {
		defer c.conn.unsubscribe(id)
		f(ctx, id)
	})
	return map[string]uint64{"subscription": id}, nil
}

// After runs f once the answer to the call has been handed to the kernel; not at
// all when the peer is gone by then, or the call fails.
func (c *Call) After(f func()) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.after(f)
}

func (c *Call) after(f func()) {
	c.conn.pending = append(c.conn.pending, func() {
		c.conn.s.run(c.Method.Name, func() (any, error) { f(); return nil, nil })
	})
}

// unsubscribe ends a subscription; it reports whether there was one.
func (c *conn) unsubscribe(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, ok := c.subs[id]
	if ok {
		cancel()
		delete(c.subs, id)
	}
	return ok
}

// takePending returns what is to run after the answers, once each.
func (c *conn) takePending() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.pending
	c.pending = nil
	return list
}

// start runs what waited for an answer.
func (c *conn) start(list []func()) {
	for _, f := range list {
		c.s.wait.Go(f)
	}
}

// endSubscriptions cancels all of them, when the peer is gone.
func (c *conn) endSubscriptions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cancel := range c.subs {
		cancel()
	}
}

func unsubscribeMethod() Method {
	return Method{Name: "rpc.unsubscribe", Doc: "Ends a subscription of this connection.", Access: Read,
		Params: []Param{{Name: "subscription", Type: "integer", Required: true, Doc: "the number that the subscription was answered with"}},
		Handler: func(c *Call) (any, error) {
			var p struct {
				Subscription uint64 `json:"subscription"`
			}
			if err := c.Bind(&p); err != nil {
				return nil, err
			}
			if !c.conn.unsubscribe(p.Subscription) {
				return nil, Errorf(CodeInvalidParams, "no subscription %d on this connection", p.Subscription)
			}
			return map[string]bool{"ok": true}, nil
		}}
}
