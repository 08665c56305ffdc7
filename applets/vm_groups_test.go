package applets_test

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// groupServices are what TestAMachineLimitsAndContainsServices looks at. bomb and
// its like are files, /bomb and so on.
func groupServices() map[string]string {
	const never = "[lifecycle]\nrestart = \"never\"\nstop_timeout_ms = 1000\n"
	// A zinit in a cgroup of its own, which is the root of what it sees. Those who
	// have made that do not stay in it (they are 0 from inside).
	box := func(name, options string) string {
		return `[service]
exec = """/bin/busybox sh -ec 'mkdir /sys/fs/cgroup/` + name + `; echo $$ >/sys/fs/cgroup/` + name + `/cgroup.procs
/bin/unshare --cgroup --mount --pid --fork --mount-proc sh -ec "umount /sys/fs/cgroup; mount -t cgroup2 ` + options + ` none /sys/fs/cgroup
: >/run/` + name + `.made
while grep -qx 0 /sys/fs/cgroup/cgroup.procs; do sleep 0.1; done
exec zinit init --config-dir /inner --socket /run/` + name + `.sock" &
until test -e /run/` + name + `.made; do sleep 0.1; done
echo $$ >/sys/fs/cgroup/cgroup.procs; echo $! >/sys/fs/cgroup/cgroup.procs; wait'"""
` + never
	}
	return map[string]string{
		"greedy":   "[service]\nexec = \"sh -c 'tail /dev/zero'\"\n[resources]\nmemory_max = \"16MiB\"\n" + never,
		"killed":   "[service]\nexec = \"sh -c 'kill -9 $$'\"\n[resources]\nmemory_max = \"16MiB\"\n" + never,
		"many":     "[service]\nexec = \"\"\"sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'\"\"\"\n[resources]\npids_max = 4\n" + never,
		"escaped":  "[service]\nexec = \"wit -f /dev/console -fork 1 -fork-mode session -fork-ignore-term\"\n" + never,
		"bomb":     "[service]\nexec = \"sh /bomb & sh /bomb & exec sleep 1000\"\nstatus = \"stop\"\n[resources]\npids_max = 60\n" + never,
		"stranger": "[service]\nexec = \"wit -f /dev/console\"\n",
		"quick":    "[service]\nexec = \"sh -c 'sleep 1000 & sleep 0.2; exit 0'\"\nstatus = \"stop\"\n" + never,
		"storm":    "[service]\nexec = \"while :; do (true); done\"\nstatus = \"stop\"\n" + never,
		"loud":     "[service]\nexec = ['awk', 'BEGIN { for (i = 0; i < 8000; i++) printf \"%0999d\\n\", i }']\nstatus = \"stop\"\noneshot = true\n[logging]\nbuffer_bytes = \"1GiB\"\n",
		"box":      box("box", ""),
		"sealed":   box("sealed", "-o ro"),
	}
}

