package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zinit/supervisor/state"
)

// Half way to SIGKILL, who is left of a service is named: in zinit's log, and as
// part of the reason.

// leftoversShown is how many are named.
const leftoversShown = 5

// halfWay sets when that is.
func (t *turn) halfWay(next *state.Service, timeout int64) { next.LookBy = t.mono + timeout/2 }

// nameLeft looks, while nobody waits, at who is left of the latest run of sv.
// The lock is held.
func (s *Supervisor) nameLeft(sv *service) {
	run, r := sv.rt.Run, rootsOf(sv)
	s.aside(func() {
		text := drawLeft(s.left(sv.name, r))
		s.later(func() { s.nameThem(sv, run, text) })
	})
}

// seenBy bounds the look for who asks about one service.
const seenBy = 500 * time.Millisecond

// see looks at who is left of a service, or runs for it as a hook, for who asks
// about that one. The lock is not held.
func (s *Supervisor) see(name string) {
	s.mu.Lock()
	sv := s.services[name]
	if sv == nil || !sv.lingers() {
		s.mu.Unlock()
		return
	}
	seq, r := sv.rt.Seq, rootsOf(sv)
	s.mu.Unlock()
	seen := make(chan struct{})
	s.aside(func() {
		text := drawLeft(s.left(name, r))
		s.mu.Lock()
		defer s.mu.Unlock()
		if sv.rt.Seq == seq && sv.lingers() {
			sv.group.left = text
		}
		close(seen)
	})
	select {
	case <-seen:
	case <-time.After(seenBy):
	}
}

// lingers reports whether there may be processes of sv beside those of a run that
// is as wanted.
func (sv *service) lingers() bool {
	return sv.rt.Left || sv.rt.Hook != state.NoHook || sv.rt.State == state.Stopping
}

func (s *Supervisor) nameThem(sv *service, run uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" || sv.rt.Run != run || !sv.lingers() {
		return
	}
	sv.group.left = text
	s.say(LevelWarn, "%s: still there: %s", sv.name, text)
}

// left lists who lives of a service whose main process was main.
func (s *Supervisor) left(name string, r roots) []Process {
	all, err := processes(s.opt.Proc)
	if err != nil {
		return nil
	}
	var list []Process
	for _, p := range s.belong(all, name, r) {
		if p.State != "Z" && p.State != "X" {
			p.Name = s.commandOf(p)
			list = append(list, p)
		}
	}
	return list
}

// commandOf is what a process was started as, in one line that fits others.
func (s *Supervisor) commandOf(p Process) string {
	src, err := os.ReadFile(filepath.Join(s.opt.Proc, fmt.Sprint(p.PID), "cmdline"))
	text := strings.TrimSpace(strings.ReplaceAll(string(src), "\x00", " "))
	if err != nil || text == "" {
		return "[" + p.Name + "]"
	}
	return shortened(text, 60)
}

// shortened cuts a text to at most n characters, and keeps it on one line.
func shortened(text string, n int) string {
	line := []rune(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " "))
	if len(line) > n {
		return string(line[:n-1]) + "…"
	}
	return string(line)
}

func drawLeft(list []Process) string {
	var parts []string
	for i, p := range list {
		if i == leftoversShown {
			parts = append(parts, fmt.Sprintf("%d more", len(list)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("pid %d %s (%s)", p.PID, p.Name, p.State))
	}
	return strings.Join(parts, ", ")
}

// lookAgain is the time to look: at who is left.
func (t *turn) lookAgain(sv *service) {
	next := sv.rt
	next.LookBy = 0
	t.set(sv, next)
	if sv.rt.State == state.Stopping || sv.rt.Left {
		t.act(func() { t.s.nameLeft(sv) })
	}
}
