package supervisor

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/probe"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// What services say of themselves comes by datagrams on a socket each (see
// sd_notify(3)), which the keeper holds. One is taken from its socket only after
// the frame that it led to; so a successor hears what this server has not recorded.

const notifyPrefix = "notify/" // of the held names

// notifyPath makes the socket of a service, or finds the one that it has.
// The lock is held.
func (s *Supervisor) notifyPath(name string) (string, error) {
	if path := s.notifyPaths[name]; path != "" {
		return path, nil
	}
	if s.opt.NotifyDir == "" {
		return "", fmt.Errorf("there is no directory for its notify socket")
	}
	if err := os.MkdirAll(s.opt.NotifyDir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make its notify socket: %w", err)
	}
	fd, path, err := probe.ListenNotify(s.opt.NotifyDir, name)
	if err != nil {
		return "", err
	}
	kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		unix.Close(fd)
		return "", fmt.Errorf("cannot keep its notify socket: %w", err)
	}
	held := notifyPrefix + name
	s.holding[held] = kept
	s.keeper.Hold(held, kept)
	if err := s.hearNotify(name, fd); err != nil {
		return "", err
	}
	s.notifyPaths[name] = path
	return path, nil
}

// hearNotify begins to hear a service's socket.
func (s *Supervisor) hearNotify(name string, fd int) error {
	if s.notify == nil {
		r, err := probe.NewReceiver(s.onNotify)
		if err != nil {
			unix.Close(fd)
			return err
		}
		s.notify = r
	}
	return s.notify.Add(name, fd)
}

// adoptNotify takes over the sockets of a predecessor.
func (s *Supervisor) adoptNotify(held map[string][]int) {
	for name, fds := range held {
		if len(name) <= len(notifyPrefix) || name[:len(notifyPrefix)] != notifyPrefix || len(fds) != 1 {
			continue
		}
		service := name[len(notifyPrefix):]
		if s.services[service] == nil {
			unix.Close(fds[0])
			s.keeper.Drop(name)
			continue
		}
		if err := s.hearNotify(service, fds[0]); err != nil {
			s.say(LevelError, "%v", err)
			continue
		}
		s.notifyPaths[service] = probe.NotifyPath(s.opt.NotifyDir, service)
	}
}

// When a notification is told again that was not taken from its socket.
const (
	unrecorded = time.Second          // it could not be recorded
	unjudged   = 5 * time.Millisecond // whose it is may be known in a moment
)

// onNotify records what a service says. 0: it is done with; else it is to be told
// again after that time.
func (s *Supervisor) onNotify(name string, n probe.Notification) (again time.Duration) {
	refused := ""
	err := s.decide("notification", func(t *turn) error {
		sv := s.services[name]
		if sv == nil || !sv.rt.Live {
			return nil
		}
		uid := sv.rt.UID
		if sv.cur.User == "" {
			uid = os.Geteuid()
		}
		owner := s.ownerOf(n.From.Pid)
		if owner == "" && probe.Session(n.From.Pid) != 0 && s.spawning(t.mono) {
			again = unjudged
			return nil
		}
		if err := probe.Accept(n.From, name, uint32(uid), owner); err != nil {
			refused = err.Error()
			return nil
		}
		t.notified(sv, n.Message)
		return nil
	})
	if refused != "" {
		s.sayRefused(refused)
	}
	if err != nil {
		again = unrecorded
	}
	return again
}

// spawning reports whether the process of some run is yet to be told by the keeper.
// What it sends may come before that. One whose program lies where nobody answers
// has not sent anything. The lock is held.
func (s *Supervisor) spawning(mono int64) bool {
	for _, name := range s.names {
		if rt := &s.services[name].rt; rt.Live && rt.Pid == 0 && mono-rt.SinceMono < int64(time.Second) {
			return true
		}
	}
	return false
}

// sayRefused tells of a refused notification, at most one a second.
func (s *Supervisor) sayRefused(text string) {
	s.mu.Lock()
	now := s.opt.Now()
	s.refusals++
	n, due := s.refusals, now-s.refusedAt > int64(time.Second)
	if due {
		s.refusedAt, s.refusals = now, 0
	}
	s.mu.Unlock()
	if due {
		s.say(LevelWarn, "%s; it was not believed (%d such)", text, n)
	}
}

// ownerOf is the service that a living process belongs to, "" when that is not
// known: the one in whose cgroup it is or, without cgroups, whose main process leads
// its session. The lock is held.
func (s *Supervisor) ownerOf(pid int) string {
	if s.groups.tree != nil {
		if name := s.groups.tree.OwnerOf(pid); name != "" {
			return name
		}
	}
	session := probe.Session(pid)
	if session == 0 {
		return ""
	}
	for _, name := range s.names {
		if sv := s.services[name]; sv.rt.Pid == session {
			return name
		}
	}
	return ""
}

// notified does what a believed notification says.
func (t *turn) notified(sv *service, m probe.Message) {
	next := sv.rt
	if m.HasStatus {
		next.StatusText = m.Status
	}
	if m.Extend > 0 {
		until := t.mono + int64(m.Extend)
		if next.StartBy != 0 {
			next.StartBy = max(next.StartBy, until)
		}
		if next.StopBy != 0 && !next.Killed {
			next.StopBy = max(next.StopBy, until)
		}
	}
	t.touch(sv)
	t.set(sv, next)
	if m.Ready && sv.rt.State == state.Starting && sv.cur.Ready.Kind == spec.Notify {
		t.apply(sv, state.Ready, "said it is ready")
	}
}

// forgetNotify closes the socket of a service that is no more.
func (s *Supervisor) forgetNotify(name string) {
	path := s.notifyPaths[name]
	if path == "" {
		return
	}
	delete(s.notifyPaths, name)
	s.notify.Remove(name)
	s.keeper.Drop(notifyPrefix + name)
	os.Remove(path)
}
