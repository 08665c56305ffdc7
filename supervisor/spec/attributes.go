package spec

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// IONice is a priority for the disk. Its zero value leaves it to the kernel,
// which goes by the nice value.
type IONice struct {
	Class int // 0 none, 1 realtime, 2 best-effort, 3 idle; as ioprio_set(2) counts
	Level int // 0 first to 7 last
}

// String returns it as service files spell it.
func (n IONice) String() string {
	text := word(ioClasses[:], n.Class)
	if n.Class == 1 || n.Class == 2 {
		text += ":" + strconv.Itoa(n.Level)
	}
	return text
}

var ioClasses = [...]string{"none", "realtime", "best-effort", "idle"}

func readIONice(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" {
		return
	}
	name, level, leveled := strings.Cut(text, ":")
	class := slices.Index(ioClasses[:], name)
	n, err := strconv.Atoi(level)
	switch wants := class == 1 || class == 2; {
	case wants && err == nil && n >= 0 && n <= 7:
		r.spec.IONice = IONice{class, n}
	case class >= 0 && !wants && !leveled:
		r.spec.IONice = IONice{Class: class}
	default:
		r.fail(v.at, "unknown value "+quote(text)+"; allowed: best-effort:0 to best-effort:7, realtime:0 to realtime:7, idle", "")
	}
}

// readCPUs makes a mask: bit n%64 of word n/64 is processor n.
func readCPUs(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" {
		return
	}
	var mask []uint64
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 13)
		b, err2 := strconv.ParseUint(last, 10, 13)
		if err != nil || err2 != nil || a > b {
			r.fail(v.at, quote(text)+` is no list of processors; expected something like "0-3,6"`, "")
			return
		}
		for n := a; n <= b; n++ {
			for uint64(len(mask)) <= n/64 {
				mask = append(mask, 0)
			}
			mask[n/64] |= 1 << (n % 64)
		}
	}
	r.spec.CPUs = mask
}

// capabilities are the names without CAP_; their places are their numbers.
// Source: linux/capability.h.
var capabilities = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio
	sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
	audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon
	bpf checkpoint_restore`)

func readCapabilities(r *reader, v value) {
	keep := new(uint64)
	r.texts(v, `["net_bind_service"]`, func(e value) {
		name := strings.TrimPrefix(strings.ToLower(e.text), "cap_")
		n := slices.Index(capabilities, name)
		if e.kind != unstable.String {
			r.fail(e.at, "expected a list of strings, found "+e.what()+" in it", "")
		} else if n < 0 {
			r.fail(e.at, "unknown capability "+quote(e.text), meant(name, capabilities))
		} else {
			*keep |= 1 << n
		}
	})
	r.spec.Capabilities = keep
}

// CapabilityNames lists the capabilities of a mask as service files spell them.
func CapabilityNames(mask uint64) []string {
	list := []string{}
	for n, name := range capabilities {
		if mask&(1<<n) != 0 {
			list = append(list, name)
		}
	}
	return list
}

func readOOMScoreAdj(r *reader, v value) {
	if n, ok := r.integer(v, -1000, 1000); ok {
		score := int(n)
		r.spec.OOMScoreAdj = &score
	}
}

func readPorts(r *reader, v value) {
	r.texts(v, "[8080]", func(e value) {
		if n, ok := r.integer(e, 1, 65535); ok {
			r.spec.Ports = append(r.spec.Ports, uint16(n))
		}
	})
	slices.Sort(r.spec.Ports)
	r.spec.Ports = slices.Compact(r.spec.Ports)
}

func readProcessFilters(r *reader, v value) {
	r.texts(v, `["nginx"]`, func(e value) {
		if name, ok := r.filled(e); ok {
			r.spec.ProcessFilters = append(r.spec.ProcessFilters, name)
		}
	})
}

// whole reads an integer within bounds into a field.
func (r *reader) whole(v value, least, most int64, into *int) {
	if n, ok := r.integer(v, least, most); ok {
		*into = int(n)
	}
}

// bytes reads a size into a field.
func (r *reader) bytes(v value, into *int64) {
	if n, ok := r.size(v); ok {
		*into = n
	}
}

// number reads an integer or a float.
func (r *reader) number(v value, want, example string) (n float64, ok bool) {
	if v.kind != unstable.Integer && v.kind != unstable.Float {
		r.wrong(v, want, example)
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(v.text, "_", ""), 64)
	if err != nil {
		i, err := strconv.ParseInt(v.text, 0, 64) // 0x10
		if err != nil {
			r.fail(v.at, v.text+" is out of range", "")
			return 0, false
		}
		n = float64(i)
	}
	return n, true
}

// hook reads a command that is there only when it is not empty.
func (r *reader) hook(v value, into *Command) {
	if v.kind == unstable.String && v.text == "" {
		return
	}
	*into = r.command(v)
}

// optional reads a path that is there only when it is not empty.
func (r *reader) optional(v value, into *string) {
	if v.kind == unstable.String && v.text == "" {
		return
	}
	*into, _ = r.absolute(v)
}
