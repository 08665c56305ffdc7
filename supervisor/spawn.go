package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// machinePath is where programs are looked for when a service has no PATH of
// its own.
const machinePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// spawn orders run number run of sv. What needs a file to be read first (an
// env_file, a user's name) is prepared by a goroutine that no decision waits
// for: the file may lie on a mount that does not answer. The lock is held.
func (s *Supervisor) spawn(sv *service, run uint64) {
	sp, dir := sv.cur, s.groupOf(sv)
	var more []string
	if sp.Ready.Kind == spec.Notify {
		path, err := s.notifyPath(sv.name)
		if err != nil {
			sv.preparing = true
			go s.later(func() { s.prepared(sv, run, keeper.Spawn{}, err) })
			return
		}
		more = []string{"NOTIFY_SOCKET=" + path}
	}
	if !needsFiles(sp) {
		order := s.fill(sp, account{}, nil, run)
		order.Env, order.Cgroup = append(order.Env, more...), dir
		s.keeper.Spawn(order)
		return
	}
	sv.preparing = true
	s.aside(func() {
		order, err := s.prepare(sp, run)
		order.Env, order.Cgroup = append(order.Env, more...), dir
		s.later(func() { s.prepared(sv, run, order, err) })
	})
}

// needsFiles reports whether files must be read before a run of sp.
func needsFiles(sp *spec.Spec) bool {
	return len(sp.EnvFiles) > 0 || sp.User != "" || sp.Group != "" || len(sp.Groups) > 0
}

// prepare reads what the run needs from files.
func (s *Supervisor) prepare(sp *spec.Spec, run uint64) (keeper.Spawn, error) {
	who, err := lookUp(sp)
	if err != nil {
		return keeper.Spawn{}, err
	}
	var env []string
	for _, f := range sp.EnvFiles {
		vars, err := spec.ReadEnvFile(f.Path)
		if err != nil {
			if f.Optional && os.IsNotExist(err) {
				continue
			}
			return keeper.Spawn{}, fmt.Errorf("cannot use env_file: %w", err)
		}
		env = append(env, vars...)
	}
	return s.fill(sp, who, env, run), nil
}

// prepared sends the order, unless the service has been stopped meanwhile.
func (s *Supervisor) prepared(sv *service, run uint64, order keeper.Spawn, err error) {
	ev := keeper.Event{Tag: sv.name, Run: run}
	cause := "prepared"
	if err != nil {
		cause = "cannot be started"
	}
	s.onRun(ev, cause, func(t *turn, sv *service) {
		sv.preparing = false
		switch {
		case sv.rt.State == state.Stopping:
			t.goneBy(sv)
		case err != nil:
			t.failed(sv, err.Error(), 0)
		default:
			if order.Cred != nil {
				t.touch(sv)
				next := sv.rt
				next.UID = int(order.Cred.UID)
				t.set(sv, next)
			}
			t.act(func() { s.keeper.Spawn(order) })
		}
	})
}

// spawnAgain repeats the order of a run for which the keeper had no room.
func (s *Supervisor) spawnAgain(name string, run uint64) {
	s.onRun(keeper.Event{Tag: name, Run: run}, "keeper was full", func(t *turn, sv *service) {
		switch {
		case !sv.rt.Live:
		case sv.rt.State == state.Stopping:
			t.goneBy(sv)
		default:
			t.act(func() { s.spawn(sv, run) })
		}
	})
}

// fill makes the order for one run.
func (s *Supervisor) fill(sp *spec.Spec, who account, fromFiles []string, run uint64) keeper.Spawn {
	env := environ{}
	env.add(s.opt.Environ...)
	env.add(who.environ()...)
	env.add(fromFiles...)
	env.add(sp.Env...)
	env.add("ZINIT_SERVICE="+sp.Name, fmt.Sprintf("ZINIT_RUN=%d", run))
	if s.opt.Socket != "" {
		env.add("ZINIT_SOCKET=" + s.opt.Socket)
	}
	o := keeper.Spawn{Tag: sp.Name, Run: run, Argv: sp.Exec.Argv, Env: env.list, Dir: sp.Dir, Umask: sp.Umask,
		Cred: who.cred, AtExit: sp.StopSignal}
	o.Paths = candidates(sp.Exec.Argv[0], env.get("PATH"))
	for _, l := range sp.Limits {
		o.Limits = append(o.Limits, limitOf(l))
	}
	if sp.Ready.Kind == spec.FD {
		o.ReadyFD = sp.Ready.FD
	}
	attributes(&o, sp)
	if s.opt.Main != nil && s.opt.Main.TTY && sp.Name == MainName {
		o.TTY = keeper.OwnTTY
	}
	return o
}

// limitOf fills in a hard limit that is to stay as it is.
func limitOf(l spec.Limit) keeper.Limit {
	out := keeper.Limit{Resource: l.Resource, Soft: l.Soft, Hard: l.Hard}
	if l.Hard == spec.KeepHard {
		var own unix.Rlimit
		out.Hard = l.Soft
		if unix.Getrlimit(l.Resource, &own) == nil {
			out.Hard = max(own.Max, l.Soft)
		}
	}
	return out
}

// candidates lists the files that a program's name may mean, in PATH's order.
func candidates(name, path string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var list []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		list = append(list, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return list
}

// searched is the PATH of a service, as far as its files of variables do not set
// another.
func (s *Supervisor) searched(sp *spec.Spec) string {
	env := environ{}
	env.add(s.opt.Environ...)
	env.add(sp.Env...)
	return env.get("PATH")
}

// environ is a list of KEY=VALUE in which a later value replaces an earlier.
type environ struct{ list []string }

func (e *environ) add(vars ...string) {
	for _, v := range vars {
		key, _, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			continue
		}
		if i := e.index(key); i >= 0 {
			e.list[i] = v
		} else {
			e.list = append(e.list, v)
		}
	}
}

func (e *environ) index(key string) int {
	return slices.IndexFunc(e.list, func(v string) bool {
		return len(v) > len(key) && v[len(key)] == '=' && v[:len(key)] == key
	})
}

func (e *environ) get(key string) string {
	if i := e.index(key); i >= 0 {
		return e.list[i][len(key)+1:]
	}
	return ""
}

// BaseEnviron makes the environment that services start from: on a machine
// only a PATH; elsewhere zinit's own, less what is meant for zinit alone.
func BaseEnviron(mode Mode, own []string) []string {
	base := environ{}
	base.add("PATH=" + machinePath)
	if mode == Machine {
		return base.list
	}
	for _, v := range own {
		key, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(key, "ZINIT_") || strings.HasPrefix(key, "LISTEN_") || key == "NOTIFY_SOCKET" || key == "WATCHDOG_USEC" || key == "WATCHDOG_PID" {
			continue
		}
		base.add(v)
	}
	return base.list
}
