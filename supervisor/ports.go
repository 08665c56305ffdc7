package supervisor

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// A service with ports waits, blocked, until nobody listens on them: a look by a
// goroutine that nobody waits for, before each run, and again once a second while
// somebody does. The ports are never bound to find out. What was seen is not
// recorded: a successor looks again.

// portPause is the time between two looks.
const portPause = int64(time.Second)

// portCheck is what is known of a service's ports.
type portCheck struct {
	free    *spec.Spec // whose ports were free, for the next run; nil: not looked yet
	looking bool       // a look is under way
	held    []holder   // as last seen
}

// holder is who listens on a port.
type holder struct {
	port    uint16
	pid     int // 0: not to be seen from here
	command string
	service string // "": none of ours
}

func (h holder) String() string {
	if h.pid == 0 {
		return fmt.Sprintf("port %d (held by a process that cannot be seen from here)", h.port)
	}
	text := fmt.Sprintf("port %d (held by pid %d %s", h.port, h.pid, h.command)
	if h.service != "" {
		text += ", service " + h.service
	}
	return text + ")"
}

// portless reports whether sv waits for its ports.
func (sv *service) portless() bool { return len(sv.spec.Ports) > 0 && sv.ports.free != sv.spec }

// waitsForPortsOnly reports whether nothing else keeps sv down.
func (sv *service) waitsForPortsOnly() bool {
	return sv.portless() && sv.need == 0 && sv.order == 0 && sv.clash == 0 && !sv.rt.Left
}

// portBlockers are what sv's ports add to its blockers.
func (s *Supervisor) portBlockers(sv *service) (list []blocker) {
	if !sv.portless() {
		return nil
	}
	for _, h := range sv.ports.held {
		list = append(list, blocker{name: fmt.Sprintf("port %d", h.port), text: h.String(), stranded: h.service == "", holder: h.service, port: true})
	}
	if len(list) == 0 {
		var names []string
		for _, p := range sv.spec.Ports {
			names = append(names, fmt.Sprint(p))
		}
		list = append(list, blocker{name: "port " + names[0], text: "a look at port " + strings.Join(names, ", "), port: true})
	}
	return list
}

// portConflict is the holders in one line, "" for none.
func (s *Supervisor) portConflict(sv *service) string {
	if sv.rt.State != state.Blocked || !sv.portless() {
		return ""
	}
	var texts []string
	for _, h := range sv.ports.held {
		texts = append(texts, h.String())
	}
	return strings.Join(texts, ", ")
}

// lookAtPorts begins a look, unless one is under way.
func (t *turn) lookAtPorts(sv *service) {
	t.act(func() {
		if sv.ports.looking {
			return
		}
		sv.ports.looking = true
		sp, s := sv.spec, t.s
		mains := map[int]string{} // of processes, whose they are
		for name, sv := range s.services {
			if sv.rt.Pid > 1 {
				mains[sv.rt.Pid] = name
			}
		}
		s.aside(func() {
			held := s.holders(sp.Ports, mains)
			s.later(func() { s.lookedAtPorts(sv, sp, held) })
		})
	})
}

// lookedAtPorts decides about what was seen.
func (s *Supervisor) lookedAtPorts(sv *service, sp *spec.Spec, held []holder) {
	s.mu.Lock()
	sv.ports.looking = false
	s.mu.Unlock()
	err := s.decide("its ports were looked at", func(t *turn) error {
		t.own = true
		if s.services[sv.name] != sv || sv.rt.State != state.Blocked {
			return nil
		}
		if sv.ports.held = held; len(held) == 0 {
			sv.ports.free = sp
		}
		t.touch(sv)
		next := sv.rt
		if next.LookBy = 0; len(held) > 0 {
			next.LookBy = t.mono + portPause
		}
		t.set(sv, next)
		return nil
	})
	if err != nil {
		s.soon(time.Second, func() { s.lookedAtPorts(sv, sp, held) })
	}
}

// holders lists who listens on ports; mains are the main processes of services.
func (s *Supervisor) holders(ports []uint16, mains map[int]string) (list []holder) {
	listening := listeners(s.opt.Proc, ports)
	if len(listening) == 0 {
		return nil
	}
	owners := socketOwners(s.opt.Proc, listening)
	for inode, port := range listening {
		h := holder{port: port, pid: owners[inode]}
		if h.pid != 0 {
			h.command = s.commandOf(Process{PID: h.pid, Name: commOf(s.opt.Proc, h.pid)})
			h.service = s.belongsTo(h.pid, mains)
		}
		list = append(list, h)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].port < list[j].port })
	return slices.CompactFunc(list, func(a, b holder) bool { return a.port == b.port })
}

// belongsTo is the service that a process belongs to, "" for none of ours: by its
// cgroup or by whom it descends from.
func (s *Supervisor) belongsTo(pid int, mains map[int]string) string {
	if s.groups.tree != nil {
		if name := s.groups.tree.OwnerOf(pid); name != "" {
			return name
		}
	}
	all, err := processes(s.opt.Proc)
	if err != nil {
		return ""
	}
	for range len(all) {
		p, ok := all[pid]
		if !ok {
			return ""
		}
		for _, id := range []int{pid, p.session, p.group} {
			if name := mains[id]; name != "" {
				return name
			}
		}
		pid = p.ParentPID
	}
	return ""
}
