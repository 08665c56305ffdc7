package applets_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// witnesses are two services, of which the second needs the first.
func (g *guest) witnesses() {
	g.file("/etc/zinit/services/below.toml", "[service]\nexec = \"wit -f /dev/console\"\n")
	g.file("/etc/zinit/services/witness.toml", "[service]\nexec = \"wit -f /dev/console\"\n[dependencies]\nrequires = [\"below\"]\n")
}

// busybox puts busybox and links for some of its tools into the guest.
func (g *guest) busybox(tools ...string) {
	g.program("/bin/busybox", "busybox")
	for _, tool := range tools {
		g.entries = append(g.entries, "bin/"+tool+"@busybox")
	}
}

// types writes a line as if typed on the console.
func (g *guest) types(line string) {
	if _, err := io.WriteString(g.keys, line+"\n"); err != nil {
		g.t.Fatal(err)
	}
}

// prompts waits for the n-th prompt of a shell. What is typed before that is
// echoed into the middle of what others print, and a line may begin anywhere.
func (g *guest) prompts(n int) {
	g.t.Helper()
	g.sees(fmt.Sprintf(`(?s:(?:.*?/ # ){%d})`, n))
}

// endsInOrder wants that the machine ends by itself in this way, after the
// services were stopped in reverse order.
func (g *guest) endsInOrder(kernelSays string) {
	g.t.Helper()
	g.powersOff()
	text := g.console.String()
	at := 0
	for _, want := range []string{"TERM witness", "EXIT witness", "TERM below", "EXIT below", kernelSays} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			g.t.Fatalf("the console does not show %q in its place", want)
		}
		at += i
	}
}

// Scenario 6: Ctrl-Alt-Del is an orderly reboot, not the kernel's at once.
func TestScenario006CtrlAltDelRebootsInOrder(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.monitor = filepath.Join(t.TempDir(), "m")
	g.witnesses()
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START witness`)
	c, err := net.Dial("unix", g.monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, "sendkey ctrl-alt-delete"); err != nil {
		t.Fatal(err)
	}
	g.endsInOrder("reboot: Restarting system")
}

// Scenario 7: PWR powers off. Before, HUP reloads and USR1 replaces the server.
func TestScenario007SignalsToAMachine(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.busybox("sh", "kill", "sleep", "cp", "sed")
	g.witnesses()
	g.file("/new.toml", "[service]\nexec = \"wit -f /dev/console\"\n")
	g.file("/etc/zinit/services/signals.toml", `[service]
exec = """/bin/sh -c 'generation() { zinit version --json | sed -n "s/.*\\"generation\\": *\\([0-9]*\\).*/\\1/p"; }
cp /new.toml /etc/zinit/services/new.toml
kill -HUP 1; until zinit status new; do sleep 0.1; done
kill -USR1 1; until [ "$(generation)" = 2 ]; do sleep 0.1; done
kill -WINCH 1
echo GENERATION $(generation) >/dev/console
kill -PWR 1'"""
oneshot = true
[dependencies]
requires = ["witness"]
`)
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START new`)
	g.sees(`^GENERATION 2`)
	g.endsInOrder("reboot: Power down")
	if n := strings.Count(g.console.String(), "START witness"); n != 1 {
		t.Errorf("the witness was started %d times", n)
	}
}

// Scenario 10: a machine that cannot be powered off is halted.
func TestScenario010WithoutPowerOffAMachineHalts(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.words = "acpi=off"
	g.file("/etc/zinit/services/off.toml", "[service]\nexec = \"zinit poweroff\"\noneshot = true\n")
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`reboot: (System halted|Power down)`)
}

