// Package pid1 is the first process of a machine or a container: it makes the
// ground that services stand on, keeps the supervisor, and brings the end
// about.
package pid1

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/applets"
	"zinit/applets/server"
	"zinit/supervisor"
	"zinit/supervisor/keeper"
)

const usage = `Usage: zinit init [--container|-c] [FLAGS] [-- COMMAND ARGS...]

Runs as process 1: of a machine (mounts, services, reboot), or of a container
(services, an exit status). Which of the two is decided by the PID namespace.
In a container COMMAND is run beside the services, and its end is the end.

  docker run --rm IMAGE          with the binary as the image's entrypoint
  zinit init -c -- make test     not as process 1: behaves as in a container
  kernel command line            init=/sbin/init, or the binary as /init of an initramfs

Flags:
  -c, --container           run although this is not process 1
      --config-dir DIR      service files (ZINIT_CONFIG_DIR; default /etc/zinit)
      --socket PATH         where clients call (ZINIT_SOCKET; default /var/run/zinit.sock)
      --log-level LEVEL     debug, info, warn or error (ZINIT_LOG_LEVEL)
      --target NAME         start only NAME and what it pulls in
      --shutdown-timeout D  how long a shutdown may take (default 90s, in a container 10s)
      --exit-when-idle      a container ends when nothing runs, waits or is to be started again
      --trust-config        a file's wrong owner or mode is a warning, not an error
`

// options are what the init applet is told.
type options struct {
	container bool
	pass      []string // flags for the server
	levelled  bool     // --log-level is among them
	command   []string // what is given after --
}

// Main is the init applet. On a machine it never returns.
func Main(args []string, std applets.Streams) int {
	caught := keeper.CatchSignals()
	o, status := parse(args, std)
	if o == nil {
		return status
	}
	mode, err := modeOf(os.Getpid(), o.container, std)
	if err != nil {
		fmt.Fprintf(std.Err, "zinit init: %v\n", err)
		return 2
	}
	c := console{out: std.Err}
	keep := keeper.Options{Caught: caught, Signals: server.Signals(mode), Log: c.line}
	if mode == supervisor.Machine {
		o.pass = append(o.pass, c.boot()...)
		keep.Emergency = func(run uint64) keeper.Spawn {
			return supervisor.EmergencyRun("keeper", run, "no server can be started; the services that run go on")
		}
	} else {
		makeRun()
		if len(o.command) > 0 {
			o.runs()
			keep.Signals, keep.Forward = server.CommandSignals(), supervisor.MainName
		}
	}
	if err := server.Judge(o.pass); err != nil {
		fmt.Fprintf(std.Err, "zinit init: %v\n  see: zinit init --help\n", err)
		if mode != supervisor.Machine {
			return 2
		}
		o.pass = append(o.pass, "--log-level", "info") // a machine comes up whatever its kernel was told
	}
	keep.Server = func(uint64) keeper.ServerCmd {
		return server.Command(append([]string{"--mode", string(mode)}, o.pass...))
	}
	end, err := keeper.Keep(keep)
	if err != nil {
		c.line(err.Error())
		end.Status = 1
	}
	if mode == supervisor.Machine {
		c.finish(end.How)
	}
	return end.Status
}

