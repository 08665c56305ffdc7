package applets_test

import (
	"fmt"
	"path/filepath"
)

// role is one service of a storm.
type role struct {
	name string
	wit  string // flags of the witness
	life string // its [lifecycle]
	own  string // how it ends by itself, as the witness notes it: "7", "signal:SEGV"; "": never
	most int    // restarts until it gives up, 0: without end
	act  string // what clients do with it: "cycle", "restart", ""
}

// file is its service file.
func (r role) file(dir string) string {
	return fmt.Sprintf("[service]\nexec = \"wit -tally %s %s\"\n[lifecycle]\n%s\n[logging]\nbuffer_bytes = \"1GiB\"\n",
		filepath.Join(dir, "tally"), r.wit, r.life)
}

// often is the lifecycle of what ends again and again; having run for long
// never clears its count, so that no attempt can hide.
const often = "restart_delay_ms = %d\nrestart_delay_max_ms = %d\nmax_restarts = %d\nstability_period_ms = 86400000"

// fifty are services of every kind, each printing on both streams.
func fifty(rate int) []role {
	return cast(50, rate)
}

// cast is n services, n at least 50.
func cast(n, rate int) []role {
	var all []role
	add := func(kind string, many int, f func(i int) role) {
		for i := range many {
			r := f(i)
			r.name = fmt.Sprintf("%s%02d", kind, i)
			r.wit += fmt.Sprintf(" -rate %d", rate)
			if r.own == "" || r.most == 0 {
				r.wit += " -lines -1"
			}
			all = append(all, r)
		}
	}
	add("crash", 10, func(i int) role {
		return role{wit: fmt.Sprintf("-after %dms -exit %d", 300+170*i, i+1), own: fmt.Sprint(i + 1), life: fmt.Sprintf(often, 1, 1, 0)}
	})
	signals := []string{"HUP", "KILL", "PIPE", "ALRM", "USR1"}
	add("die", len(signals), func(i int) role {
		return role{wit: fmt.Sprintf("-after %dms -die %s", 400+230*i, signals[i]), own: "signal:" + signals[i], life: fmt.Sprintf(often, 1, 1, 0)}
	})
	add("backoff", 5, func(i int) role {
		return role{wit: "-after 20ms -exit 9", own: "9", life: fmt.Sprintf(often, 100, 200*(i+1), 0)}
	})
	add("giveup", 2, func(i int) role {
		return role{wit: "-after 50ms -exit 11 -lines 3", own: "11", life: fmt.Sprintf(often, 20, 40, 5), most: 5}
	})
	add("cycle", 6, func(int) role { return role{act: "cycle"} })
	add("again", 4, func(int) role { return role{act: "restart"} })
	add("steady", n-len(all), func(int) role { return role{} })
	return all
}
