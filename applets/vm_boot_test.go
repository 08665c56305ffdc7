package applets_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// The whole journey of a machine, on a serial console: the shipped recipe
// boots (scenario 1), services are found without any PATH from the kernel
// (scenario 13), busybox and a real server run beside the witness, and
// poweroff ends in reboot(2), after every service had its orderly stop.
func TestScenario001And013AMachineBootsServesAndPowersOff(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.program("/bin/busybox", "busybox")
	g.program("/usr/bin/redis-server", "redis-server")
	g.program("/usr/bin/redis-cli", "redis-cli")
	g.entries = append(g.entries, "bin/sh@busybox", "bin/sleep@busybox")
	for name, text := range map[string]string{
		// SPEC's default PATH is searched: sleep has no slash and the kernel gave none.
		"plain":   "[service]\nexec = \"sleep 1000\"\n",
		"missing": "[service]\nexec = \"nosuchprogram\"\n[lifecycle]\nrestart = \"never\"\n",
		"witness": "[service]\nexec = \"wit -f /dev/console\"\n",
		"redis":   "[service]\nexec = \"redis-server --port 7001 --bind 127.0.0.1 --save '' --daemonize no\"\n",
		"report": `[service]
exec = """/bin/busybox sh -c 'exec >/dev/console 2>&1
until redis-cli -p 7001 ping; do sleep 0.1; done
echo "REDIS $(redis-cli -p 7001 ping)"
until zinit status missing | grep -q failed; do sleep 0.1; done
zinit status missing
zinit list
echo "NICS $(ls /proc/self/fd | wc -l) $(cat /proc/1/comm)"
echo END-OF-REPORT'"""
oneshot = true
[dependencies]
requires = ["plain", "witness", "redis"]
`,
		"off": "[service]\nexec = \"zinit poweroff\"\noneshot = true\n[dependencies]\nrequires = [\"report\"]\n",
	} {
		g.file("/etc/zinit/services/"+name+".toml", text)
	}
	for _, tool := range []string{"grep", "ls", "wc", "cat"} {
		g.entries = append(g.entries, "bin/"+tool+"@busybox")
	}
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START witness [0-9]+ [0-9]+ [0-9]+`)
	g.sees(`^REDIS PONG`)
	g.sees(`^END-OF-REPORT`)
	g.powersOff()

	text := g.console.String()
	for _, want := range []string{"nosuchprogram", "/usr/sbin", "TERM witness", "EXIT witness"} {
		if !strings.Contains(text, want) {
			t.Errorf("the console does not show %q", want)
		}
	}
	if !strings.Contains(text, "reboot: Power down") && !strings.Contains(text, "reboot: System halted") {
		t.Error("the kernel does not say that it was told to power off")
	}
}

// Ctrl-Alt-Del's signal and reboot: -no-reboot makes QEMU end where a machine
// would start again.
func TestAMachineRebootsOnRequest(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.file("/etc/zinit/services/witness.toml", "[service]\nexec = \"wit -f /dev/console\"\n")
	g.file("/etc/zinit/services/again.toml",
		"[service]\nexec = \"/sbin/reboot\"\noneshot = true\n[dependencies]\nrequires = [\"witness\"]\n")
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START witness`)
	g.powersOff()
	if text := g.console.String(); !strings.Contains(text, "reboot: Restarting system") || !strings.Contains(text, "EXIT witness") {
		t.Error("no orderly reboot on the console")
	}
}

// A server that dies on a machine is replaced and nothing else happens. F78: what
// the boot has mounted is not mounted again.
func TestAMachineSurvivesItsServer(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.program("/bin/busybox", "busybox")
	for _, tool := range []string{"sh", "kill", "pidof", "sleep", "sed", "cat"} {
		g.entries = append(g.entries, "bin/"+tool+"@busybox")
	}
	g.file("/etc/zinit/services/witness.toml", "[service]\nexec = \"wit -f /dev/console\"\n")
	g.file("/etc/zinit/services/killer.toml", `[service]
exec = """/bin/sh -c 'mounts="$(cat /proc/mounts)"
for i in 1 2 3 4 5; do
kill -9 $(zinit version --json | sed -n "s/.*\\"pid\\": *\\([0-9]*\\).*/\\1/p")
until zinit ping; do sleep 0.05; done
done
[ "$mounts" = "$(cat /proc/mounts)" ] && echo MOUNTS-AS-BEFORE >/dev/console
zinit list >/dev/console; echo SURVIVED >/dev/console; zinit poweroff'"""
oneshot = true
[dependencies]
requires = ["witness"]
`)
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^SURVIVED`)
	g.powersOff()
	if !strings.Contains(g.console.String(), "MOUNTS-AS-BEFORE") {
		t.Error("the mounts have changed")
	}
	if n := strings.Count(g.console.String(), "START witness"); n != 1 {
		t.Errorf("the witness was started %d times", n)
	}
}
