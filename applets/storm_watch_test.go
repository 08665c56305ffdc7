package applets_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// transition is one event as zinit tells it.
type transition struct {
	Seq    uint64 `json:"seq"`
	Name   string `json:"name"`
	To     string `json:"to"`
	Run    uint64 `json:"run"`
	PID    int    `json:"pid"`
	Reason string `json:"reason"`
	Missed uint64 `json:"missed"`
}

// watch begins everything that looks on: one that connects every 5 ms, one
// that follows the events, one that reads the witness file and /proc.
func (s *storm) watch() {
	s.beside(s.probe)
	s.beside(func() {
		for !closed(s.stop) {
			s.follow("events.subscribe", named{"after": s.lastEvent()}, s.stop, s.event)
		}
	})
	s.beside(s.sample)
}

// refusedBy reports whether an error means that nobody would be reached: what
// must never happen as long as the keeper lives.
func refusedBy(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EAGAIN)
}

// ask makes a call until it is answered. One that a kill cuts off is made
// again, as it was: a token makes that harmless.
func (s *storm) ask(method string, params named, result any) error {
	begin := time.Now()
	for {
		err := s.call(method, params, result)
		var answer *rpcError
		switch {
		case err == nil || errors.As(err, &answer):
			s.asked.Add(1)
			for took, most := int64(time.Since(begin)), s.longest.Load(); took > most && !s.longest.CompareAndSwap(most, took); most = s.longest.Load() {
			}
			return err
		case refusedBy(err):
			s.fault("connections refused", "%s: %v", method, err)
		default:
			s.cut.Add(1)
		}
		if time.Since(begin) > 2*time.Minute {
			return fmt.Errorf("%s %v: no answer in two minutes: %w", method, params, err)
		}
	}
}

// probe connects every 5 ms, or as soon as the last call was answered.
func (s *storm) probe() {
	for s.pause(5 * time.Millisecond) {
		if err := s.ask("system.ping", nil, nil); err != nil {
			s.fault("calls that failed", "ping: %v", err)
		}
	}
}

// follow subscribes and hands on each notification until the connection ends,
// stop is closed or each returns false.
func (s *storm) follow(method string, params any, stop <-chan struct{}, each func(json.RawMessage) bool) {
	c, err := net.Dial("unix", s.sock)
	if err != nil {
		if refusedBy(err) {
			s.fault("connections refused", "%s: %v", method, err)
		}
		return
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-stop:
		case <-over:
		}
		c.Close()
	}()
	line, err := json.Marshal(named{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		s.fault("calls that failed", "%v", err)
		return
	}
	if _, err := c.Write(append(line, '\n')); err != nil {
		return
	}
	r := bufio.NewReaderSize(c, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return // what came without its end does not count
		}
		var msg struct {
			Error  *rpcError       `json:"error"`
			Params json.RawMessage `json:"params"`
		}
		if err := json.Unmarshal(line, &msg); err != nil || msg.Error != nil {
			s.fault("calls that failed", "%s: %v %v in %.200q", method, err, msg.Error, line)
			return
		}
		if msg.Params != nil && !each(msg.Params) {
			return
		}
	}
}

func (s *storm) lastEvent() uint64 {
	if len(s.events) == 0 {
		return 0
	}
	return s.events[len(s.events)-1].Seq
}

// event takes one transition. Their numbers follow each other, whichever
// server tells them.
func (s *storm) event(raw json.RawMessage) bool {
	var tr transition
	if err := json.Unmarshal(raw, &tr); err != nil {
		s.fault("calls that failed", "event %s: %v", raw, err)
		return true
	}
	if last := s.lastEvent(); tr.Seq != last+1 || tr.Missed != 0 {
		s.fault("events missing or repeated", "%d came after %d, %d missed", tr.Seq, last, tr.Missed)
	}
	s.events = append(s.events, tr)
	return true
}

// catchUp reads the events that are still to come. Nothing happens any more.
func (s *storm) catchUp() {
	var list []transition
	s.mustCall("events.list", named{"after": s.lastEvent()}, &list)
	for i := range list {
		raw, _ := json.Marshal(list[i])
		s.event(raw)
	}
}

// sample looks, ten times a second, whether two processes of one service
// live.
func (s *storm) sample() {
	var read int64
	living := map[string][]proc{}
	for s.pause(100 * time.Millisecond) {
		s.samples.Add(1)
		text, n := s.newRecords(read)
		read += n
		records, err := parseRecords(text)
		if err != nil {
			s.fault("damaged records", "%v", err)
		}
		for _, r := range records {
			if r.kind == "START" {
				living[r.name] = append(living[r.name], r.proc)
			}
		}
		for name, list := range living {
			var now []proc
			for _, p := range list {
				if p.alive() {
					now = append(now, p)
				}
			}
			if living[name] = now; len(now) > 1 {
				s.fault("two processes of one service", "%s: %v", name, now)
			}
		}
	}
}

// newRecords returns whole lines of the witness file from an offset on.
func (s *storm) newRecords(from int64) (string, int64) {
	f, err := os.Open(s.wit)
	if err != nil {
		return "", 0
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() <= from {
		return "", 0
	}
	b := make([]byte, st.Size()-from)
	n, _ := f.ReadAt(b, from)
	end := strings.LastIndexByte(string(b[:n]), '\n') + 1
	return string(b[:end]), int64(end)
}

// told counts an order to start name, and returns how many there were.
func (s *storm) told(name string) int64 {
	n, _ := s.acts.LoadOrStore(name, &atomic.Int64{})
	return n.(*atomic.Int64).Add(1)
}

// arrived waits until the witness of this run is there.
func (s *storm) arrived(name string, run int64) error {
	path := filepath.Join(s.dir, "tally", fmt.Sprintf("%s.%d", name, run))
	return until(90*time.Second, fmt.Sprintf("run %d of %s", run, name), func() error {
		_, err := os.Stat(path)
		return err
	})
}
