package server

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zinit/applets"
	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/keeper"
	"zinit/supervisor/logs"
)

// serve is the server that a keeper has started.
func serve(f *flags, std applets.Streams) int {
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE, unix.SIGHUP, unix.SIGINT, unix.SIGTERM) // none of them ends a server
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	runtime.GOMAXPROCS(1)  // measured: decisions are short, and a second processor costs more hand-overs than it saves
	debug.SetGCPercent(-1) // not while callers wait
	debug.SetMemoryLimit(startHeap)
	client, err := keeper.NewClient(f.keeperFD)
	if err != nil {
		fmt.Fprintf(std.Err, "zinit server: %v; --keeper-fd is for zinit itself\n", err)
		return 1
	}
	welcome, err := client.Hello(takeOverBy)
	if err != nil {
		fmt.Fprintf(std.Err, "zinit server: cannot talk to the keeper: %v\n", err)
		return 1
	}
	if err := run(f, client, welcome); err != nil {
		client.End(keeper.End{How: keeper.Stop, Status: 1})
		fmt.Fprintf(std.Out, "zinit: %v\n", err) // stderr is for a successor, and there is none
		time.Sleep(takeOverBy)                   // the keeper ends this process before
	}
	return 0
}

// startHeap is how much memory a start may take before it is collected.
const startHeap = 64 << 20

// run begins, listens, says that it is ready and supervises until the end.
func run(f *flags, client *keeper.Client, w *keeper.Welcome) error {
	p, err := f.paths()
	if err != nil {
		return err
	}
	pump, err := logs.NewPump(client)
	if err != nil {
		return fmt.Errorf("cannot start the log pump: %w", err)
	}
	s := supervisor.New(f.options(p), client, pump)
	client.Start(s.Deliver)
	if err := s.Begin(w); err != nil {
		return err
	}
	listeners, err := listen(p.sockets, w, client)
	if err != nil {
		if f.mode == supervisor.User {
			return err
		}
		pump.Write([]byte("warning: " + err.Error() + "; there is no control socket\n"))
	}
	f.console(pump)
	handler := rpc.NewServer(Methods(s, pump), rpcOptions(pump))
	for _, l := range listeners {
		go handler.Serve(l)
	}
	client.Ready()
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(math.MaxInt64)
	time.AfterFunc(time.Second, debug.FreeOSMemory) // what the start took is not needed again
	s.Run()
	for i, l := range listeners {
		os.Remove(p.sockets[i])
		l.Close()
	}
	handler.Close()
	<-s.Lost()
	return nil
}

func (f *flags) options(p paths) supervisor.Options {
	socket := ""
	if f.mode == supervisor.User {
		socket = p.sockets[0]
	}
	notify := "/run/zinit/notify"
	if f.mode == supervisor.User {
		notify = p.sockets[0] + ".notify"
	}
	return supervisor.Options{Mode: f.mode, Cgroups: os.Getenv("ZINIT_CGROUPS") != "0", Socket: socket, NotifyDir: notify, Version: applets.Version, Roots: p.roots, Trust: f.trust, Target: f.target,
		ShutdownTimeout: f.shutdownTimeout, Main: f.main, Rescue: f.rescue, ExitWhenIdle: f.exitWhenIdle, LogLevel: f.level, Environ: supervisor.BaseEnviron(f.mode, os.Environ())}
}

// console copies to standard output what belongs there: in a container
// everything, the command's own output as it is; elsewhere zinit's own messages.
func (f *flags) console(pump *logs.Pump) {
	o := logs.ConsoleOptions{}
	if f.main != nil {
		o.Bare = supervisor.MainName
	}
	if f.mode != supervisor.Container {
		o.Only = func(service string) bool { return service == supervisor.OwnLog }
	}
	if f.quiet {
		o.Format = onlyTrouble
	}
	pump.Console(1, o)
}

// onlyTrouble is the format of a quiet console: warnings, errors and what
// failed.
func onlyTrouble(dst []byte, l *logs.Line) []byte {
	for _, prefix := range []string{"warning: ", "error: ", "[X] "} {
		if bytes.HasPrefix(l.Text, []byte(prefix)) {
			return append(logs.AppendVisible(append(dst, "zinit: "...), l.Text), '\n')
		}
	}
	return dst
}

// rpcOptions let in whom SPEC lets in, and tell trouble in zinit's own log.
func rpcOptions(pump *logs.Pump) rpc.Options {
	return rpc.Options{Policy: rpc.DefaultPolicy(), Version: applets.Version,
		Log: func(line string) { pump.Write([]byte("warning: " + line + "\n")) }}
}

// listen takes over the sockets that the keeper holds, or makes them and gives
// them to it: callers wait in their queue while a server is replaced.
func listen(sockets []string, w *keeper.Welcome, client *keeper.Client) ([]*net.UnixListener, error) {
	var out []*net.UnixListener
	for i, path := range sockets {
		held := fmt.Sprintf("socket/%d", i)
		if fds := w.Held[held]; len(fds) == 1 {
			l, err := rpc.ListenerFromFD(fds[0])
			if err != nil {
				return out, fmt.Errorf("cannot take over the socket %s: %w", path, err)
			}
			out = append(out, l)
			continue
		}
		l, err := rpc.Listen(path)
		if err != nil {
			return out, err
		}
		fd, err := dup(l)
		if err != nil {
			return out, fmt.Errorf("cannot hand on the socket %s: %w", path, err)
		}
		client.Hold(held, fd)
		out = append(out, l)
	}
	return out, nil
}

// dup returns a descriptor of l's socket that stays open for the keeper's sake.
func dup(l syscall.Conn) (fd int, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) })
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}
