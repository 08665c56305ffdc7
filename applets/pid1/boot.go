package pid1

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// console is where a machine says what it does. Writing to it must not stop
// the machine, so errors are of no interest.
type console struct{ out io.Writer }

func (c console) line(text string) { fmt.Fprintf(c.out, "zinit: %s\n", text) }

// step is one thing to be done at boot. A step that fails is a line on the
// console, not a stop.
type step struct {
	name string
	do   func() error
}

// mount is a filesystem that a machine needs. It is left alone where something
// is mounted already.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

const harmless = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts in the order in which they stand on each other.
var mounts = []mount{
	{"proc", "/proc", "proc", harmless, ""},
	{"sysfs", "/sys", "sysfs", harmless, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", harmless, ""},
}

func (m mount) step() step { return step{"mount " + m.target, m.do} }

func (m mount) do() error {
	if mountedOn(m.target) {
		return nil
	}
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	return unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)
}

// mountedOn reports whether path is the top of a mount, by comparing devices:
// /proc may not be there yet.
func mountedOn(path string) bool {
	var here, above unix.Stat_t
	if unix.Stat(path, &here) != nil || unix.Stat(path+"/..", &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}

// boot makes the ground of a machine, each step with its outcome, and returns
// what the kernel's command line asks of the server.
func (c console) boot() (serverFlags []string) {
	var steps []step
	for _, m := range mounts {
		steps = append(steps, m.step())
	}
	steps = append(steps,
		step{"stdio on /dev/console", openConsole},
		step{"/var/run is /run", func() error { makeRun(); return nil }},
		step{"hostname", setHostname},
		step{"loopback up", loopbackUp},
		step{"Ctrl-Alt-Del is a signal", func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) }},
	)
	outcomes := make([]error, len(steps))
	for i, s := range steps { // told afterwards: only now there is a console, and the word quiet
		outcomes[i] = s.do()
	}
	words, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		c.line(fmt.Sprintf("cannot read the kernel's command line: %v", err))
	}
	quiet, serverFlags := kernelWords(string(words))
	for i, s := range steps {
		switch {
		case outcomes[i] != nil:
			c.line(fmt.Sprintf("boot: %s: %v", s.name, outcomes[i]))
		case !quiet:
			c.line(fmt.Sprintf("boot: %s: done", s.name))
		}
	}
	return serverFlags
}

// kernelWords reads the words of the kernel's command line that concern zinit.
// All others are ignored, and so is what comes after --.
func kernelWords(cmdline string) (quiet bool, serverFlags []string) {
	for _, w := range strings.Fields(cmdline) {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case w == "--":
			return quiet, serverFlags
		case w == "quiet":
			quiet = true
			serverFlags = append(serverFlags, "--quiet")
		case w == "single" || w == "zinit.rescue":
			serverFlags = append(serverFlags, "--rescue")
		case key == "zinit.target" && value != "":
			serverFlags = append(serverFlags, "--target", value)
		case key == "zinit.log" && value != "":
			serverFlags = append(serverFlags, "--log-level", value)
		case w == "zinitdebug=1":
			serverFlags = append(serverFlags, "--log-level", "debug")
		}
	}
	return quiet, serverFlags
}

// openConsole gives 0, 1 and 2 the console: in an initramfs the kernel may have
// found none to open.
func openConsole() error {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	for std := range 3 {
		if fd == std {
			continue
		}
		if err := unix.Dup3(fd, std, 0); err != nil {
			return err
		}
	}
	if fd > 2 {
		unix.Close(fd)
	}
	return nil
}

func setHostname() error {
	name := "localhost"
	if b, err := os.ReadFile("/etc/hostname"); err == nil && strings.TrimSpace(string(b)) != "" {
		name = strings.TrimSpace(string(b))
	}
	return unix.Sethostname([]byte(name))
}

// loopbackUp is `ip link set lo up`. Source: netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
