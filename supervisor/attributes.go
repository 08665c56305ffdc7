package supervisor

import (
	"fmt"
	"strings"

	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
)

// attributes puts into an order what a file says of a process beside its
// program, directory and user. The keeper makes each a step of the child.
func attributes(o *keeper.Spawn, sp *spec.Spec) {
	o.Nice = sp.Nice
	o.IONice = keeper.IONice{Class: sp.IONice.Class, Level: sp.IONice.Level}
	o.OOMScoreAdj, o.CPUs = sp.OOMScoreAdj, sp.CPUs
	o.NoNewPrivs, o.Caps = sp.NoNewPrivileges, sp.Capabilities
	o.Chroot, o.TTY = sp.Chroot, sp.TTY
}

// attributes shows them in a definition, as service files spell them.
func (d *ServiceDefinition) attributes(sp *spec.Spec) {
	d.Nice, d.OOMScoreAdj, d.CPUs, d.NoNewPrivileges = sp.Nice, sp.OOMScoreAdj, cpusText(sp.CPUs), sp.NoNewPrivileges
	d.Chroot, d.TTY = sp.Chroot, sp.TTY
	if sp.IONice.Class != 0 {
		d.IONice = sp.IONice.String()
	}
	if sp.Capabilities != nil {
		names := spec.CapabilityNames(*sp.Capabilities)
		d.Capabilities = &names
	}
}

// cpusText lists the processors of a mask: "0-3,6".
func cpusText(mask []uint64) string {
	has := func(n int) bool { return n/64 < len(mask) && mask[n/64]&(1<<(n%64)) != 0 }
	var parts []string
	for n := 0; n < 64*len(mask); n++ {
		if !has(n) {
			continue
		}
		first := n
		for has(n + 1) {
			n++
		}
		if n > first {
			parts = append(parts, fmt.Sprintf("%d-%d", first, n))
		} else {
			parts = append(parts, fmt.Sprint(n))
		}
	}
	return strings.Join(parts, ",")
}
