package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// However eager a subscription is, its answer comes first: a reader must know the
// number before it is used.
func TestTheAnswerComesBeforeTheFirstNotification(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	for range 50 {
		w := connect(t, path)
		w.send(`{"jsonrpc":"2.0","id":1,"method":"count","params":[3]}` + "\n")
		w.want(`{"jsonrpc":"2.0","id":1,"result":{"subscription":1}}`)
		for n := 1; n <= 3; n++ {
			w.want(fmt.Sprintf(`{"jsonrpc":"2.0","method":"number","params":{"n":%d,"subscription":1}}`, n))
		}
		w.Close()
	}
}

func TestAnUnsubscribedFollowerIsToldNothingMore(t *testing.T) {
	t.Parallel()
	tell, ended := make(chan int), make(chan bool, 1)
	methods := []Method{{Name: "follow", Access: Read, Handler: func(c *Call) (any, error) {
		return c.Subscribe(func(ctx context.Context, id uint64) {
			defer func() { ended <- true }()
			for {
				select {
				case n := <-tell:
					c.Notify("n", n)
				case <-ctx.Done():
					return
				}
			}
		})
	}}}
	_, path := begin(t, methods, Options{Policy: mine()}, nil)
	w := connect(t, path)
	w.send(`{"jsonrpc":"2.0","id":1,"method":"follow"}` + "\n")
	w.want(`{"jsonrpc":"2.0","id":1,"result":{"subscription":1}}`)
	tell <- 1
	w.want(`{"jsonrpc":"2.0","method":"n","params":1}`)
	w.send(`{"jsonrpc":"2.0","id":2,"method":"rpc.unsubscribe","params":[1]}` + "\n")
	w.want(`{"jsonrpc":"2.0","id":2,"result":{"ok":true}}`)
	<-ended
}

func TestFollowersOfOneConnectionAreBounded(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine()}, nil)
	w := connect(t, path)
	follow := `{"jsonrpc":"2.0","id":1,"method":"count","params":[0]}` + "\n"
	w.send(strings.Repeat(follow, MaxWaiting))
	for i := 1; i <= MaxWaiting; i++ {
		w.want(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"subscription":%d}}`, i))
	}
	w.send(follow)
	w.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32025,…}}`)
	w.send(`{"jsonrpc":"2.0","id":2,"method":"rpc.unsubscribe","params":[5]}` + "\n" + follow)
	w.want(`{"jsonrpc":"2.0","id":2,"result":{"ok":true}}`, `{"jsonrpc":"2.0","id":1,"result":{"subscription":33}}`)
}

// Nobody waits for a slow reader: it is cut off, and the follower ends.
func TestAFollowerThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	methods := []Method{{Name: "flood", Access: Read, Handler: func(c *Call) (any, error) {
		return c.Subscribe(func(ctx context.Context, id uint64) {
			for {
				if err := c.Notify("n", strings.Repeat("x", 4096)); err != nil {
					ended <- err
					return
				}
			}
		})
	}}}
	_, path := begin(t, methods, Options{Policy: mine()}, func(s *Server) { s.writeBy = 50 * time.Millisecond })
	w := connect(t, path)
	w.send(`{"jsonrpc":"2.0","id":1,"method":"flood"}` + "\n")
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the follower goes on")
	}
}

// Close ends what waits and what follows, and returns when all has ended.
func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	s, path := begin(t, table(), Options{Policy: mine()}, nil)
	w := connect(t, path)
	w.send(`{"jsonrpc":"2.0","id":1,"method":"count","params":[0]}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"never"}` + "\n" +
		`[{"jsonrpc":"2.0","id":3,"method":"never"}]` + "\n" + ping)
	w.want(`{"jsonrpc":"2.0","id":1,"result":{"subscription":1}}`, pong)
	s.Close()
	w.end()
}
