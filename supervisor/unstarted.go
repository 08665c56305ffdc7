package supervisor

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// How long a program that somebody has open for writing is tried again, and how
// often. A package manager or a build has it open for a moment only.
const (
	busyFor   = int64(time.Second)
	busyPause = 100 * time.Millisecond
)

// lookBy bounds the look at a program that could not be run: it may lie on a
// mount that does not answer.
const lookBy = 3 * time.Second

// onFailed is a run that could not be started. What the errno of an exec means
// is seen by a look at the file, which no decision waits for.
func (s *Supervisor) onFailed(ev keeper.Event) {
	s.mu.Lock()
	sv := s.services[ev.Tag]
	var sp *spec.Spec
	if sv != nil && sv.rt.Run == ev.Run {
		sp = sv.cur
	}
	s.mu.Unlock()
	if sp == nil || ev.Step != "exec" || ev.Errno == unix.ETXTBSY {
		s.unstarted(ev, "")
		return
	}
	s.aside(func() {
		text := s.looked(sp, ev.Errno)
		s.later(func() { s.unstarted(ev, text) })
	})
}

// aside runs f, which may wait for a disk, while nobody waits for it.
func (s *Supervisor) aside(f func()) {
	if s.opt.Aside != nil {
		s.opt.Aside(f)
		return
	}
	go f()
}

// looked is execText, or what is known without it when the file does not answer
// in time.
func (s *Supervisor) looked(sp *spec.Spec, errno syscall.Errno) string {
	answer := make(chan string, 1)
	path := s.searched(sp)
	s.aside(func() { answer <- execText(sp, path, errno) })
	select {
	case text := <-answer:
		return text
	case <-time.After(lookBy):
		return unseenText(sp, path, errno)
	}
}

// unseenText is what is said of a program that could not be looked at: its mount
// does not answer, or the machine is very busy.
func unseenText(sp *spec.Spec, path string, errno syscall.Errno) string {
	where := "at it"
	if !strings.Contains(sp.Exec.Argv[0], "/") {
		where = "for it in the service's PATH: " + path
	}
	return fmt.Sprintf("%s; there was no answer within %v to a look %s", spawnText(sp, "exec", errno), lookBy, where)
}

// unstarted decides about a run that could not be started; text says why, ""
// leaves that to spawnText.
func (s *Supervisor) unstarted(ev keeper.Event, text string) {
	s.onRun(ev, "cannot be started", func(t *turn, sv *service) {
		if ev.Errno == unix.ETXTBSY && t.busy(sv) {
			return
		}
		if text == "" {
			text = spawnText(sv.cur, ev.Step, ev.Errno)
		}
		errno := ev.Errno
		if ev.Step != "exec" {
			errno = 0
		}
		t.failed(sv, text, errno)
	})
}

// busy begins another run in place of one whose program was open for writing.
// It costs nothing of the restart budget, and is not done for ever.
func (t *turn) busy(sv *service) bool {
	if sv.rt.State != state.Starting || t.mono-sv.rt.SinceMono > busyFor || t.s.ending != nil {
		return false
	}
	next := sv.rt
	next.Run++
	next.Pid = 0
	run, s := next.Run, t.s
	t.touch(sv)
	t.set(sv, next)
	t.act(func() {
		s.soon(busyPause, func() { s.spawnAgain(sv.name, run) })
	})
	return true
}