// What only a whole machine has: every controller of cgroups v2. A service that
// takes more memory than memory_max is killed, and is told apart from one that
// somebody killed; one that makes more processes than pids_max cannot; a session
// that escaped and ignores TERM is gone when its service is (scenario 89).
//
// A fork bomb that ignores TERM is stopped whole, and nothing wrong is said of it
// (F59). Where numbers of processes come back soon, in a storm of forks, none but
// those of the service is signalled (F58). A zinit in a container of its own first goes to
// a leaf, or it could not limit its services; where the tree is read-only it does
// without and says so (scenario 35).
//
// Output that is kept takes the memory of keeper and server. When theirs is used up the
// kernel kills the server, once: the next makes room, counted (scenario 159).
func TestAMachineLimitsAndContainsServices(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.program("/bin/busybox", "busybox")
	g.program("/bin/unshare", "unshare")
	for _, tool := range []string{"sh", "sleep", "grep", "cat", "tail", "kill", "true", "ps", "awk", "mkdir", "mount", "umount"} {
		g.entries = append(g.entries, "bin/"+tool+"@busybox")
	}
	g.file("/etc/zinit/zinit.toml", "[logging]\ntotal_bytes = \"1GiB\"\n")
	g.file("/bomb", "trap '' TERM\nwhile :; do sh /bomb & sleep 0.1; done\n")
	g.file("/inner/services/inner.toml", "[service]\nexec = \"wit -f /dev/console\"\n[resources]\npids_max = 17\n")
	services := groupServices()
	services["report"] = `[service]
exec = """/bin/busybox sh -c 'exec >/dev/console 2>&1
until zinit status greedy | grep -q failed; do sleep 0.1; done
until zinit status killed | grep -q failed; do sleep 0.1; done
zinit status greedy | grep Error
zinit status killed | grep Error
until zinit logs many | grep -q fork; do sleep 0.1; done
until ps | grep -v grep | grep -q escaped.child; do sleep 0.1; done
zinit status escaped | grep Held
zinit stop escaped
echo "ESCAPED $(ps | grep -v grep | grep -c escaped.child)"
cat /sys/fs/cgroup/zinit.1/many.svc/pids.max
for box in box sealed; do
	i=0
	until zinit --socket /run/$box.sock status inner 2>/dev/null | grep -q running; do
		sleep 0.2; i=$((i+1)); [ $i -lt 150 ] || { zinit logs $box; break; }
	done
	echo "$box $(zinit --socket /run/$box.sock status inner | grep Held)"
done
echo "LEAF $(cat /sys/fs/cgroup/box/cgroup.procs | grep -c .) $(cat /sys/fs/cgroup/box/zinit.1/inner.svc/pids.max)"
self=/sys/fs/cgroup/zinit.1/self
zinit start loud
echo $(($(cat $self/memory.current)+2097152)) >$self/memory.max
zinit restart loud
until zinit logs zinit | grep "server was killed for want"; do sleep 0.2; done
until zinit status loud | grep -q exited; do sleep 0.1; done
echo "SHORT $(grep -c "^oom_kill 1$" $self/memory.events) $(zinit status loud | grep Log)"
echo max >$self/memory.max
zinit start bomb
until [ $(grep -c . /sys/fs/cgroup/zinit.1/bomb.svc/cgroup.procs) -gt 40 ]; do sleep 0.1; done
zinit stop bomb
echo "BOMB $? $(ps | grep -v grep | grep -c /bomb)"
zinit logs zinit | grep "bomb: still present"
echo 400 >/proc/sys/kernel/pid_max
zinit start storm
for i in 1 2 3 4 5; do
	zinit start quick
	until ! zinit status quick | grep -q running; do sleep 0.1; done
	zinit stop quick
done
zinit stop storm
echo END-OF-REPORT'"""
oneshot = true
`
	services["off"] = "[service]\nexec = \"zinit poweroff\"\noneshot = true\n[dependencies]\nrequires = [\"report\"]\n"
	for name, text := range services {
		g.file("/etc/zinit/services/"+name+".toml", text)
	}
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START escaped`)
	g.sees(`^END-OF-REPORT`)
	g.powersOff()
	text := strings.ReplaceAll(g.console.String(), "\r", "")
	for _, want := range []string{
		`Error: +killed for want of memory \(memory_max 16\.0 MiB\)`, `Error: +(before it was ready: )?signal KILL`,
		`Held by: +cgroup /sys/fs/cgroup/zinit\.1/escaped\.svc`, `(?m)^ESCAPED 0$`, `(?m)^4$`,
		`(?m)^box Held by: +cgroup /sys/fs/cgroup/zinit\.1/inner\.svc$`, `(?m)^sealed Held by: +process group$`, `(?m)^LEAF 0 17$`,
		`(?m)^BOMB 0 0$`, `(?m)^START stranger `,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the console does not show %q", want)
		}
	}
	short := regexp.MustCompile(`(?m)killed for want of memory; (\d+) bytes of logs were dropped[^"]*^SHORT 1 Log: +(\d+) bytes kept, (\d+) dropped$`).FindStringSubmatch(text)
	if len(short) != 4 || len(short[1]) < 7 || !addsUp(short[2], short[3], 16_000*1000) {
		t.Errorf("after a shortage of memory the console shows %q", short)
	}
	report, _, _ := strings.Cut(text, "END-OF-REPORT")
	for _, bad := range []string{`(?m)^(TERM|EXIT|SIGNAL|CONT) stranger`, `bomb: still present`} {
		if found := regexp.MustCompile(bad).FindString(report); found != "" {
			t.Errorf("the console shows %q", found)
		}
	}
}

// addsUp reports whether two numbers are a third together.
func addsUp(a, b string, sum int) bool {
	n, _ := strconv.Atoi(a)
	m, _ := strconv.Atoi(b)
	return n+m == sum
}
