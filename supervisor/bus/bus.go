// Package bus tells news to whoever listens, inside one process.
//
// Words: a publisher says something once; a subscriber has a buffer of its
// own, of a size it chose.
//
// Promises:
//
//   - Order. Every subscriber sees what it gets in the order of publishing,
//     and that order is the same for all, however many publishers there are.
//   - Nobody waits. Publish never blocks. When a subscriber's buffer is full
//     the message is left out for that subscriber alone and counted: Missed.
//     What it does get is still in order.
//   - The end. After Close, of a subscription or of the bus, what is in the
//     buffer can still be read, then the channel is closed.
//
// A message is shared by all subscribers: it must not be changed.
package bus

import (
	"sync"
	"sync/atomic"
)

// Bus carries messages of one type. The zero value is ready for use; a Bus
// must not be copied. All methods are safe for many callers.
type Bus[T any] struct {
	mu     sync.Mutex // held while one message is put into all buffers, so that the order is one
	subs   []*Subscription[T]
	closed bool
}

// Subscription is one listener's end of a Bus.
type Subscription[T any] struct {
	// C gives the messages in order. It is closed after Close.
	C <-chan T

	bus    *Bus[T]
	in     chan T
	missed atomic.Uint64
}

// Subscribe adds a listener that gets everything published from now on, and
// keeps up to buffer messages for it; less than one is taken as one. On a
// closed bus the subscription is closed from the start.
func (b *Bus[T]) Subscribe(buffer int) *Subscription[T] {
	in := make(chan T, max(buffer, 1))
	s := &Subscription[T]{C: in, bus: b, in: in}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(in)
		return s
	}
	b.subs = append(b.subs, s)
	return s
}

// Publish gives v to every subscriber that has room for it, and counts it as
// missed for the others. It never blocks. On a closed bus it does nothing.
func (b *Bus[T]) Publish(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		select {
		case s.in <- v:
		default:
			s.missed.Add(1)
		}
	}
}

// Close ends every subscription. Closing again does nothing.
func (b *Bus[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		close(s.in)
	}
	b.subs, b.closed = nil, true
}

// Missed returns how many messages found the buffer full since Subscribe.
func (s *Subscription[T]) Missed() uint64 { return s.missed.Load() }

// Close ends the subscription. Closing again, or after the bus, does nothing.
func (s *Subscription[T]) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for i, other := range s.bus.subs {
		if other == s {
			s.bus.subs = append(s.bus.subs[:i:i], s.bus.subs[i+1:]...)
			close(s.in)
			return
		}
	}
}
