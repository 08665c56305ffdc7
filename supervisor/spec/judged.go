package spec

import (
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// The readers below only judge: nothing acts on these keys yet (later.go).

var healthTypes = [...]string{"http", "tcp", "exec"}

func readHook(r *reader, v value) {
	if v.kind == unstable.String && v.text == "" {
		return
	}
	r.command(v)
}

func readIONice(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" || text == "idle" || text == "none" {
		return
	}
	class, level, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(level)
	if class != "best-effort" && class != "realtime" || err != nil || n < 0 || n > 7 {
		r.fail(v.at, "unknown value "+quote(text)+"; allowed: best-effort:0 to best-effort:7, realtime:0 to realtime:7, idle", "")
	}
}

func readCPUs(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" {
		return
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 13)
		b, err2 := strconv.ParseUint(last, 10, 13)
		if err != nil || err2 != nil || a > b {
			r.fail(v.at, quote(text)+` is no list of processors; expected something like "0-3,6"`, "")
			return
		}
	}
}

var capabilities = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio
	sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
	audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon
	bpf checkpoint_restore`)

func readCapabilities(r *reader, v value) {
	r.texts(v, `["net_bind_service"]`, func(e value) {
		name := strings.TrimPrefix(strings.ToLower(e.text), "cap_")
		if e.kind != unstable.String {
			r.fail(e.at, "expected a list of strings, found "+e.what()+" in it", "")
		} else if !slices.Contains(capabilities, name) {
			r.fail(e.at, "unknown capability "+quote(e.text), meant(name, capabilities))
		}
	})
}

func readCores(r *reader, v value) {
	n, err := strconv.ParseFloat(strings.ReplaceAll(v.text, "_", ""), 64)
	if v.kind != unstable.Integer && v.kind != unstable.Float {
		r.wrong(v, "a number of processors", "1.5")
	} else if err != nil || math.IsNaN(n) || n <= 0 || n > 1e6 {
		r.fail(v.at, v.text+" is out of range; expected a number of processors above 0", "")
	}
}

var forwards = [...]string{"syslog", "syslog+udp://HOST:PORT", "syslog+tcp://HOST:PORT", "tcp://HOST:PORT", "unix:/PATH", "http://HOST:PORT/PATH"}

func readForward(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" || text == "syslog" {
		return
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok && strings.HasPrefix(path, "/") {
		return
	}
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme == "http" && httpURL(text) || slices.Contains([]string{"syslog+udp", "syslog+tcp", "tcp"}, scheme) && hostPort(rest) {
		return
	}
	r.fail(v.at, "unknown value "+quote(text)+"; allowed: "+strings.Join(forwards[:], ", "), "")
}

func httpURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "http://")
	host, _, _ := strings.Cut(rest, "/")
	if ok && !strings.Contains(strings.TrimSuffix(host, "]"), ":") {
		host += ":80"
	}
	return ok && hostPort(host) && !strings.ContainsAny(text, " \n\t")
}

func hostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && n > 0 && host != "" && !strings.ContainsAny(host, " /\n\t")
}

// judgeHealth looks at [health] as a whole.
func (r *reader) judgeHealth() {
	if _, there := r.spec.Lines["health"]; !there {
		return
	}
	r.need("health", "type", `type = "http"`)
	r.need("health", "target", `target = "http://127.0.0.1:8080/"`)
	r.path = "health.target"
	kind := r.healthType
	if r.health.kind == 0 || kind == "" {
		return
	}
	text, ok := r.filled(r.health)
	switch {
	case !ok:
	case kind == "http" && !httpURL(text):
		r.fail(r.health.at, quote(text)+" is no address; expected http://HOST[:PORT]/PATH", "")
	case kind == "tcp" && !hostPort(text):
		r.fail(r.health.at, quote(text)+" is no address; expected HOST:PORT", "")
	case kind == "exec":
		r.command(r.health)
	}
}
