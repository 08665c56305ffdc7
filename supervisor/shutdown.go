package supervisor

import (
	"fmt"
	"time"

	"zinit/graph"
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// hurry is what a second request to stop leaves of every stop timeout.
const hurry = 2 * time.Second

// ending is a shutdown in progress.
type ending struct {
	how    string // shutdown, poweroff, reboot, halt
	since  int64
	by     int64   // CLOCK_MONOTONIC: then all that is left is killed
	scale  float64 // of every stop timeout, so that the longest chain fits
	limit  int64   // of every stop timeout; 0: none
	status int     // exit status of zinit when everything could be stopped
	forced bool    // the bound has passed; SIGKILL was sent to all
	over   bool    // the keeper was told
}

// bound is the time a shutdown may take.
func (s *Supervisor) bound() time.Duration {
	if s.opt.ShutdownTimeout > 0 {
		return s.opt.ShutdownTimeout
	}
	if s.config.Settings.ShutdownTimeout > 0 {
		return s.config.Settings.ShutdownTimeout
	}
	if s.opt.Mode == Container {
		return 10 * time.Second
	}
	return 90 * time.Second
}

// Shutdown stops everything, each service after those that come after it, and
// then tells the keeper to end in the way of how: shutdown, poweroff, reboot or
// halt. It returns at once; Ended tells the end. Asked again it shortens what
// remains of every stop timeout to 2 s.
func (s *Supervisor) Shutdown(how string, by Cause) error {
	if s.opt.Mode == User && (how == "poweroff" || how == "reboot" || how == "halt") {
		return refuse(Refused, "", "zinit shutdown ends this supervisor", "cannot %s: zinit is not PID 1 here", how)
	}
	by.Text = how
	return s.decideBy(by, func(t *turn) error {
		if s.ending != nil {
			t.hasten()
			return nil
		}
		t.end(how, 0, "asked for: "+by.String())
		return nil
	})
}

// hasten is a second request to stop.
func (t *turn) hasten() {
	e, was := t.s.ending, t.s.ending.limit
	t.undoes = append(t.undoes, func() { e.limit = was })
	e.limit = int64(hurry)
	for _, name := range t.s.names {
		sv := t.s.services[name]
		if limit := t.mono + int64(hurry); sv.rt.State == state.Stopping && sv.rt.StopBy > limit {
			next := sv.rt
			next.StopBy = limit
			t.touch(sv)
			t.set(sv, next)
		}
	}
}

func (t *turn) stopEverything() {
	var all []*service
	for _, name := range t.s.names {
		all = append(all, t.s.services[name])
	}
	t.takeDown(all, nil, false)
}

// stopTimeout is how long sv has before SIGKILL.
func (s *Supervisor) stopTimeout(sv *service) int64 {
	d := int64(sv.spec.StopTimeout)
	if sv.cur != nil {
		d = int64(sv.cur.StopTimeout)
	}
	if s.ending == nil {
		return d
	}
	d = int64(float64(d) * s.ending.scale)
	if s.ending.limit > 0 {
		d = min(d, s.ending.limit)
	}
	return d
}

// forced says why services have less time to stop than their files give them;
// "" when they have it. The lock is held.
func (s *Supervisor) forced() string {
	switch e := s.ending; {
	case e == nil:
		return ""
	case e.forced:
		return "; forced: the shutdown has reached its bound"
	case e.limit > 0:
		return fmt.Sprintf("; forced: asked again, the shutdown leaves %s for each stop", hurry)
	case e.scale < 1:
		return fmt.Sprintf("; forced: the shutdown has %.0f %% of the stop timeouts", e.scale*100)
	}
	return ""
}

// longestChain is the longest sum of stop timeouts along one order of stops,
// in nanoseconds.
func (s *Supervisor) longestChain() int64 {
	longest := int64(0)
	sum := make(map[string]int64, len(s.services))
	for _, name := range s.graph.StopOrder() {
		sv := s.services[name]
		if sv == nil || sv.cur.Target || !sv.rt.Alive() {
			continue
		}
		before := int64(0)
		for _, e := range s.graph.In(name) {
			if e.Kind != graph.Conflicts && e.Kind != graph.Wants {
				before = max(before, sum[e.From])
			}
		}
		times := int64(1)
		for _, c := range []spec.Command{sv.cur.StopExec, sv.cur.PostExec} {
			if c.Given() {
				times++ // it has the whole timeout for itself
			}
		}
		sum[name] = before + times*int64(sv.spec.StopTimeout)
		longest = max(longest, sum[name])
	}
	return longest
}

// fireEnding ends a shutdown that has reached its bound.
func (s *Supervisor) fireEnding(now int64) {
	s.mu.Lock()
	e := s.ending
	due := e != nil && e.by != 0 && e.by <= now && !e.over
	s.mu.Unlock()
	if !due {
		return
	}
	if e.forced {
		s.say(LevelError, "something could not be stopped; leaving it to the final sweep")
		s.mu.Lock()
		s.finish(statusStuck)
		s.mu.Unlock()
		return
	}
	s.say(LevelWarn, "the shutdown has reached its bound; killing what is left")
	err := s.decide("shutdown bound", func(t *turn) error {
		was := *e
		t.undoes = append(t.undoes, func() { *e = was; e.by = now + int64(time.Second) })
		e.forced, e.by = true, now+killGrace
		for _, name := range s.names {
			sv := s.services[name]
			if !sv.rt.Live && !sv.rt.Left {
				continue
			}
			t.touch(sv)
			if sv.rt.Queued {
				t.apply(sv, state.Stop, "")
			}
			if sv.rt.State == state.Stopping && !sv.rt.Killed {
				t.apply(sv, state.StopTimeout, "")
			}
		}
		return nil
	})
	if err != nil {
		s.say(LevelError, "cannot kill what is left: %v; trying again in 1 s", err)
	}
}

// endIfStopped tells the keeper when a shutdown has nothing left to stop. The
// lock is held.
func (s *Supervisor) endIfStopped() {
	if s.ending != nil && !s.ending.over && s.alive == 0 {
		s.finish(s.ending.status)
	}
}

// finish ends the server's part. The lock is held.
func (s *Supervisor) finish(status int) {
	e := s.ending
	e.over, e.by = true, 0
	s.say(LevelInfo, "everything is stopped, after %s", short(s.opt.Now()-e.since))
	go func() {
		s.closeGroups()
		s.logs.Close(2 * time.Second)
		s.keeper.End(keeper.End{How: endHow(e.how), Status: status})
		close(s.ended)
	}()
}

// words name the ways to end, as callers ask for them.
var words = [...]struct {
	word string
	how  keeper.Asking
}{{"shutdown", keeper.Stop}, {"poweroff", keeper.PowerOff}, {"reboot", keeper.Reboot}, {"halt", keeper.Halt}}

func shutdownWord(a keeper.Asking) string {
	for _, w := range words {
		if w.how == a {
			return w.word
		}
	}
	return "shutdown"
}

func endHow(word string) keeper.Asking {
	for _, w := range words {
		if w.word == word {
			return w.how
		}
	}
	return keeper.Stop
}
