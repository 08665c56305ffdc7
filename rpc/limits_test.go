package rpc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"echo"}` + "\n"
const pong = `{"jsonrpc":"2.0","id":1,"result":{}}`

func TestALineOfAMegabyteIsTakenAndOneByteMoreIsNot(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	w := connect(t, path)
	head, tail := `{"jsonrpc":"2.0","id":1,"method":"need","params":["`, `"]}`
	fill := strings.Repeat("x", MaxRequest-len(head)-len(tail)-1)
	w.send(head + fill + tail + "\n")
	w.want(`{"jsonrpc":"2.0","id":1,"result":true}`)
	go w.send(head + fill + "x" + tail + "\n" + ping) // the refusal may come before the end of it
	w.want(fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":-32025,"message":"cannot take a request of more than %d bytes"}}`, MaxRequest))
	w.end()
	connect(t, path).exchange()
}

// exchange makes sure that the connection is served.
func (w *wire) exchange() {
	w.t.Helper()
	w.send(ping)
	w.want(pong)
}

// A request that has begun must end in time; silence between two does not count.
func TestASlowSenderIsCutOffAndASilentOneIsNot(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, func(s *Server) { s.finishBy = 50 * time.Millisecond })
	silent, slow := connect(t, path), connect(t, path)
	silent.exchange()
	slow.send(ping + `{"jsonrpc"`)
	slow.want(pong, `{"jsonrpc":"2.0","id":null,"error":{"code":-32025,"message":"cannot wait longer than 50ms for the rest of a request"}}`)
	slow.end()
	silent.exchange() // it has been silent for longer than that
}

// One byte at a time, each in time, is too slow all the same.
func TestTricklingBytesDoesNotProlongARequest(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, func(s *Server) { s.finishBy = 50 * time.Millisecond })
	w := connect(t, path)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for time.Since(begun) < patience {
		if _, err := w.Write([]byte(" ")); err != nil {
			return // cut off
		}
		<-tick.C
	}
	t.Error("the server waited for a line that never ended")
}

// The last places are root's: whoever else fills the house cannot lock it out.
func TestTheLastConnectionsAreKeptForRoot(t *testing.T) {
	t.Parallel()
	s := NewServer(table(), Options{})
	other := func() *conn { return &conn{s: s, peer: Peer{UID: 1000}} }
	for i := range MaxConnections - RootReserve {
		if !s.enter(other()) {
			t.Fatalf("connection %d of another user is refused", i)
		}
	}
	if s.enter(other()) {
		t.Error("another user got one of root's places")
	}
	for i := range RootReserve {
		if !s.enter(&conn{s: s}) {
			t.Errorf("root's connection %d is refused", i)
		}
	}
	if s.enter(&conn{s: s}) {
		t.Errorf("more than %d connections", MaxConnections)
	}
}

func TestAConnectionTooManyIsToldAndAPlaceThatIsFreeIsGiven(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, func(s *Server) { s.most, s.reserve = 2, 0 })
	a, b := connect(t, path), connect(t, path)
	a.exchange()
	b.exchange()
	c := connect(t, path)
	c.want(`{"jsonrpc":"2.0","id":null,"error":{"code":-32025,"message":"too many connections: the most is 2"}}`)
	c.end()
	a.Close()
	until(t, "a place is free", func() bool {
		c := connect(t, path)
		defer c.Close()
		c.Write([]byte(ping))
		line, err := c.r.ReadString('\n')
		return err == nil && line == pong+"\n"
	})
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Calls that were sent without waiting take effect and are answered in order.
func TestPipelinedCallsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	n := 0
	methods := []Method{{Name: "next", Access: Write, Handler: func(*Call) (any, error) { n++; return n, nil }}}
	_, path := begin(t, methods, Options{Policy: mine()}, nil)
	w := connect(t, path)
	var b strings.Builder
	const many = 2000
	for i := 1; i <= many; i++ {
		fmt.Fprintf(&b, `{"jsonrpc":"2.0","id":%d,"method":"next"}`+"\n", i)
	}
	go w.send(b.String())
	for i := 1; i <= many; i++ {
		w.want(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%d}`, i, i))
	}
}

// A call that waits holds up nobody, and there are not arbitrarily many.
func TestWaitingCallsAreOvertakenAndBounded(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	w := connect(t, path)
	w.send(strings.Repeat(`{"jsonrpc":"2.0","id":7,"method":"never"}`+"\n", MaxWaiting))
	w.exchange()
	w.send(`{"jsonrpc":"2.0","id":8,"method":"never"}` + "\n")
	w.want(`{"jsonrpc":"2.0","id":8,"error":{"code":-32025,"message":"cannot wait for more than 32 calls on one connection"}}`)
	w.send(`{"jsonrpc":"2.0","method":"never"}` + "\n") // a notification is not answered for that either
	w.send(`[{"jsonrpc":"2.0","id":9,"method":"never"}]` + "\n")
	w.want(`[{"jsonrpc":"2.0","id":9,"error":{"code":-32025,…}}]`)
}

// Who leaves while a call waits takes the call along, also out of a batch: 200
// abandoned callers leave nothing behind.
func TestAbandonedCallsEnd(t *testing.T) {
	s, path := begin(t, table(), Options{Policy: mine()}, nil)
	before := runtime.NumGoroutine()
	for i := range 200 {
		w := connect(t, path)
		switch i % 3 {
		case 0:
			w.send(`{"jsonrpc":"2.0","id":1,"method":"never"}` + "\n" + ping)
		case 1:
			w.send(`[{"jsonrpc":"2.0","id":1,"method":"never"},{"jsonrpc":"2.0","id":1,"method":"never"}]` + "\n" + ping)
		case 2:
			w.send(`{"jsonrpc":"2.0","id":1,"method":"count","params":[0]}` + "\n" + ping)
			w.want(`{"jsonrpc":"2.0","id":1,"result":{"subscription":1}}`)
		}
		w.want(pong)
		w.Close()
	}
	until(t, "all connections have ended", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0 && runtime.NumGoroutine() <= before+2
	})
}

// A peer that sends and sends and reads nothing is cut off; until then it costs
// its buffers and others do not notice.
func TestANeverReadingPipelinerIsCutOff(t *testing.T) {
	_, path := begin(t, table(), Options{Policy: mine()}, func(s *Server) { s.writeBy = 200 * time.Millisecond })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w, other := connect(t, path), connect(t, path)
	line := []byte(`{"jsonrpc":"2.0","id":1,"method":"echo","params":["` + strings.Repeat("x", 1000) + `"]}` + "\n")
	sent := 0
	for ; sent < 50_000; sent++ {
		if _, err := w.Write(line); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the server neither reads nor hangs up")
			}
			break
		}
		if sent%100 == 0 {
			other.exchange()
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if sent == 50_000 {
		t.Error("50,000 requests were taken from who reads nothing")
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 8<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	other.exchange()
}

// An idle connection does not keep the buffer of a large request.
func TestALargeRequestLeavesNoBufferBehind(t *testing.T) {
	t.Parallel()
	l := newLineReader(slowReader{r: strings.NewReader(strings.Repeat("x", 100<<10) + "\n")}, time.Hour)
	if line, err := l.next(); err != nil || len(line) != 100<<10 {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	l.next()
	if cap(l.line) > keptLine {
		t.Errorf("a buffer of %d bytes is kept", cap(l.line))
	}
}
