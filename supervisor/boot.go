package supervisor

import (
	"sort"

	"zinit/graph"
	"zinit/supervisor/spec"
)

// Boot is what a boot spent its time on. Times are milliseconds from its begin.
type Boot struct {
	TookMS   int64         `json:"took_ms"` // until the last service was ready
	Services []BootService `json:"services"`
	Chain    []BootService `json:"chain"` // the critical one: each waited for the next
}

// BootService is the first start of one service.
type BootService struct {
	Name    string `json:"name"`
	State   string `json:"state"`    // now
	StartMS int64  `json:"start_ms"` // its process was started
	ReadyMS int64  `json:"ready_ms"` // it was ready or done; -1: not yet
	TookMS  int64  `json:"took_ms"`  // from the one to the other
}

// Boot returns the first start of every service that the boot started, the last to be ready first,
// and the chain of those that the last one waited for.
func (s *Supervisor) Boot() Boot {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Boot{Services: []BootService{}, Chain: []BootService{}}
	var last *service
	for _, name := range s.names {
		sv := s.services[name]
		if sv.rt.FirstStart == 0 {
			continue
		}
		b.Services = append(b.Services, s.bootService(sv))
		if sv.rt.FirstReady != 0 && (last == nil || sv.rt.FirstReady > last.rt.FirstReady) {
			last = sv
		}
	}
	sort.SliceStable(b.Services, func(i, j int) bool { return b.Services[i].ReadyMS > b.Services[j].ReadyMS })
	seen := map[*service]bool{}
	for sv := last; sv != nil && !seen[sv]; sv = s.awaited(sv) {
		seen[sv] = true
		b.Chain = append(b.Chain, s.bootService(sv))
	}
	if len(b.Chain) > 0 {
		b.TookMS = b.Chain[0].ReadyMS
	}
	return b
}

func (s *Supervisor) bootService(sv *service) BootService {
	since := func(at int64) int64 { return (at - s.booted) / 1e6 }
	b := BootService{Name: sv.name, State: sv.rt.State.String(), StartMS: since(sv.rt.FirstStart), ReadyMS: -1}
	if sv.rt.FirstReady != 0 {
		b.ReadyMS, b.TookMS = since(sv.rt.FirstReady), (sv.rt.FirstReady-sv.rt.FirstStart)/1e6
	}
	return b
}

// awaited is the service whose readiness sv had to wait for longest before its
// first start; nil when it waited for none.
func (s *Supervisor) awaited(sv *service) *service {
	var last *service
	for _, e := range s.graph.Out(sv.name) {
		d := s.services[e.To]
		if d == nil || !(needs(e.Kind) || e.Kind == graph.After) || d.rt.FirstReady == 0 || d.rt.FirstReady > sv.rt.FirstStart {
			continue
		}
		if last == nil || d.rt.FirstReady > last.rt.FirstReady {
			last = d
		}
	}
	return last
}

// startBoot starts what a boot starts.
func (t *turn) startBoot() error {
	svs, err := t.s.bootSet()
	t.boot = true
	t.startAll(svs, true)
	return err
}

// bootSet is what a boot starts: everything with status start, or the one
// target that was asked for.
func (s *Supervisor) bootSet() ([]*service, error) {
	if s.opt.Target != "" {
		sv := s.services[s.opt.Target]
		if sv == nil {
			return nil, notFound(s.opt.Target)
		}
		svs := []*service{sv}
		if s.opt.Main != nil {
			svs = append(svs, s.services[MainName])
		}
		return svs, nil
	}
	var svs []*service
	for _, name := range s.names {
		if sv := s.services[name]; sv.spec.Status == spec.Start {
			svs = append(svs, sv)
		}
	}
	return svs, nil
}
