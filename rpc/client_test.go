package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// remembered is how many calls wait for their answers.
func remembered(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

func TestManyCallersShareOneClient(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	c := dial(t, path)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 50 {
				want := fmt.Sprint(i, ".", j)
				var got struct{ Text string }
				if err := c.Call(t.Context(), "echo", map[string]string{"text": want}, &got); err != nil || got.Text != want {
					t.Errorf("got %q, %v; want %q", got.Text, err, want)
				}
			}
		})
	}
	wg.Wait()
	if n := remembered(c); n != 0 {
		t.Errorf("%d calls are remembered", n)
	}
}

func TestAnErrorOfTheServerIsAnErrorOfTheCall(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	c := dial(t, path)
	var e *Error
	if err := c.Call(t.Context(), "fail", nil, nil); !errors.As(err, &e) || e.Code != CodeRefused || e.Data.Hint != "do not" {
		t.Errorf("got %v", err)
	}
	var n int
	if err := c.Call(t.Context(), "need", []string{"x"}, &n); err == nil || !strings.HasPrefix(err.Error(), "cannot read the answer") {
		t.Errorf("a boolean was read as a number: %v", err)
	}
	if err := c.Call(t.Context(), "echo", map[string]any{"any": make(chan int)}, nil); err == nil || remembered(c) != 0 {
		t.Errorf("a channel was sent: %v; %d calls are remembered", err, remembered(c))
	}
	if err := c.Call(t.Context(), "echo", nil, nil); err != nil {
		t.Errorf("the client is of no use afterwards: %v", err)
	}
}

// A caller whose patience ends leaves the connection usable.
func TestACancelledCallHurtsNoOther(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	c := dial(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Call(ctx, "never", nil, nil) }()
	until(t, "the call is on its way", func() bool { return remembered(c) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := c.Call(t.Context(), "echo", nil, nil); err != nil {
		t.Error(err)
	}
}

// An end of the connection is ErrGone, for calls under way and for later ones.
func TestAServerThatEndsIsErrGone(t *testing.T) {
	t.Parallel()
	s, path := begin(t, table(), Options{Policy: mine()}, nil)
	c := dial(t, path)
	done := make(chan error)
	go func() { done <- c.Call(t.Context(), "never", nil, nil) }()
	until(t, "the server has the connection", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) == 1 })
	s.stop()
	s.Close()
	if err := <-done; !errors.Is(err, ErrGone) && !errors.As(err, new(*Error)) { // it may have been answered with its context's end
		t.Errorf("the call under way: %v", err)
	}
	if err := c.Call(t.Context(), "echo", nil, nil); !errors.Is(err, ErrGone) {
		t.Errorf("a later call: %v", err)
	}
	if _, open := <-c.Notifications(); open {
		t.Error("notifications go on")
	}
}

// Close ends the client also when nobody takes the notifications.
func TestCloseWithUnreadNotificationsLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	c := dial(t, path)
	if err := c.Call(t.Context(), "count", []int{5000}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the notifications are full", func() bool { return len(c.notes) == cap(c.notes) })
	c.Close()
	c.Close()
	for range c.Notifications() { // closed by the goroutine that reads, when it ends
	}
}

// Something else that answers is named for what it is, and not called again.
func TestWhatIsNoZinitIsNotTakenForOneThatHasEnded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"SSH-2.0-OpenSSH\n", `{"id":"x"}` + "\n", "[]\n"} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprint(c, text)
			c.SetReadDeadline(time.Now().Add(patience))
			c.Read(make([]byte, 4096))
		}()
		err = dial(t, path).Call(t.Context(), "echo", nil, nil)
		if err == nil || errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "no zinit") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Scenario 141, for one: a path that is longer than a socket's may be.
func TestDialSaysWhatIsWrongWithAPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("x", 120))
	if _, err := Dial(t.Context(), long); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has %d bytes and a socket's may have 107", len(long))) {
		t.Errorf("too long: %v", err)
	}
	none := filepath.Join(dir, "none")
	_, err := Dial(t.Context(), none)
	if got := Describe(none, err); got != none+": no such file or directory (no zinit has made it)" {
		t.Errorf("absent: %s", got)
	}
	_, err = Dial(t.Context(), dir)
	if got := Describe(dir, err); got != dir+": it is a directory, no socket" {
		t.Errorf("a directory: %s", got)
	}
	stale := stale(t)
	_, err = Dial(t.Context(), stale)
	if got := Describe(stale, err); got != stale+": connection refused (nobody listens; zinit has ended)" {
		t.Errorf("stale: %s", got)
	}
}
