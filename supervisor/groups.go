package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/cgroup"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// A service that has a cgroup is gone when its process group is gone, which the
// keeper tells, and nobody living is in the cgroup. Which comes last does not
// matter: at the former the cgroup is looked at, and what is found there is
// remembered as rt.MainGone and watched; at every note of the kernel that it has
// become empty, and in a successor, a service with MainGone is looked at again. The
// watch is older than the last look, so no note is missed between the two. Runs that
// leave nobody behind, nearly all, are never watched.

// groups is what a supervisor has of cgroups.
type groups struct {
	tree    *cgroup.Tree // nil: there is none
	why     error        // why there is none
	watch   *cgroup.Watcher
	missing map[string]error // controllers that services do not have
}

// grouped is what is known of the cgroup of one service.
type grouped struct {
	dir    string     // "": none
	run    uint64     // that it was made for
	killed bool       // everybody in it was
	warned *spec.Spec // whose limits could not be set
	fault  string     // and why
	left   string     // who is left of the latest run, as last seen
	swept  uint64     // the run of which nobody is left outside of its process group
}

// openGroups finds or makes the tree. Without one everything works by process
// groups.
func (s *Supervisor) openGroups() {
	if !s.opt.Cgroups {
		s.groups.why = errors.New("zinit makes no cgroups here: it was given no part of their tree, and ZINIT_CGROUPS is not 1")
		return
	}
	tree, err := cgroup.Find(s.keeperPID)
	if err != nil {
		s.groups.why = err
		return
	}
	if err := tree.Enter(s.keeperPID, os.Getpid()); err != nil {
		s.say(LevelWarn, "cannot leave the cgroup that services are made in: %v", err)
	}
	tree.Sweep(func(pid int) bool { return unix.Kill(pid, 0) != unix.ESRCH })
	missing := tree.Enable()
	watch, err := tree.Watch(func(name string) { s.later(func() { s.groupChanged(name) }) })
	if err != nil {
		s.groups.why = err
		return
	}
	s.groups = groups{tree: tree, watch: watch, missing: missing}
}

// closeGroups removes what is empty and leaves the tree, at the end of a zinit
// after which the machine goes on.
func (s *Supervisor) closeGroups() {
	if s.groups.tree == nil || s.opt.Mode == Machine {
		return
	}
	if err := s.groups.tree.Leave(s.keeperPID, os.Getpid()); err != nil {
		s.say(LevelDebug, "cannot remove the cgroups: %v", err)
	}
}

// groupOf returns the directory in which a run of sv is to start, made and
// limited; "" is none. The lock is held.
func (s *Supervisor) groupOf(sv *service) string {
	g, want := &sv.group, sv.cur.Resources
	if s.groups.tree == nil {
		s.warnLimits(sv, s.groups.why)
		return ""
	}
	if g.dir != "" && g.run == sv.rt.Run && !g.killed {
		return g.dir
	}
	// In newer kernels whoever is started into a cgroup that cgroup.kill was ever
	// written to is killed too (measured with 6.18; cgroup_css_set_fork compares the count of
	// kills with that of the parent's cgroup). So each run has a new one, which
	// also counts for this run alone. Whoever still lives in the old one keeps it:
	// it is the same run then.
	dir, err := s.groups.tree.Make(sv.name, limitsOf(want))
	g.dir, g.run, g.killed = dir, sv.rt.Run, false
	s.warnLimits(sv, err)
	return dir
}

// warnLimits says once for each definition that its limits do not hold.
func (s *Supervisor) warnLimits(sv *service, err error) {
	g := &sv.group
	if sv.cur.Resources == (spec.Resources{}) || g.warned == sv.cur || err == nil {
		return
	}
	g.warned = sv.cur
	g.fault = limitsText(err)
	for controller, why := range s.groups.missing {
		if strings.Contains(g.fault, "/"+controller+".") {
			g.fault += fmt.Sprintf(" (%v)", why)
		}
	}
	s.say(LevelWarn, "%s: %s", sv.name, g.fault)
}

func limitsOf(r spec.Resources) cgroup.Limits {
	return cgroup.Limits{MemoryMax: r.MemoryMax, MemoryHigh: r.MemoryHigh, PidsMax: r.PidsMax,
		CPUMax: r.CPUMax, CPUWeight: r.CPUWeight, IOWeight: r.IOWeight}
}

// populated reports whether somebody living is in sv's cgroup.
func (s *Supervisor) populated(sv *service) bool {
	if s.groups.tree == nil || sv.cur.Target {
		return false
	}
	yes, err := s.groups.tree.Populated(sv.name)
	return err == nil && yes
}

// remains reports whether somebody living is in sv's cgroup or, without cgroups, has
// left its process group, and if so has groupChanged called when that has changed.
// The lock is held.
func (s *Supervisor) remains(sv *service) bool {
	if s.groups.tree == nil {
		return s.strayed(sv)
	}
	if !s.populated(sv) {
		return false
	}
	if err := s.groups.watch.Add(sv.name); err != nil {
		s.say(LevelDebug, "%v; looking again in 1 s", err)
		s.soon(time.Second, func() { s.groupChanged(sv.name) })
		return true
	}
	return s.populated(sv)
}

