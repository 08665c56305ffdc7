// Wit is the witness: the service that tests run. It writes what happens to
// it, one record a line, to a file opened for append, and shares no code with
// zinit, so that a verdict on order, number and "still alive" never comes
// from the program under test.
//
//	KIND NAME PID STARTTIME BOOTTIME_NS [DETAIL]
//
// KIND is START, READY, TERM, CONT, SIGNAL (any other, named in DETAIL),
// CHILD (one was left behind, its pid in DETAIL), LEFT (one that an earlier
// run left still lives, its pid in DETAIL) or EXIT (the status in DETAIL). STARTTIME is field 22 of /proc/PID/stat, "-" where there is no
// /proc. The file may be a terminal or the console.
//
//	wit -f FILE -n NAME [-exit N | -die SIGNAL] [-after D] ...
//
// Without -after, -exit, -die or -gate it stays until SIGTERM, which ends it
// with status 0.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"time"
)

// plan is what this witness was told to do.
type plan struct {
	file, name string

	exit     int           // status at the end of after
	die      string        // or the signal it sends itself
	after    time.Duration // 0 with ends: at once
	gate     string        // a FIFO: its end opens when somebody writes
	failRuns int           // exit 1 in the first so many runs of this name
	ends     bool          // it ends by itself

	ignoreTerm bool
	termDelay  time.Duration // between TERM and the end
	lastWords  int           // lines between TERM and the end

	readyFD    int
	readyAfter time.Duration

	fork     int
	forkMode string // group, session, double
	forkTerm bool   // children ignore TERM
	look     bool   // note children of earlier runs that still live

	holdStdout time.Duration // a grandchild in a new session prints and holds stdout
	lines      int           // numbered lines, -1 without end
	rate       int           // lines a second, 0 as fast as it goes
	raw        string        // a pattern, see rawBytes

	kind   string // of the first record, in place of START
	detail string // of that record; $NAME is taken from the environment
	say    string // a notification, \n for a newline, sent after readyAfter to $NOTIFY_SOCKET

	between bool // the short-lived middle of a double fork
}

func parse(args []string) (*plan, error) {
	p := &plan{}
	fs := flag.NewFlagSet("wit", flag.ContinueOnError)
	fs.StringVar(&p.file, "f", os.Getenv("WIT"), "file of records (default $WIT)")
	fs.StringVar(&p.name, "n", cmp.Or(os.Getenv("ZINIT_SERVICE"), "wit"), "name in the records (default $ZINIT_SERVICE)")
	fs.IntVar(&p.exit, "exit", 0, "end with this status")
	fs.StringVar(&p.die, "die", "", "end by this signal, such as KILL or SEGV")
	fs.DurationVar(&p.after, "after", 0, "time before the end")
	fs.StringVar(&p.gate, "gate", "", "end when this FIFO is opened for writing")
	fs.IntVar(&p.failRuns, "fail-runs", 0, "exit 1 in the first N runs")
	fs.BoolVar(&p.ignoreTerm, "ignore-term", false, "note TERM and go on")
	fs.DurationVar(&p.termDelay, "term-delay", 0, "time between TERM and the end")
	fs.IntVar(&p.lastWords, "last-words", 0, "lines between TERM and the end")
	fs.IntVar(&p.readyFD, "ready-fd", 0, "write a newline to this descriptor when ready")
	fs.DurationVar(&p.readyAfter, "ready-after", 0, "time before it is ready")
	fs.IntVar(&p.fork, "fork", 0, "leave so many children")
	fs.StringVar(&p.forkMode, "fork-mode", "group", "group, session or double")
	fs.BoolVar(&p.forkTerm, "fork-ignore-term", false, "the children ignore TERM")
	fs.BoolVar(&p.look, "look", false, "at the start, note children of earlier runs that still live")
	fs.DurationVar(&p.holdStdout, "hold-stdout", 0, "a grandchild holds stdout so long, printing")
	fs.IntVar(&p.lines, "lines", 0, "print so many numbered lines, -1 without end")
	fs.IntVar(&p.rate, "rate", 0, "lines a second, 0 without pause")
	fs.StringVar(&p.raw, "raw", "", "print all256, partial, crlf, escape or huge:BYTES")
	fs.StringVar(&p.kind, "kind", "START", "kind of the first record")
	fs.StringVar(&p.detail, "detail", "", "of the first record; $NAME from the environment")
	fs.StringVar(&p.say, "say", "", "send this to $NOTIFY_SOCKET when ready, such as READY=1")
	fs.BoolVar(&p.between, "between", false, "internal: the middle of a double fork")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "exit", "die", "after", "gate":
			p.ends = true
		}
	})
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	return p, nil
}

func main() {
	p, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	n, err := openNotes(p.file, p.name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "wit:", err)
		os.Exit(3)
	}
	if p.between {
		leave(p, n, "session")
		os.Exit(0)
	}
	w := &witness{plan: p, notes: n}
	os.Exit(w.live())
}
