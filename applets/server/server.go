// Package server is the supervisor as a program. Called by a person it is the
// keeper of a supervisor without the duties of PID 1, and starts the same
// binary again as its server; called by a keeper, with --keeper-fd, it is that
// server.
package server

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zinit/applets"
	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/keeper"
)

// Main is the server applet. Its exit status is that of the orderly end, 1
// when it cannot start, 2 for a usage error.
func Main(args []string, std applets.Streams) int {
	f, status := parse(args, std)
	if f == nil {
		return status
	}
	if f.keeperFD > 0 {
		return serve(f, std)
	}
	return keep(f, std)
}

// keep is the keeper's half in user mode.
func keep(f *flags, std applets.Streams) int {
	caught := keeper.CatchSignals()
	p, err := f.paths()
	if err == nil && f.configDir != "" {
		err = thereIs(f.configDir)
	}
	if err == nil {
		err = p.makeUserDirs(f)
	}
	if err == nil {
		err = nobodyThere(p.sockets)
	}
	if err == nil {
		err = noLeftovers(p.sockets[0], f.endLeftovers, std.Err)
	}
	if err != nil {
		fmt.Fprintf(std.Err, "zinit: %v\n", err)
		return 1
	}
	end, err := keeper.Keep(keeper.Options{
		Caught:  caught,
		Server:  func(uint64) keeper.ServerCmd { return Command(f.rest(p)) },
		Signals: Signals(f.mode),
		Ready:   func() { tellReady(f) },
		Log:     func(line string) { fmt.Fprintf(std.Err, "zinit: %s\n", line) },
	})
	if err != nil {
		fmt.Fprintf(std.Err, "zinit: %v\n", err)
		return 1
	}
	return end.Status
}

// thereIs refuses a directory of service files that was given by name and does
// not exist: that is a slip of the finger, not an empty configuration.
func thereIs(dir string) error {
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("cannot use --config-dir: %w", err)
	case !st.IsDir():
		return fmt.Errorf("cannot use --config-dir: %s is no directory", dir)
	}
	return nil
}

// nobodyThere refuses a second instance on the same socket.
func nobodyThere(sockets []string) error {
	for _, path := range sockets {
		if err := rpc.Vacant(path); err != nil {
			return err
		}
	}
	return nil
}

// Command is how a keeper starts its server: this binary, told its place.
func Command(flags []string) keeper.ServerCmd {
	argv := append([]string{"zinit-server", "--keeper-fd", "3"}, flags...)
	return keeper.ServerCmd{Argv: argv, Env: os.Environ()}
}

// Signals says what a signal to zinit asks for. Every other does nothing.
func Signals(mode supervisor.Mode) map[syscall.Signal]keeper.Asking {
	m := map[syscall.Signal]keeper.Asking{unix.SIGHUP: keeper.Reload, unix.SIGUSR1: keeper.Restart}
	switch mode {
	case supervisor.Machine:
		m[unix.SIGTERM], m[unix.SIGPWR], m[unix.SIGUSR2] = keeper.PowerOff, keeper.PowerOff, keeper.PowerOff
		m[unix.SIGINT] = keeper.Reboot
	case supervisor.Container:
		const rtmin3 = syscall.Signal(37) // systemd's "halt", which podman and nspawn send
		for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGPWR, rtmin3} {
			m[s] = keeper.Stop
		}
	default:
		m[unix.SIGTERM], m[unix.SIGINT], m[unix.SIGQUIT] = keeper.Stop, keeper.Stop, keeper.Stop
	}
	return m
}

// takeOverBy is how long a server waits for its keeper's welcome.
const takeOverBy = 10 * time.Second

// tellReady tells zinit's own parent that it is ready: a newline on --ready-fd,
// READY=1 to NOTIFY_SOCKET.
func tellReady(f *flags) {
	if f.readyFD > 0 {
		unix.Write(f.readyFD, []byte("\n"))
		unix.Close(f.readyFD)
	}
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	unix.Sendto(fd, []byte("READY=1\nSTATUS=zinit "+applets.Version), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: path})
}
