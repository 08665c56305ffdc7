package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Options say who may call, and where trouble is told. The zero value lets only
// root in.
type Options struct {
	Policy  Policy
	Version string            // of the program, for rpc.discover
	Log     func(line string) // one line, must not block; nil: nothing is said
}

// Server answers calls. All methods are safe for many callers.
type Server struct {
	methods map[string]*Method
	list    []Method // by name, for rpc.discover
	opt     Options
	ctx     context.Context
	stop    context.CancelFunc

	finishBy, writeBy time.Duration // FinishBy, WriteBy
	most, reserve     int           // MaxConnections, RootReserve

	mu    sync.Mutex // guards conns
	conns map[*conn]bool
	wait  sync.WaitGroup
}

// NewServer makes a server of a table of methods; rpc.discover and
// rpc.unsubscribe are added to it.
func NewServer(methods []Method, opt Options) *Server {
	s := &Server{methods: map[string]*Method{}, opt: opt, conns: map[*conn]bool{},
		finishBy: FinishBy, writeBy: WriteBy, most: MaxConnections, reserve: RootReserve}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.list = append(slices.Clone(methods), s.discoverMethod(), unsubscribeMethod())
	sort.Slice(s.list, func(i, j int) bool { return s.list[i].Name < s.list[j].Name })
	for i := range s.list {
		s.methods[s.list[i].Name] = &s.list[i]
	}
	return s
}

// Serve answers on l until Close. It closes l.
func (s *Server) Serve(l *net.UnixListener) {
	context.AfterFunc(s.ctx, func() { l.Close() })
	for {
		c, err := l.AcceptUnix()
		switch {
		case s.ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors left, or the peer is gone already
			s.log("cannot accept a connection: " + err.Error())
			time.Sleep(100 * time.Millisecond)
			continue
		}
		s.admit(c)
	}
}

// admit decides by the peer alone, before a byte is read.
func (s *Server) admit(nc *net.UnixConn) {
	c := &conn{s: s, nc: nc}
	peer, err := peerOf(nc)
	switch {
	case err != nil:
		nc.Close()
		return
	case !s.opt.Policy.May(peer, Read):
		c.turnAway(&Error{Code: CodeNotAllowed, Message: "not allowed: this zinit answers root and its own user only",
			Data: &Data{Kind: "not_allowed", Hint: "call as root, or join the group zinit to read"}})
		return
	}
	c.peer = peer
	if !s.enter(c) {
		c.turnAway(Errorf(CodeTooMuch, "too many connections: the most is %d", s.most))
		return
	}
	go func() {
		defer s.leave(c)
		c.serve()
	}()
}

// enter counts c in, unless the house is full.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.most - s.reserve
	if c.peer.UID == 0 {
		most = s.most
	}
	if len(s.conns) >= most || s.ctx.Err() != nil {
		return false
	}
	s.conns[c] = true
	s.wait.Add(1)
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.nc.Close()
	s.wait.Done()
}

// Close ends all connections and waits for their handlers.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

func (s *Server) log(line string) {
	if s.opt.Log != nil {
		s.opt.Log(line)
	}
}

// run calls a handler. A panic costs that call its answer and nothing else.
func (s *Server) run(method string, f func() (any, error)) (result any, err error) {
	defer func() {
		if why := recover(); why != nil {
			s.log(fmt.Sprintf("bug in the rpc method %s: %v", method, why))
			for line := range strings.Lines(string(debug.Stack())) {
				s.log("  " + strings.TrimSpace(line))
			}
			result, err = nil, Errorf(CodeInternal, "internal error; zinit's own log says more")
		}
	}()
	if result, err = f(); err != nil {
		return nil, err
	}
	return result, nil
}
