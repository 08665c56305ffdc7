// Package client is what people type: one verb, one question to the server, one
// answer on the terminal.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zinit/applets"
)

// Exit statuses. They are part of what scripts rely on.
const (
	exitDone       = 0
	exitFault      = 1 // the service's fault: it failed, or something in a file is wrong
	exitUsage      = 2 // the command line is off
	exitNotFound   = 3 // no such service
	exitNotRunning = 4 // it is not running, or not in that state
	exitTimedOut   = 5 // patience ended; the work goes on
	exitNoServer   = 6 // no server can be reached
	exitNotAllowed = 7 // the caller may not
	exitRefused    = 8 // it would break others, zinit is shutting down, or a file is invalid

	exitInterrupted = 130 // Ctrl-C: 128 and SIGINT, as a shell would say
)

// failure is an end with a status, a message and what to do. An empty message
// prints nothing: the answer has said it.
type failure struct {
	status int
	text   string
	hint   string
}

func (f *failure) Error() string { return f.text }

func fail(status int, hint, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...), hint}
}

// session is one run of the client.
type session struct {
	std    applets.Streams
	socket string // "": the usual places
	json   bool
	color  bool
}

// ends are the names under which scripts and the kernel call for the end.
var ends = []string{"poweroff", "reboot", "halt", "shutdown"}

// Main is the client applet.
func Main(args []string, std applets.Streams) int {
	out := &watched{Writer: std.Out}
	s := &session{std: applets.Streams{In: std.In, Out: out, Err: std.Err}, socket: os.Getenv("ZINIT_SOCKET"), color: isTerminal(std.Out) && os.Getenv("NO_COLOR") == ""}
	rest := args[1:]
	if name := filepath.Base(args[0]); slices.Contains(ends, name) {
		rest = append([]string{name}, rest...)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	status := s.status(s.run(ctx, rest))
	if out.err != nil && status == exitDone {
		return s.status(fail(exitFault, "", "cannot write the answer: %v", out.err))
	}
	return status
}

// watched remembers that something could not be written: an answer that went
// nowhere is no success.
type watched struct {
	io.Writer
	err error
}

// Write writes, and remembers the first error.
func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// text prints what f prints; as {"text": …} where JSON was asked for.
func (s *session) text(f func()) error {
	if !s.json {
		f()
		return nil
	}
	var b strings.Builder
	out := s.std.Out
	s.std.Out = &b
	f()
	s.std.Out = out
	return s.printJSON(map[string]string{"text": b.String()})
}

// run finds the verb and runs it. No verb is list.
func (s *session) run(ctx context.Context, args []string) error {
	args, err := s.globals(args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"list"}
	}
	verb, rest := args[0], args[1:]
	switch verb {
	case "-h", "--help":
		verb = "help"
	case "-V", "-v", "--version":
		return s.text(func() { fmt.Fprintf(s.std.Out, "zinit %s\n", applets.Version) })
	}
	cmd := find(s.verbs(), verb)
	if cmd == nil {
		return s.unknownVerb(verb)
	}
	if slices.Contains(rest, "--help") || slices.Contains(rest, "-h") && !cmd.raw {
		return s.helpFor(cmd)
	}
	c, err := cmd.parse(ctx, rest)
	if err != nil {
		return err
	}
	return cmd.run(c)
}

// globals takes the flags out that every verb understands, wherever they stand.
func (s *session) globals(args []string) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--":
			return append(rest, args[i:]...), nil
		case args[i] == "--json":
			s.json = true
		case args[i] == "--no-color":
			s.color = false
		case name == "--socket" || name == "-s" && len(rest) == 0:
			if !inline {
				if i++; i >= len(args) {
					return nil, fail(exitUsage, "zinit --socket /run/zinit.sock list", "%s needs a path", name)
				}
				value = args[i]
			}
			s.socket = value
		default:
			rest = append(rest, args[i])
		}
	}
	return rest, nil
}

// status prints an error and returns the exit status for it.
func (s *session) status(err error) int {
	if err == nil {
		return exitDone
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{exitFault, err.Error(), ""}
	}
	if f.text != "" {
		fmt.Fprintf(s.std.Err, "zinit: %s\n", safe(f.text))
	}
	if f.hint != "" {
		fmt.Fprintf(s.std.Err, "  %s\n", safe(f.hint))
	}
	return f.status
}

func (s *session) unknownVerb(verb string) error {
	names := verbNames(s.verbs())
	if near := nearest(verb, names); near != "" {
		return fail(exitUsage, "zinit help lists every command", "unknown command %q; did you mean %q?", verb, near)
	}
	return fail(exitUsage, "commands: "+strings.Join(names, ", ")+"; applets: init, pid1, server", "unknown command %q", verb)
}
