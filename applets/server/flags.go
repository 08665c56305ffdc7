package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"zinit/applets"
	"zinit/supervisor"
)

// flags are what the server applet is told. Flags win over variables, and
// variables over defaults.
type flags struct {
	configDir, logLevel string
	sockets             []string // where to listen, in place of the mode's own
	target              string
	shutdownTimeout     time.Duration
	trust               bool
	readyFD             int
	endLeftovers        bool
	exitWhenIdle        bool
	rescue, quiet       bool                // words of the kernel's command line
	main                *supervisor.Command // of zinit init -- CMD; nil: none
	mode                supervisor.Mode
	keeperFD            int // 0: a person called
	level               supervisor.Level
}

const usage = `Usage: zinit server [FLAGS]

Supervises the services of a directory, until it is told to stop (Ctrl-C, TERM).

  zinit server --config-dir ./services --socket ./zinit.sock

Flags:
  -c, --config-dir DIR      service files; a DIR with services/ or targets/ in it is a whole root
                            (ZINIT_CONFIG_DIR; default ~/hero/var/zinit, for root /etc/zinit)
  -s, --socket PATH         where clients call (ZINIT_SOCKET; default ~/hero/var/zinit.sock, for root /var/run/zinit.sock)
      --log-level LEVEL     debug, info, warn or error (ZINIT_LOG_LEVEL; default info)
      --target NAME         start only NAME and what it pulls in
      --shutdown-timeout D  how long a shutdown may take, e.g. 30s (default 90s, in a container 10s)
      --trust-config        a file's wrong owner or mode is a warning, not an error
      --end-leftovers       stop what an earlier zinit on this socket left running when it was killed
      --ready-fd N          write a newline to descriptor N when ready
`

// parse reads the arguments. A nil result ends the applet with status.
func parse(args []string, std applets.Streams) (f *flags, status int) {
	switch f, err := read(args); {
	case err == nil:
		return f, 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(std.Out, usage)
		return nil, 0
	default:
		fmt.Fprintf(std.Err, "zinit server: %v\n  see: zinit server --help\n", err)
		return nil, 2
	}
}

// Judge says what is wrong with the flags that a keeper is to give its servers.
func Judge(args []string) error {
	_, err := read(append([]string{"server", "--keeper-fd", "3"}, args...))
	return err
}

func read(args []string) (f *flags, err error) {
	f = &flags{mode: supervisor.User}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	for _, name := range []string{"c", "config-dir"} {
		fs.StringVar(&f.configDir, name, os.Getenv("ZINIT_CONFIG_DIR"), "")
	}
	for _, name := range []string{"s", "socket"} {
		fs.Func(name, "", func(path string) error { f.sockets = append(f.sockets, path); return nil })
	}
	fs.StringVar(&f.logLevel, "log-level", os.Getenv("ZINIT_LOG_LEVEL"), "")
	fs.StringVar(&f.target, "target", "", "")
	fs.DurationVar(&f.shutdownTimeout, "shutdown-timeout", 0, "")
	fs.BoolVar(&f.trust, "trust-config", false, "")
	fs.IntVar(&f.readyFD, "ready-fd", 0, "")
	fs.BoolVar(&f.endLeftovers, "end-leftovers", false, "")
	fs.BoolVar(&f.rescue, "rescue", false, "")
	fs.BoolVar(&f.quiet, "quiet", false, "")
	fs.BoolVar(&f.exitWhenIdle, "exit-when-idle", false, "")
	fs.IntVar(&f.keeperFD, "keeper-fd", 0, "")
	mainDir := fs.String("main-dir", "", "")
	mainTTY := fs.Bool("main-tty", false, "")
	fs.StringVar((*string)(&f.mode), "mode", string(supervisor.User), "")
	pid1Mode := fs.Bool("pid1-mode", false, "")
	err = fs.Parse(args[1:])
	if env := os.Getenv("ZINIT_SOCKET"); env != "" && len(f.sockets) == 0 {
		f.sockets = []string{env}
	}
	if *mainDir != "" && f.keeperFD > 0 {
		f.main = &supervisor.Command{Argv: fs.Args(), Dir: *mainDir, TTY: *mainTTY}
	}
	if err == nil && fs.NArg() > 0 && f.main == nil {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err == nil {
		err = f.check()
	}
	if *pid1Mode && f.keeperFD == 0 {
		f.mode = supervisor.Container
	}
	return f, err
}

func (f *flags) check() error {
	var ok bool
	if f.level, ok = supervisor.ParseLevel(f.logLevel); !ok {
		return fmt.Errorf("unknown log level %q: debug, info, warn or error", f.logLevel)
	}
	if f.configDir != "" { // the server has another working directory than who typed this
		abs, err := filepath.Abs(f.configDir)
		if err != nil {
			return fmt.Errorf("cannot use --config-dir %q: %w", f.configDir, err)
		}
		f.configDir = abs
	}
	if f.main != nil && f.main.Argv[0] == "" {
		return errors.New(`cannot run "": the command names no program`)
	}
	if f.shutdownTimeout < 0 {
		return fmt.Errorf("--shutdown-timeout %s is negative", f.shutdownTimeout)
	}
	return nil
}

// rest renders f for the server that a keeper starts.
func (f *flags) rest(p paths) []string {
	out := []string{"--mode", string(f.mode), "--log-level", f.logLevel}
	for _, path := range p.sockets {
		out = append(out, "--socket", path)
	}
	if f.configDir != "" {
		out = append(out, "--config-dir", f.configDir)
	}
	if f.target != "" {
		out = append(out, "--target", f.target)
	}
	if f.shutdownTimeout != 0 {
		out = append(out, "--shutdown-timeout", f.shutdownTimeout.String())
	}
	if f.trust {
		out = append(out, "--trust-config")
	}
	return out
}
