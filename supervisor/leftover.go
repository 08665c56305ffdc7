package supervisor

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	run, main := sv.rt.Run, cmp.Or(sv.rt.Pid, sv.rt.Last.Pid)
	s.aside(func() {
		text := drawLeft(s.left(sv.name, main))
		s.later(func() { s.nameThem(sv, run, text) })
	})
}

func (s *Supervisor) nameThem(sv *service, run uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" || sv.rt.Run != run || !(sv.rt.State == state.Stopping || sv.rt.Left) {
		return
	}
	sv.group.left = text
	s.say(LevelWarn, "%s: still there: %s", sv.name, text)
}

// left lists who lives of a service whose main process was main.
func (s *Supervisor) left(name string, main int) []Process {
	var list []Process
	for _, p := range s.members(name, main) {
		if p.State != "Z" && p.State != "X" {
			p.Name = s.commandOf(p)
			list = append(list, p)
		}
	}
	return byPID(list)
}

// members lists who is in the cgroup of a service or, where there is none, in the
// process group or session of its main process, in no order.
func (s *Supervisor) members(name string, main int) (list []Process) {
	if s.groups.tree != nil {
		pids, err := s.groups.tree.Pids(name)
		for _, pid := range pids {
			src, err := os.ReadFile(filepath.Join(s.opt.Proc, fmt.Sprint(pid), "stat"))
			if p, ok := parseStat(src); err == nil && ok {
				list = append(list, p)
			}
		}
		if err == nil {
			return list
		}
	}
	all, err := processes(s.opt.Proc)
	if err != nil {
		return nil
	}
	for _, p := range all {
		if main > 1 && (p.group == main || p.session == main) {
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