func parse(args []string, std applets.Streams) (o *options, status int) {
	o = &options{}
	fs := flag.NewFlagSet("init", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.BoolVar(&o.container, "c", false, "")
	fs.BoolVar(&o.container, "container", false, "")
	for _, name := range []string{"config-dir", "socket", "log-level", "target"} {
		fs.Func(name, "", func(v string) (err error) {
			if name == "config-dir" || name == "socket" { // the server has another working directory
				v, err = filepath.Abs(v)
			}
			o.pass, o.levelled = append(o.pass, "--"+name, v), o.levelled || name == "log-level"
			return err
		})
	}
	fs.Func("shutdown-timeout", "", func(v string) error {
		if d, err := time.ParseDuration(v); err != nil || d < 0 {
			return fmt.Errorf("%q is no duration such as 30s", v)
		}
		o.pass = append(o.pass, "--shutdown-timeout", v)
		return nil
	})
	for _, name := range []string{"trust-config", "exit-when-idle"} {
		fs.BoolFunc(name, "", func(string) error { o.pass = append(o.pass, "--"+name); return nil })
	}
	own := args[1:]
	if i := slices.Index(own, "--"); i >= 0 {
		own, o.command = own[:i], own[i+1:]
	}
	err := fs.Parse(own)
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q; a command comes after --", fs.Arg(0))
	}
	if err == nil {
		err = absolute("ZINIT_CONFIG_DIR", "ZINIT_SOCKET")
	}
	switch {
	case err == nil:
		return o, 0
	case os.Getpid() == 1 && isMachine():
		return o, 0 // the kernel hands unknown words of its command line to init, and it comes up whatever they are
	case err == flag.ErrHelp:
		fmt.Fprint(std.Out, usage)
		return nil, 0
	}
	fmt.Fprintf(std.Err, "zinit init: %v\n  see: zinit init --help\n", err)
	return nil, 2
}

// absolute makes paths in variables those of who set them: the server, which
// inherits them, has another working directory.
func absolute(names ...string) error {
	for _, name := range names {
		v := os.Getenv(name)
		if v == "" {
			continue
		}
		abs, err := filepath.Abs(v)
		if err != nil {
			return fmt.Errorf("cannot use %s=%q: %w", name, v, err)
		}
		if err := os.Setenv(name, abs); err != nil {
			return err
		}
	}
	return nil
}

// runs prepares for a command: it works where zinit was started, and has the
// terminal, if there is one. zinit itself speaks only of trouble then, unless
// it was told otherwise.
func (o *options) runs() {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	if !o.levelled && os.Getenv("ZINIT_LOG_LEVEL") == "" {
		o.pass = append(o.pass, "--log-level", "warn")
	}
	o.pass = append(o.pass, "--main-dir", dir)
	if keeper.GiveUpTerminal() {
		o.pass = append(o.pass, "--main-tty")
	}
	o.pass = append(append(o.pass, "--"), o.command...)
}

// modeOf decides machine or container. Only the PID namespace counts: marker
// files end up in images of machines too.
func modeOf(pid int, container bool, std applets.Streams) (supervisor.Mode, error) {
	switch env := strings.ToLower(os.Getenv("ZINIT_CONTAINER")); env {
	case "1", "true", "yes":
		container = true
	}
	if pid != 1 {
		if container {
			return supervisor.Container, nil
		}
		return "", fmt.Errorf("this is process %d, not process 1; use: zinit server, or -c to run as in a container", pid)
	}
	if !isMachine() {
		return supervisor.Container, nil
	}
	if container {
		fmt.Fprintln(std.Err, "zinit: this is the first process of a machine; -c and ZINIT_CONTAINER are ignored")
	}
	return supervisor.Machine, nil
}

// initialPIDNamespace is the kernel's PROC_PID_INIT_INO, the inode of the PID
// namespace that a machine boots in.
const initialPIDNamespace = 0xEFFFFFFC

// isMachine reports whether this is the initial PID namespace. Before /proc is
// mounted it is mounted on a directory of our own; where that is impossible,
// a kernel thread as process 2 tells a machine.
func isMachine() bool {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		os.Mkdir("/proc", 0o555)
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "")
		if unix.Stat("/proc/self/ns/pid", &st) != nil {
			pgid, err := unix.Getpgid(2)
			return err == nil && pgid == 0
		}
	}
	return st.Ino == initialPIDNamespace
}

// makeRun makes /run and /var/run one place where one of them is missing.
func makeRun() {
	_, noRun := os.Stat("/run")
	_, noVarRun := os.Stat("/var/run")
	if noRun != nil && noVarRun != nil {
		noRun = os.Mkdir("/run", 0o755)
	}
	if noRun == nil && noVarRun != nil {
		os.Mkdir("/var", 0o755)
		os.Symlink("/run", "/var/run")
	}
	if noRun != nil && noVarRun == nil {
		os.Symlink("/var/run", "/run")
	}
}
