package server

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"zinit/applets"
	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/cgroup"
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
	if err := run(f, client, welcome, std.Err); err != nil {
		fmt.Fprintf(std.Err, "zinit server: %v\n", err)
		return 1
	}
	return 0
}

// startHeap is how much memory a start may take before it is collected.
const startHeap = 64 << 20

// run begins, listens, says that it is ready and supervises until the end. An
// error is what another server may do better; what none can is the end of zinit, and the
// keeper shows the last words.
func run(f *flags, client *keeper.Client, w *keeper.Welcome, last io.Writer) error {
	p, err := f.paths()
	if err != nil {
		return err
	}
	pump, err := logs.NewPump(client)
	if err != nil {
		return fmt.Errorf("cannot start the log pump: %w", err)
	}
	doors := &sockets{client: client, say: func(format string, args ...any) { pump.Write(fmt.Appendf(nil, format, args...)) }}
	opt := f.options(p)
	opt.Reopen = doors.reopen
	s := supervisor.New(opt, client, pump)
	client.Start(s.Deliver)
	err = s.Begin(w)
	if err == nil {
		err = doors.open(p.sockets, w.Held)
		if err != nil && f.mode != supervisor.User {
			pump.Write([]byte("warning: " + err.Error() + "; there is no control socket\n"))
			err = nil
		}
	}
	if err != nil {
		fmt.Fprintln(last, err)
		client.End(keeper.End{How: keeper.Stop, Status: 1})
		<-s.Lost()
		return nil
	}
	f.console(pump)
	handler := rpc.NewServer(Methods(s, pump), rpcOptions(pump))
	doors.let(handler.Serve)
	client.Ready()
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(math.MaxInt64)
	giveBack(s, time.Second)
	s.Run()
	fmt.Fprint(last, s.Unsaid())
	doors.close()
	handler.Close()
	<-s.Lost()
	return nil
}

// giveBack returns the memory that a start took, once nothing has happened for a
// while: after pause, or later when services were still starting then.
func giveBack(s *supervisor.Supervisor, pause time.Duration) {
	const longest = 16 * time.Second // what never rests is not waited for
	seq := s.Seq()
	time.AfterFunc(pause, func() {
		if s.Seq() != seq && pause < longest {
			giveBack(s, 2*pause)
			return
		}
		debug.FreeOSMemory()
	})
}

// cgroups reports whether each service gets one. A user's supervisor makes none in
// the root of the tree, which is another's, unless it is told to.
func (f *flags) cgroups() bool {
	asked := os.Getenv("ZINIT_CGROUPS")
	return asked == "1" || asked != "0" && (f.mode != supervisor.User || cgroup.Given())
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
	return supervisor.Options{Mode: f.mode, Cgroups: f.cgroups(), OOMKills: logs.OOMKills, Socket: socket, NotifyDir: notify, Version: applets.Version, Roots: p.roots, Trust: f.trust, Target: f.target,
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
