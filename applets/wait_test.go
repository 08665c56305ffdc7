package applets_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"
)

// final is an error that waiting does not mend.
type final struct{ error }

// until calls f until it returns nil, and gives its last error when the time
// is over. There is no other waiting in these tests.
func until(within time.Duration, what string, f func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		var end final
		if errors.As(err, &end) {
			return fmt.Errorf("waiting for %s: %w", what, end.error)
		}
		select {
		case <-deadline:
			return fmt.Errorf("waited %v for %s: %w", within, what, err)
		case <-tick.C:
		}
	}
}

// await is until for a test: the failure ends it.
func (b *bed) await(what string, f func() error) {
	if err := until(90*time.Second, what, f); err != nil {
		b.t.Fatalf("%v", err)
	}
}

// throughout calls f again and again for so long; the first error ends the
// test. It is for what must not happen.
func (b *bed) throughout(d time.Duration, what string, f func() error) {
	deadline := time.After(d)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := f(); err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

// said collects output that a program writes while a test reads it.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
