package applets_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Servers are not only killed but stopped in the middle of whatever they do,
// and continued, or killed while they are stopped, or left until the keeper
// finds that they hang; clients of every kind ask all the while.
func TestStormOfStops(t *testing.T) {
	t.Parallel()
	notShort(t)
	rounds, whole := stormKills(12)
	services, left := 60, 0
	if whole {
		services, rounds, left = 400, rounds/4, 3
	}
	s := newStorm(t, cast(services, 20))
	s.watch()
	s.drive()
	for i := range 4 {
		s.beside(func() { s.questions(i) })
	}
	tails := []*listener{s.tail("steady00"), s.tail("crash00"), s.tail("again00"), s.tail("cycle01")}
	events := s.listen("events", "-f", "--json", "-n", "0")
	s.stops(rounds, left)
	s.calm()
	s.quiet()
	for _, c := range tails {
		s.shown(c)
	}
	s.shownEvents(events)
	s.finish(fmt.Sprintf("storm of stops: %d services × 2 streams × 20 lines/s", services))
}

// stops strikes n servers in turn in every way, and leaves some of them
// stopped.
func (s *storm) stops(n, left int) {
	for i := range n {
		s.respite(i)
		s.pause(moment())
		switch i % 4 {
		case 0:
			s.blow(syscall.SIGKILL)
			s.killed++
			continue
		case 1: // it goes on as if nothing had been
			p := s.blow(syscall.SIGSTOP)
			s.pause(moment())
			_ = syscall.Kill(p.pid, syscall.SIGCONT)
		case 2:
			p := s.blow(syscall.SIGSTOP)
			s.pause(moment())
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		case 3:
			s.blow(syscall.SIGSTOP)
			p := s.blow(syscall.SIGCONT)
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		s.stopped++
	}
	for range left {
		s.pause(3 * time.Second)
		s.leave()
	}
}

// leave stops a server for good. Scenario 165: it is dead before the next one
// begins, so that continuing it does nothing.
func (s *storm) leave() {
	old := s.blow(syscall.SIGSTOP)
	s.stopped++
	err := until(90*time.Second, "the stopped server's successor", func() error {
		if list := s.servers(); len(list) == 1 && list[0] != old {
			return nil
		}
		return errors.New("there is none")
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if old.alive() {
		s.fault("two servers at once", "%v lives beside its successor", old)
	}
	// A command waits half a minute for a server: not for two that hang.
	if err := s.ask("system.ping", nil, nil); err != nil {
		s.t.Fatal(err)
	}
}

// quiet stops everything, so that what is still to be shown has an end.
func (s *storm) quiet() {
	var names []string
	for _, r := range s.cast {
		names = append(names, r.name)
	}
	if err := s.ask("service.stop", named{"names": names, "wait": true}, nil); err != nil {
		s.t.Fatalf("stop everything: %v", err)
	}
}

// listener is a client that follows the log of one service from its beginning.
type listener struct {
	name string
	*exec.Cmd
	said *said
}

func (s *storm) tail(name string) *listener {
	c := s.listen("logs", "-f", "--raw", "-n", "10000000", name)
	c.name = name
	return c
}

// listen starts a client that goes on until the test ends.
func (s *storm) listen(args ...string) *listener {
	c := &listener{Cmd: s.bed.command(args...), said: &said{}}
	c.Stdout, c.Stderr = c.said, c.said
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c
}

// shown waits until a follower has shown the last line of every run, and
// wants each line once.
func (s *storm) shown(c *listener) {
	got := map[string]uint64{}
	read := 0
	err := until(60*time.Second, "every line of "+c.name+" to be shown", func() error {
		text := c.said.String()[read:]
		text = text[:strings.LastIndexByte(text, '\n')+1]
		read += len(text)
		for line := range strings.Lines(text) {
			var run uint64
			var name, stream string
			var n uint64
			if k, err := fmt.Sscanf(line, "%s %d %s %d\n", &name, &run, &stream, &n); k != 4 || err != nil {
				return final{fmt.Errorf("a follower shows %q", line)}
			}
			s.line(c.name, logLine{Service: name, Stream: "std" + stream, Content: strings.TrimSuffix(line, "\n"), Run: run}, got)
		}
		for key, w := range s.tallies(c.name) {
			if got[key] < w.done {
				return fmt.Errorf("%s %s: %d of %d shown", c.name, key, got[key], w.done)
			}
		}
		return nil
	})
	if err != nil {
		s.fault(notShown, "%v", err)
	}
	lines := uint64(0)
	for _, n := range got {
		lines += n
	}
	s.tellRow("lines that a client followed", fmt.Sprintf("%d of %s", lines, c.name))
	if c.ProcessState != nil {
		s.fault("calls that failed", "a follower ended: %v", c.ProcessState)
	}
}

// shownEvents wants each event once from a client that follows.
func (s *storm) shownEvents(c *listener) {
	var list []transition
	s.mustCall("events.list", nil, &list)
	end, last := list[len(list)-1].Seq, uint64(0)
	err := until(60*time.Second, "every event to be shown", func() error {
		last = 0
		for _, line := range bytes.SplitAfter([]byte(c.said.String()), []byte("\n")) {
			var tr transition
			if !bytes.HasSuffix(line, []byte("\n")) {
				break
			}
			if err := json.Unmarshal(line, &tr); err != nil {
				return final{fmt.Errorf("a follower shows %q", line)}
			}
			if last != 0 && tr.Seq != last+1 {
				return final{fmt.Errorf("event %d is shown after %d", tr.Seq, last)}
			}
			last = tr.Seq
		}
		if last < end {
			return fmt.Errorf("%d of %d", last, end)
		}
		return nil
	})
	if err != nil {
		s.fault("events missing or repeated", "a follower: %v", err)
	}
	s.tellRow("events that a client followed", last)
}
