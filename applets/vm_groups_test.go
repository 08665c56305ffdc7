package applets_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What only a whole machine has: every controller of cgroups v2. A service that
// takes more memory than memory_max is killed, and is told apart from one that
// somebody killed; one that makes more processes than pids_max cannot; a session
// that escaped and ignores TERM is gone when its service is.
func TestAMachineLimitsAndContainsServices(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.program("/bin/busybox", "busybox")
	for _, tool := range []string{"sh", "sleep", "grep", "cat", "tail", "kill", "true", "ps"} {
		g.entries = append(g.entries, "bin/"+tool+"@busybox")
	}
	const never = "[lifecycle]\nrestart = \"never\"\nstop_timeout_ms = 1000\n"
	for name, text := range map[string]string{
		"greedy":  "[service]\nexec = \"sh -c 'tail /dev/zero'\"\n[resources]\nmemory_max = \"16MiB\"\n" + never,
		"killed":  "[service]\nexec = \"sh -c 'kill -9 $$'\"\n[resources]\nmemory_max = \"16MiB\"\n" + never,
		"many":    "[service]\nexec = \"\"\"sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'\"\"\"\n[resources]\npids_max = 4\n" + never,
		"escaped": "[service]\nexec = \"wit -f /dev/console -fork 1 -fork-mode session -fork-ignore-term\"\n" + never,
		"report": `[service]
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
echo END-OF-REPORT'"""
oneshot = true
`,
		"off": "[service]\nexec = \"zinit poweroff\"\noneshot = true\n[dependencies]\nrequires = [\"report\"]\n",
	} {
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
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the console does not show %q", want)
		}
	}
}
