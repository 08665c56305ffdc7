package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Without cgroups, a process that left the group of its service in a session of its
// own is found by what it inherited: it descends from zinit and its environment
// names the service and the run. That is looked for when a stop is over, by a
// goroutine, for all stops of a moment at once. A stray gets the stop signal, and
// SIGKILL at the stop timeout. It is best effort: the service counts as stopped
// before, who has given itself another environment is not found before zinit ends,
// and a run that ends by itself leaves its strays alone.

// strayPause is how long stops are gathered before /proc is read for them.
const strayPause = 100 * time.Millisecond

// sweep looks for strays of runs that were stopped.
type sweep struct {
	mu    sync.Mutex
	runs  []deadRun // still to be looked for
	going bool
}

// deadRun is a run whose process group is gone.
type deadRun struct {
	name    string
	run     uint64
	sig     unix.Signal
	timeout time.Duration
}

// sweepStrays looks, after the turn, for what the latest run of sv has left outside
// of its group, now that it has been stopped.
func (t *turn) sweepStrays(sv *service) {
	s := t.s
	if s.groups.tree != nil || s.opt.Proc != procRoot || sv.rt.Run == 0 || sv.cur.Target || s.ending != nil { // at the end the keeper ends all that is left
		return
	}
	r := deadRun{sv.name, sv.rt.Run, sv.cur.StopSignal, sv.cur.StopTimeout}
	t.act(func() { s.sweepFor(r) })
}

func (s *Supervisor) sweepFor(r deadRun) {
	w := &s.sweep
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, r)
	if !w.going {
		w.going = true
		go s.sweepAll()
	}
}

// sweepAll goes on as long as there is something to look for.
func (s *Supervisor) sweepAll() {
	for {
		time.Sleep(strayPause)
		w := &s.sweep
		w.mu.Lock()
		runs := w.runs
		w.runs, w.going = nil, len(runs) > 0
		w.mu.Unlock()
		if len(runs) == 0 {
			return
		}
		for _, st := range s.strays(runs) {
			if s.lives(st.deadRun) {
				unix.Close(st.pidfd)
				continue
			}
			s.say(LevelWarn, "%s: pid %d of run %d had left its process group; ending it", st.name, st.pid, st.run)
			go endStray(st)
		}
	}
}

// stray is a process that is held so that its number is its own.
type stray struct {
	deadRun
	pid, pidfd int
}

// lives reports whether a run has come again: the runs of a service that was
// removed and added count from one.
func (s *Supervisor) lives(r deadRun) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[r.name]
	return sv != nil && sv.rt.Run == r.run && sv.rt.Live
}

// strays finds the descendants of the keeper that belong to one of runs.
func (s *Supervisor) strays(runs []deadRun) (list []stray) {
	all, err := processes(s.opt.Proc)
	if err != nil || s.keeperPID <= 0 { // below nobody are all
		return nil
	}
	for pid := range all {
		if !descends(all, pid, s.keeperPID) || pid == s.keeperPID || pid == os.Getpid() {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(runs, func(r deadRun) bool { return s.bears(pid, r) })
		if i < 0 {
			unix.Close(fd)
			continue
		}
		list = append(list, stray{runs[i], pid, fd})
	}
	return list
}

// descends reports whether keeper is above a process.
func descends(all map[int]Process, pid, keeper int) bool {
	for range len(all) {
		p, ok := all[pid]
		if !ok {
			return false
		}
		if p.ParentPID == keeper {
			return true
		}
		pid = p.ParentPID
	}
	return false
}

// bears reports whether the environment of a process names a run of ours. A zinit
// inside of ours has services too: they name its socket or, where it is PID 1, are in
// another pid namespace.
func (s *Supervisor) bears(pid int, r deadRun) bool {
	src, err := os.ReadFile(filepath.Join(s.opt.Proc, fmt.Sprint(pid), "environ"))
	if err != nil {
		return false
	}
	vars := map[string]string{}
	for v := range bytes.SplitSeq(src, []byte{0}) {
		if key, value, ok := bytes.Cut(v, []byte{'='}); ok && bytes.HasPrefix(key, []byte("ZINIT_")) {
			vars[string(key)] = string(value)
		}
	}
	return vars["ZINIT_SERVICE"] == r.name && vars["ZINIT_RUN"] == fmt.Sprint(r.run) && vars["ZINIT_SOCKET"] == s.opt.Socket &&
		(s.opt.Socket != "" || s.pidSpace(fmt.Sprint(pid)) == s.pidSpace("self"))
}

// pidSpace names the pid namespace of a process.
func (s *Supervisor) pidSpace(pid string) string {
	name, _ := os.Readlink(filepath.Join(s.opt.Proc, pid, "ns", "pid"))
	return name
}

// endStray ends one, in the way of its service.
func endStray(st stray) {
	defer unix.Close(st.pidfd)
	unix.PidfdSendSignal(st.pidfd, st.sig, nil, 0)
	unix.PidfdSendSignal(st.pidfd, unix.SIGCONT, nil, 0)
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(st.pidfd), Events: unix.POLLIN}}, int(st.timeout.Milliseconds()))
	if n == 0 {
		unix.PidfdSendSignal(st.pidfd, unix.SIGKILL, nil, 0)
	}
}
