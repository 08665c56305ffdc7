package supervisor

import (
	"fmt"
	"strings"
)

// dice is where a random history comes from.
type dice func(n int) int

func (d dice) oneIn(n int) bool { return d(n) == n-1 }

func name(i int) string { return fmt.Sprintf("s%d", i) }

// file invents a service file. Edges lead to names before i, so that most
// graphs can be ordered; a few lead anywhere, also to nobody.
func (d dice) file(self, n int) string {
	i := min(self, n)
	var head, life, edges strings.Builder
	for _, kind := range []string{"requires", "binds_to", "after", "before", "wants", "conflicts"} {
		var list []string
		for range d(1 + map[string]int{"requires": 3, "binds_to": 2, "after": 3, "before": 2, "wants": 2, "conflicts": 3}[kind]) {
			to := d(max(i, 1))
			switch {
			case d.oneIn(24):
				to = d(n + 2)
			case kind == "before":
				to = min(i+1+d(3), n-1)
			case i == 0:
				continue
			}
			if to == self {
				continue
			}
			if !d.oneIn(4) || kind == "requires" {
				list = append(list, fmt.Sprintf("%q", name(to)))
			}
		}
		if len(list) > 0 && (kind != "conflicts" || d.oneIn(3)) {
			fmt.Fprintf(&edges, "%s = [%s]\n", kind, strings.Join(dedupe(list), ", "))
		}
	}
	if d.oneIn(8) {
		return "[target]\n[dependencies]\n" + edges.String()
	}
	if d.oneIn(3) {
		head.WriteString("oneshot = true\n")
	} else if d.oneIn(4) {
		head.WriteString("ready = \"fd:3\"\n")
	}
	switch d(6) {
	case 4:
		head.WriteString("status = \"stop\"\n")
	case 5:
		head.WriteString("status = \"ignore\"\n")
	}
	fmt.Fprintf(&life, "restart = %q\n", []string{"on-failure", "always", "never"}[d(3)])
	fmt.Fprintf(&life, "max_restarts = %d\n", d(4))
	if d.oneIn(3) {
		fmt.Fprintf(&life, "restart_delay_ms = %d\nrestart_delay_max_ms = 4000\nstability_period_ms = %d\n", 1+d(3000), d(4)*1000)
		fmt.Fprintf(&life, "start_timeout_ms = %d\nstop_timeout_ms = %d\n", 1000+d(5000), 1000+d(20000))
	}
	if d.oneIn(4) {
		fmt.Fprintf(&life, "stop_signal = %q\n", []string{"SIGKILL", "SIGINT"}[d(2)])
	}
	if d.oneIn(4) {
		life.WriteString("success_codes = [3]\n")
	}
	if d.oneIn(2) {
		life.WriteString("reload_exec = \"r\"\n")
	}
	return head.String() + "[dependencies]\n" + edges.String() + "[lifecycle]\n" + life.String()
}

func dedupe(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, x := range list {
		if !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}

// size is how many services a history begins with: mostly few, at times 60.
func (d dice) size() int {
	if d.oneIn(40) {
		return 9 + d(52)
	}
	return 1 + d(8)
}

// verbs, each as often as it stands here.
var verbs = strings.Fields("start start start-nodeps stop stop stop-nodeps restart restart kill renew renew exit exit exit exit die die last ready ready ready " +
	"deaf undead broken leaves busy full pause read read run run run sleep sleep sleep wall again again reload reload reload-restart crash crash cut cut shutdown")

// invent makes a history up.
func (d dice) invent(title string, most int) *history {
	n := d.size()
	p := &history{title: title, files: files{}}
	for i := range n {
		p.files[name(i)] = d.file(i, n)
	}
	if d.oneIn(4) {
		p.files[own] = fmt.Sprintln(1 + d(3))
	}
	for range 1 + d(most) {
		p.steps = append(p.steps, d.step(n))
	}
	return p
}

func (d dice) step(n int) step {
	verb, who := verbs[d(len(verbs))], name(d(n))
	switch verb {
	case "exit":
		return do(verb, who, []int{0, 1, 3}[d(3)])
	case "die":
		return do(verb, who, []int{15, 11, 9}[d(3)])
	case "kill":
		return do(verb, who, []int{10, 15, 9}[d(3)])
	case "busy":
		return do(verb, who, 1+d(3))
	case "read", "cut":
		return do(verb, d(6))
	case "again":
		return do(verb, d(200))
	case "sleep":
		return do(verb, []int{1, 90, 1000, 2500, 6000, 40000}[d(6)]+d(100))
	case "wall":
		return do(verb, d(10_000_000)-5_000_000)
	case "pause":
		return do(verb, 3000+d(60_000))
	case "full", "run", "crash":
		return do(verb)
	case "shutdown":
		if !d.oneIn(10) {
			return do("run")
		}
		return do(verb)
	case "reload", "reload-restart":
		s := do(verb)
		s.files = files{}
		if d.oneIn(8) {
			s.files[own] = fmt.Sprintln(d(4))
		}
		for range d(4) {
			i := d(n + 3)
			if s.files[name(i)] = ""; !d.oneIn(3) {
				s.files[name(i)] = d.file(i, n)
			}
		}
		return s
	}
	if d.oneIn(5) {
		return do(verb, who, name(d(n)))
	}
	return do(verb, who)
}

// keepsItsPromises lives a history, lets it come to rest, and shuts it down.
func keepsItsPromises(t tester, h *history) {
	w := newWorld(t, h)
	defer w.close()
	w.live()
	if w.s.ending == nil {
		w.atRest()
	}
	w.atTheEnd()
}
