package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/state"
)

// Without cgroups, a process that left the group of its service in a session of its
// own is found by what it inherited: it descends from zinit and its environment
// names the service and the run. It is looked for when the group of a run that was
// stopped is gone, by a goroutine, for all stops of a moment at once; until none is
// found the stop is not over. A stray gets the stop signal, and SIGKILL when the
// service does. It is best effort: who has given itself another environment is not
// found before zinit ends, and a run that ends by itself leaves its strays alone.

// The pause between two looks at those that were found: it doubles while they do
// nothing, and is the least again when one has got a signal.
const (
	strayPause = 10 * time.Millisecond
	strayAgain = 320 * time.Millisecond
)

// sweep looks for strays of runs that were stopped.
type sweep struct {
	mu    sync.Mutex
	runs  []deadRun // still to be looked for
	going bool
}

// deadRun is a run whose process group is gone.
type deadRun struct {
	name string
	run  uint64
	sig  unix.Signal
}

// strayed reports whether the latest run of sv, which is being stopped, may have
// left somebody outside of its group. If so its end is told, by goneNow, when nobody
// is left any more. The lock is held.
func (s *Supervisor) strayed(sv *service) bool {
	if s.opt.Proc != procRoot || s.keeperPID <= 0 || sv.rt.State != state.Stopping || sv.rt.Live || sv.rt.Run == 0 || sv.cur.Target ||
		sv.group.swept == sv.rt.Run || s.ending != nil { // at the end the keeper ends all that is left
		return false
	}
	r := deadRun{sv.name, sv.rt.Run, sv.cur.StopSignal}
	w := &s.sweep
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.runs, r) {
		w.runs = append(w.runs, r)
	}
	if !w.going {
		w.going = true
		go s.sweepAll()
	}
	return true
}

// sweepAll goes on as long as there is something to look for.
func (s *Supervisor) sweepAll() {
	told, pause := map[int]unix.Signal{}, strayPause
	for {
		w := &s.sweep
		w.mu.Lock()
		runs := slices.Clone(w.runs)
		w.going = len(runs) > 0
		w.mu.Unlock()
		if len(runs) == 0 {
			return
		}
		any, acted := s.sweepOnce(runs, told)
		if acted {
			pause = strayPause
		}
		if any {
			time.Sleep(pause)
			pause = min(2*pause, strayAgain)
		}
	}
}

// sweepOnce looks for strays once and ends those it finds. The runs that have none
// are done with. told is which signal each had last.
func (s *Supervisor) sweepOnce(runs []deadRun, told map[int]unix.Signal) (any, acted bool) {
	left := map[deadRun][]Process{}
	for _, st := range s.strays(runs) {
		sig, killed, stopping := st.sig, false, false
		if killed, stopping = s.stopOf(st.deadRun); killed {
			sig = unix.SIGKILL
		}
		if stopping && told[st.PID] != sig {
			if told[st.PID] == 0 {
				s.say(LevelWarn, "%s: pid %d of run %d had left its process group; ending it", st.name, st.PID, st.run)
			}
			unix.PidfdSendSignal(st.pidfd, sig, nil, 0)
			unix.PidfdSendSignal(st.pidfd, unix.SIGCONT, nil, 0)
			told[st.PID], acted = sig, true
		}
		unix.Close(st.pidfd)
		left[st.deadRun] = append(left[st.deadRun], st.Process)
	}
	for _, r := range runs {
		s.swept(r, drawLeft(byPID(left[r])))
	}
	return len(left) > 0, acted
}

// stopOf reports whether a run is still being stopped, and whether by SIGKILL.
func (s *Supervisor) stopOf(r deadRun) (killed, stopping bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[r.name]
	if sv == nil || sv.rt.Run != r.run || sv.rt.State != state.Stopping {
		return false, false
	}
	return sv.rt.Killed, true
}

// swept notes who is left of a run, "" for nobody: then its stop goes on.
func (s *Supervisor) swept(r deadRun, left string) {
	s.mu.Lock()
	sv := s.services[r.name]
	over := sv == nil || sv.rt.Run != r.run || sv.rt.State != state.Stopping || left == ""
	if sv != nil && sv.rt.Run == r.run {
		sv.group.left = left
		if over {
			sv.group.swept = r.run
		}
	}
	s.mu.Unlock()
	if !over {
		return
	}
	s.sweep.mu.Lock()
	s.sweep.runs = slices.DeleteFunc(s.sweep.runs, func(o deadRun) bool { return o == r })
	s.sweep.mu.Unlock()
	s.later(func() { s.goneNow(r) })
}

// mayStray holds back the news that the group of a run is gone while somebody of the
// run may be outside of it. It stays unacknowledged, for a successor.
func (s *Supervisor) mayStray(ev keeper.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[ev.Tag]
	return sv != nil && sv.rt.Run == ev.Run && s.groups.tree == nil && s.strayed(sv)
}

// goneNow tells what mayStray has held back, or what a predecessor knew before.
func (s *Supervisor) goneNow(r deadRun) {
	s.mu.Lock()
	sv := s.services[r.name]
	known := sv != nil && sv.rt.MainGone
	s.mu.Unlock()
	if known {
		s.groupChanged(r.name)
	} else {
		s.take(news{event: keeper.Event{Kind: keeper.Gone, Tag: r.name, Run: r.run}})
	}
}

// stray is a process that is held so that its number is its own.
type stray struct {
	deadRun
	Process
	pidfd int
}

// strays finds the descendants of the keeper that belong to one of runs.
func (s *Supervisor) strays(runs []deadRun) (list []stray) {
	all, err := s.suspects()
	if err != nil {
		return nil
	}
	for pid, p := range all {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(runs, func(r deadRun) bool { return s.bears(pid, r) })
		if i < 0 {
			unix.Close(fd)
			continue
		}
		p.Name = s.commandOf(p)
		list = append(list, stray{runs[i], p, fd})
	}
	return list
}

// suspects are the processes that may be strays: the keeper's children that are
// nobody's main process, for whoever has outlived its parents is one, and the others
// will be when those above them have ended. Where the kernel does not list children
// they are all descendants of the keeper. Source: proc(5), /proc/PID/task/TID/children.
func (s *Supervisor) suspects() (map[int]Process, error) {
	lists, _ := filepath.Glob(filepath.Join(s.opt.Proc, fmt.Sprint(s.keeperPID), "task", "*", "children"))
	if len(lists) == 0 {
		return s.descendants()
	}
	known := map[int]bool{os.Getpid(): true}
	s.mu.Lock()
	for _, sv := range s.services {
		known[sv.rt.Pid] = true
	}
	s.mu.Unlock()
	found := map[int]Process{}
	for _, name := range lists {
		text, _ := os.ReadFile(name)
		for _, word := range bytes.Fields(text) {
			pid, err := strconv.Atoi(string(word))
			if err != nil || known[pid] {
				continue
			}
			src, err := os.ReadFile(filepath.Join(s.opt.Proc, string(word), "stat"))
			if p, ok := parseStat(src); err == nil && ok && p.State != "Z" && p.State != "X" {
				found[pid] = p
			}
		}
	}
	return found, nil
}

// descendants are the processes below the keeper, less this one.
func (s *Supervisor) descendants() (map[int]Process, error) {
	all, err := processes(s.opt.Proc)
	below := map[int]Process{}
	for pid, p := range all {
		if pid != s.keeperPID && pid != os.Getpid() && p.State != "Z" && descends(all, pid, s.keeperPID) {
			below[pid] = p
		}
	}
	return below, err
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