// Scenario 12: unknown words of the kernel's command line, which it hands to
// init as arguments and environment, change nothing. Scenario 14: what the
// kernel runs to power off has closed descriptors and hardly an environment.
func TestScenario012And014OddWordsAndTheKernelsHelper(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.words = "splash foo=bar -- -x 'a b' single"
	g.busybox("sh", "env")
	g.witnesses()
	g.file("/etc/zinit/services/report.toml", `[service]
exec = """/bin/sh -c 'env | while read -r v; do echo "ENV $v"; done >/dev/console
cd / && exec env -i HOME=/ PATH=/sbin:/bin /sbin/poweroff <&- >&- 2>&-'"""
oneshot = true
[dependencies]
requires = ["witness"]
`)
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^ENV ZINIT_SERVICE=report`)
	g.endsInOrder("reboot: Power down")
	if strings.Contains(g.console.String(), "ENV foo=") {
		t.Error("a word of the kernel's command line is in a service's environment")
	}
}

// A rescue is a shell before anything starts; a critical service that fails is
// another one. What is typed reaches them, and the boot goes on when the first
// is closed.
func TestAShellOnTheConsoleInAnEmergency(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.words = "single"
	g.busybox("sh", "cat")
	g.witnesses()
	g.file("/etc/zinit/services/vital.toml",
		"[service]\nexec = \"nosuchprogram\"\ncritical = true\n[dependencies]\nrequires = [\"witness\"]\n[lifecycle]\nrestart = \"never\"\n")
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`zinit: emergency: .*rescue`)
	g.prompts(1)
	g.types("echo RESCUE-$((40+2)); zinit list")
	g.sees(`RESCUE-42`)
	g.sees(`\[-\] witness`)
	if strings.Contains(g.console.String(), "START witness") {
		t.Error("services started before the rescue was over")
	}
	g.prompts(2)
	g.types("exit")
	g.sees(`START witness`) // perhaps behind a prompt
	g.sees(`zinit: emergency: .*vital`)
	g.prompts(3)
	g.types("echo EMERGENCY-$((40+2)); zinit poweroff --no-wait")
	g.sees(`EMERGENCY-42`)
	g.endsInOrder("reboot: Power down")
}

// Without a shell the emergency is a prompt of zinit's own.
func TestAPromptOnTheConsoleWithoutAShell(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.witnesses()
	g.file("/etc/zinit/services/vital.toml",
		"[service]\nexec = \"wit -exit 3\"\ncritical = true\n[dependencies]\nrequires = [\"witness\"]\n[lifecycle]\nrestart = \"never\"\n")
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`zinit: emergency: .*vital.*exit 3`)
	g.sees(`^zinit> `)
	g.types("list")
	g.sees(`\[X\] vital`)
	g.types("rm -rf /")
	g.sees(`commands: list`)
	g.types("poweroff")
	g.endsInOrder("reboot: Power down")
}

// At the end everything is unmounted without a complaint, whatever lies on
// whatever else.
func TestAMachineUnmountsWhatWasMounted(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.busybox("sh", "mount", "mkdir", "sleep")
	g.witnesses()
	g.file("/etc/zinit/services/mounts.toml", `[service]
exec = """/bin/sh -c 'mkdir -p "/mnt/a b"; mount -t tmpfs one "/mnt/a b"; mkdir "/mnt/a b/c"; mount -t tmpfs two "/mnt/a b/c"
mount -o bind "/mnt/a b/c" /etc; mount -t tmpfs three /mnt; cd /mnt; sleep 1000 & zinit poweroff'"""
oneshot = true
[dependencies]
requires = ["witness"]
`)
	g.boot(filepath.Join(built, "zinit-static"))
	g.sees(`^START witness`)
	g.endsInOrder("reboot: Power down")
	// "/run read-only: device or resource busy", in each of these tests, was seen by
	// nobody: the keeper holds the control socket, whose name is gone.
	if found := regexp.MustCompile(`(?m)^zinit: .*(unmount|read-only|detach|outlived).*$`).FindString(g.console.String()); found != "" {
		t.Errorf("the console shows a complaint: %s", found)
	}
}
