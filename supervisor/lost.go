package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"zinit/graph"
)

// orphan is a service whose keeper is gone.
type orphan struct {
	sv    *service
	pid   int
	pidfd int
	by    time.Time // then SIGKILL; zero: not told to stop yet
}

// onLost is the end of the keeper before everything was stopped, in user mode:
// nobody reaps, holds or spawns any more. Everything is ended in order, directly,
// and then this server ends.
func (s *Supervisor) onLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil && s.ending.over {
		return
	}
	if s.ending == nil {
		s.ending = &ending{how: "shutdown", since: s.opt.Now(), scale: 1}
	}
	s.ending.over, s.ending.by = true, 0
	s.say(LevelError, "the keeper (pid %d) is gone; ending every service in order", s.keeperPID)
	var left []*orphan
	for _, name := range s.graph.StopOrder() {
		if sv := s.services[name]; sv != nil && sv.rt.Live && !sv.cur.Target {
			pid := sv.rt.Pid
			if pid == 0 {
				pid = s.untold(sv)
			}
			if o := adopt(sv, pid); o != nil {
				left = append(left, o)
			}
		}
	}
	go func() {
		s.endOrphans(left)
		s.closeGroups()
		s.logs.Close(2 * time.Second) // or nobody hears why it ended
		close(s.ended)
	}()
}

// untold is the main process of a service whose keeper was killed before it could
// say which that is, 0 when there is none.
func (s *Supervisor) untold(sv *service) int {
	all, _ := processes(s.opt.Proc)
	for pid, p := range all {
		if p.session == pid && s.bears(pid, deadRun{name: sv.name, run: sv.rt.Run}) {
			return pid
		}
	}
	return 0
}

// adopt takes hold of a service's process; nil when that is another's by now.
func adopt(sv *service, pid int) *orphan {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	if !isRun(pid, sv.name, sv.rt.Run) {
		unix.Close(fd)
		return nil
	}
	return &orphan{sv: sv, pid: pid, pidfd: fd}
}

// isRun reports whether a process is a run of a service: its environment says so,
// or, where that cannot be read, that it leads a session of its own.
func isRun(pid int, name string, run uint64) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		sid, err := unix.Getsid(pid)
		return err == nil && sid == pid
	}
	vars := bytes.Split(env, []byte{0})
	has := func(text string) bool {
		return slices.ContainsFunc(vars, func(v []byte) bool { return string(v) == text })
	}
	return has("ZINIT_SERVICE="+name) && has(fmt.Sprintf("ZINIT_RUN=%d", run))
}

// endOrphans stops what is left, each after those that need it, and waits for all
// ends.
func (s *Supervisor) endOrphans(left []*orphan) {
	bound := time.Now().Add(s.bound())
	for len(left) > 0 && time.Now().Before(bound) {
		now := time.Now()
		wait := time.Until(bound)
		var polls []unix.PollFd
		for _, o := range left {
			switch {
			case o.by.IsZero() && !s.neededBy(o, left):
				unix.Kill(-o.pid, o.sv.cur.StopSignal)
				unix.Kill(-o.pid, unix.SIGCONT)
				o.by = now.Add(o.sv.cur.StopTimeout)
			case !o.by.IsZero() && now.After(o.by):
				unix.Kill(-o.pid, unix.SIGKILL)
				o.by = now.Add(time.Hour)
			}
			if !o.by.IsZero() {
				wait = min(wait, time.Until(o.by)+time.Millisecond)
			}
			polls = append(polls, unix.PollFd{Fd: int32(o.pidfd), Events: unix.POLLIN})
		}
		unix.Poll(polls, int(max(wait.Milliseconds(), 1)))
		left = slices.DeleteFunc(left, func(o *orphan) bool {
			if unix.PidfdSendSignal(o.pidfd, 0, nil, 0) != unix.ESRCH && !isZombie(o.pid) {
				return false
			}
			unix.Kill(-o.pid, unix.SIGKILL) // what outlived it
			s.endGroup(o.sv.name)
			unix.Close(o.pidfd)
			return true
		})
	}
	for _, o := range left {
		unix.Kill(-o.pid, unix.SIGKILL)
	}
}

// isZombie reports a process that has ended and that its new parent has not
// reaped.
func isZombie(pid int) bool { return kernelState(pid) == "Z" }

// neededBy reports whether something that is left must be stopped before o.
func (s *Supervisor) neededBy(o *orphan, left []*orphan) bool {
	for _, e := range s.graph.In(o.sv.name) {
		if e.Kind == graph.Conflicts || e.Kind == graph.Wants {
			continue
		}
		if slices.ContainsFunc(left, func(d *orphan) bool { return d.sv.name == e.From }) {
			return true
		}
	}
	return false
}
