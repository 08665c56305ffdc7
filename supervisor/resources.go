package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"zinit/supervisor/spec"
)

// resourcesOf are the limits of sv's file by key, as people read them. One that no
// cgroup holds says so.
func (s *Supervisor) resourcesOf(sv *service) map[string]string {
	r := sv.spec.Resources
	all := map[string]string{}
	put := func(key, text string, set bool) {
		if set && s.unheld(key) != nil {
			text += " (does not hold)"
		}
		if set {
			all[key] = text
		}
	}
	put("memory_max", size(r.MemoryMax), r.MemoryMax != 0)
	put("memory_high", size(r.MemoryHigh), r.MemoryHigh != 0)
	put("pids_max", fmt.Sprint(r.PidsMax), r.PidsMax != 0)
	put("cpu_max", fmt.Sprint(r.CPUMax), r.CPUMax != 0)
	put("cpu_weight", fmt.Sprint(r.CPUWeight), r.CPUWeight != 0)
	put("io_weight", fmt.Sprint(r.IOWeight), r.IOWeight != 0)
	return all
}

// unheld is why cgroups do not hold limits of this key; nil: they can.
func (s *Supervisor) unheld(key string) error {
	controller, _, _ := strings.Cut(key, "_")
	if s.groups.tree == nil {
		return s.groups.why
	}
	return s.groups.missing[controller]
}

// limitFault says why limits of sv do not hold, also those of a run that an earlier
// server began.
func (s *Supervisor) limitFault(sv *service, limits map[string]string) string {
	if sv.group.fault != "" || sv.cur.Resources == (spec.Resources{}) || !sv.rt.Alive() {
		return sv.group.fault
	}
	for _, key := range slices.Sorted(maps.Keys(limits)) {
		if err := s.unheld(key); err != nil {
			return limitsText(err)
		}
	}
	return ""
}

func limitsText(err error) string {
	return "what [resources] says does not hold: " + firstLine(err.Error())
}