// spawnText says why a run could not be started, and what to look at.
func spawnText(sp *spec.Spec, step string, errno syscall.Errno) string {
	denied := errno == unix.EPERM || errno == unix.EACCES
	with := func(what, help string) string {
		text := fmt.Sprintf("%s: %v", what, errno)
		if denied {
			text += "; " + help
		}
		return text
	}
	const asRoot = "zinit does not run as root here; remove it, or run zinit as root"
	switch step {
	case "exec":
		return fmt.Sprintf("cannot run %q: %v", sp.Exec.Argv[0], errno)
	case "chdir":
		return dirText(sp, errno)
	case "chroot":
		return with(fmt.Sprintf("cannot make %q the root (chroot)", sp.Chroot), "that needs CAP_SYS_CHROOT")
	case "setuid", "setgid", "setgroups":
		var who []string
		for _, w := range [...][2]string{{"user", sp.User}, {"group", sp.Group}, {"groups", strings.Join(sp.Groups, ", ")}} {
			if w[1] != "" {
				who = append(who, fmt.Sprintf("%s %q", w[0], w[1]))
			}
		}
		return with(fmt.Sprintf("cannot become %s: %s", strings.Join(who, ", "), step),
			"zinit does not run as root here; remove user, group and groups, or run zinit as root")
	case "nice":
		return with(fmt.Sprintf("cannot set nice = %d", sp.Nice), "below zinit's own it needs CAP_SYS_NICE or a higher limit nice")
	case "ionice":
		return with(fmt.Sprintf("cannot set ionice = %q", sp.IONice), "realtime needs CAP_SYS_NICE or CAP_SYS_ADMIN")
	case "cpus":
		if errno == unix.EINVAL {
			return fmt.Sprintf("cannot set cpus: %v; none of them is a processor that zinit may use, see Cpus_allowed_list in /proc/self/status", errno)
		}
		return with("cannot set cpus", asRoot)
	case "oom_score_adj":
		return with("cannot set oom_score_adj", "below zinit's own it needs CAP_SYS_RESOURCE")
	case "limit":
		return with("cannot set what [limits] says"+highLimits(sp), "above the hard limit that zinit has it needs CAP_SYS_RESOURCE, and nofile ends at /proc/sys/fs/nr_open")
	case "capabilities":
		return with(fmt.Sprintf("cannot keep only capabilities = [%s]", capabilityText(sp)),
			"only what zinit has itself can be kept, and dropping the others needs CAP_SETPCAP: see Cap in /proc/self/status")
	case "no_new_privileges":
		return fmt.Sprintf("cannot set no_new_privileges: %v", errno)
	case "tty":
		return ttyText(sp, errno)
	case "cgroup":
		return fmt.Sprintf("cannot enter its cgroup: %v; the next try makes a new one", errno)
	case "message":
		if errno == unix.E2BIG {
			return fmt.Sprintf("cannot run %q: arguments and environment are more than the 160 KiB that zinit passes on; the command and env of its file are %s", sp.Exec.Argv[0], size(argumentBytes(sp)))
		}
		return fmt.Sprintf("cannot start: %v; the command or an attribute is out of range", errno)
	case "clone", "pipe":
		return fmt.Sprintf("cannot make a process: %s: %v; look at pids.max, ulimit -u, and the memory that is left", step, errno)
	}
	return fmt.Sprintf("cannot start: %s: %v", step, errno)
}

// highLimits names those above what zinit itself has.
func highLimits(sp *spec.Spec) string {
	var names []string
	for _, l := range sp.Limits {
		var own unix.Rlimit
		if unix.Getrlimit(l.Resource, &own) == nil && limitOf(l).Hard > own.Max {
			names = append(names, spec.LimitName(l.Resource))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " of " + joinNames(names)
}

func dirText(sp *spec.Spec, errno syscall.Errno) string {
	text := fmt.Sprintf("cannot enter dir %q: %v", sp.Dir, errno)
	switch errno {
	case unix.ENOENT:
		text += "; make it, or correct dir"
	case unix.EACCES:
		text += fmt.Sprintf("; %s may not", userText(sp))
	}
	if sp.Chroot != "" {
		text += fmt.Sprintf(" (inside chroot %q)", sp.Chroot)
	}
	return text
}

func ttyText(sp *spec.Spec, errno syscall.Errno) string {
	text := fmt.Sprintf("cannot use tty %q: %v", sp.TTY, errno)
	switch errno {
	case unix.ENXIO:
		text += "; there is no terminal behind it: /dev/tty is that of who opens it, and a service has none before"
	case unix.ENOENT, unix.EIO, unix.ENODEV:
		text += "; there is no such terminal"
	case unix.ENOTTY:
		text += "; it is no terminal"
	case unix.EPERM:
		text += "; it is the controlling terminal of another session"
	}
	return text
}

func capabilityText(sp *spec.Spec) string {
	if sp.Capabilities == nil {
		return ""
	}
	return strings.Join(spec.CapabilityNames(*sp.Capabilities), ", ")
}

func userText(sp *spec.Spec) string {
	if sp.User == "" {
		return fmt.Sprintf("uid %d, as which zinit runs,", os.Geteuid())
	}
	return "user " + sp.User
}

// argumentBytes is what a command and the variables of its file weigh.
func argumentBytes(sp *spec.Spec) (n int64) {
	for _, list := range [][]string{sp.Exec.Argv, sp.Env} {
		for _, text := range list {
			n += int64(len(text) + 1)
		}
	}
	return n
}