// peopled reports whether somebody of sv outlives its process group. It is told
// again when that has changed.
func (t *turn) peopled(sv *service) bool {
	if !t.s.remains(sv) {
		return false
	}
	next := sv.rt
	next.MainGone = true
	t.touch(sv)
	t.set(sv, next)
	if sv.rt.Killed { // by a server that may have died before it did
		t.act(func() { t.s.killGroup(sv.name) })
	}
	return true
}

// groupChanged is the kernel's note that somebody is in a cgroup, or nobody is
// any more.
func (s *Supervisor) groupChanged(name string) {
	s.mu.Lock()
	sv := s.services[name]
	waits := sv != nil && sv.rt.MainGone && sv.rt.Hook == state.NoHook && !s.remains(sv)
	s.mu.Unlock()
	if !waits {
		return
	}
	err := s.decide("nothing of it is left", func(t *turn) error {
		t.own = true
		if sv := s.services[name]; sv != nil && sv.rt.MainGone {
			t.afterHook(sv)
		}
		return nil
	})
	if err != nil {
		s.say(LevelError, "cannot record the end of %q: %v; trying again in 1 s", name, err)
		s.soon(time.Second, func() { s.groupChanged(name) })
	}
}

// signal orders a signal to the whole group of sv's latest run.
func (t *turn) signal(sv *service, next *state.Service, sig unix.Signal) {
	if sv.preparing {
		return
	}
	order := signalOrder(sv.name, next, next.Signal(int(sig), state.ToGroup), int(sig), state.ToGroup)
	t.act(func() {
		t.s.keeper.Signal(order)
		if sig == unix.SIGKILL {
			t.s.killGroup(sv.name)
		}
	})
}

// killGroup ends everybody of a service, wherever they went. The lock is held.
func (s *Supervisor) killGroup(name string) {
	if s.groups.tree == nil {
		return
	}
	if sv := s.services[name]; sv != nil {
		sv.group.killed = true
	}
	if err := s.groups.tree.Kill(name); err != nil {
		s.say(LevelError, "cannot kill the cgroup of %q: %v", name, err)
	}
}

// endGroup is killGroup for who does not hold the lock.
func (s *Supervisor) endGroup(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killGroup(name)
}

// tellRest gives the stop signal to those of sv's cgroup that have left its
// process group, once the main process has ended: while it lived, they were its
// own affair. The keeper does the same for the group.
func (t *turn) tellRest(sv *service) {
	if t.s.groups.tree == nil || !t.s.populated(sv) {
		return
	}
	name, leader, sig := sv.name, sv.rt.Last.Pid, sv.cur.StopSignal
	t.act(func() { t.s.signalRest(name, leader, sig, unix.SIGCONT) })
}

func (s *Supervisor) signalRest(name string, leader int, sigs ...unix.Signal) {
	pids, err := s.groups.tree.Pids(name)
	if err != nil {
		return
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if group, err := unix.Getpgid(pid); err == nil && group != leader && s.groups.tree.OwnerOf(pid) == name {
			for _, sig := range sigs {
				unix.PidfdSendSignal(fd, sig, nil, 0)
			}
		}
		unix.Close(fd)
	}
}

// judgeOOM tells an end for want of memory from others. The cgroup is that of one
// run, and so is what it has counted.
func (t *turn) judgeOOM(sv *service, e *state.Exit) {
	if t.s.groups.tree == nil || e.Signal == 0 && e.Code == 0 {
		return
	}
	e.OOM = t.s.groups.tree.OOMKills(sv.name) > 0
}

// contained says what holds the processes of a service together, or
// of its next run.
func (s *Supervisor) contained(sv *service) string {
	switch {
	case sv.cur.Target:
		return ""
	case s.groups.tree != nil && (!sv.rt.Alive() || sv.group.dir != "" || s.populated(sv)):
		return "cgroup " + s.groups.tree.Path(sv.name)
	}
	return "process group"
}

// removeGroup removes the cgroup of a service that is no more.
func (s *Supervisor) removeGroup(name string) {
	s.samples.forget(name)
	if s.groups.tree == nil {
		return
	}
	s.groups.watch.Remove(name)
	if err := s.groups.tree.Remove(name); err != nil {
		s.say(LevelDebug, "cannot remove the cgroup of %q: %v", name, err)
	}
}

// memoryText names the limit that a service died of.
func memoryText(sv *service) string {
	if most := sv.cur.Resources.MemoryMax; sv.rt.Last.OOM && most > 0 {
		return fmt.Sprintf(" (memory_max %s)", size(most))
	}
	return ""
}

// who names those that are left, when they have been looked at.
func (g *grouped) who(before string) string {
	if g.left == "" {
		return ""
	}
	return before + g.left
}
