package keeper

import (
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The end-to-end tests run a real keeper and real servers. A server is a
// puppet: it connects to the test, does what it is told, and repeats what it
// hears.

// order is what the test tells a server.
type order struct {
	ID     int // answered by a report with the same ID, when it is not 0
	Op     string
	Spawn  Spawn
	Signal Signal
	Kind   EventKind
	Tag    string
	Run    uint64
	Ask    Ask
	Name   string
	Text   []byte
	End    End
	N      int
}

// report is what a server tells the test.
type report struct {
	ID      int
	Pid     int
	Welcome *Welcome
	Event   *Event
	Text    []byte
	Err     string
}

// keeperMain is the keeper of a test.
func keeperMain() int {
	if os.Getenv("KEEPER_TEST_MESS") != "" {
		makeAMess()
	}
	caught := CatchSignals()
	go dieWithTheTest()
	var emergency func(uint64) Spawn
	if mark := os.Getenv("KEEPER_TEST_EMERGENCY"); mark != "" {
		emergency = func(run uint64) Spawn {
			return Spawn{Tag: "emergency/x", Run: run, Paths: []string{"/bin/sh"}, Argv: []string{"sh", "-c", "echo $$ >>" + mark + "; exec sleep 1000"}, Umask: -1}
		}
	}
	end, err := Keep(Options{
		Emergency: emergency,
		Caught:    caught,
		Server: func(n uint64) ServerCmd {
			return ServerCmd{Argv: []string{"server", strconv.FormatUint(n, 10)}, Env: os.Environ(), Path: os.Getenv("KEEPER_TEST_PATH")}
		},
		Signals:   map[syscall.Signal]Asking{syscall.SIGTERM: Stop, syscall.SIGHUP: Reload, syscall.SIGUSR1: Restart},
		Log:       func(line string) { fmt.Fprintln(os.Stderr, "keeper:", line) },
		Patience:  millis(os.Getenv("KEEPER_TEST_PATIENCE")),
		Tick:      millis(os.Getenv("KEEPER_TEST_TICK")),
		Probation: millis(os.Getenv("KEEPER_TEST_PROBATION")),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	if left := anyLiving(); left != "" {
		fmt.Fprintln(os.Stderr, "left behind:", left)
		return 98
	}
	return end.Status
}

// dieWithTheTest ends all that the keeper has when the test process, which
// holds the other end of its stdin, is gone.
func dieWithTheTest() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	for pid, start := range descendants(os.Getpid()) {
		signalExactly(pid, start, unix.SIGKILL)
	}
	os.Exit(97)
}

func anyLiving() (list string) {
	for pid := range descendants(os.Getpid()) {
		if s, ok := readStat(pid); ok && s.living() {
			list += " " + strconv.Itoa(pid)
		}
	}
	return list
}

func millis(text string) time.Duration {
	n, _ := strconv.Atoi(text)
	return time.Duration(n) * time.Millisecond
}

// puppet is a server of a test.
type puppet struct {
	c     *Client
	outMu sync.Mutex
	out   *gob.Encoder

	mu   sync.Mutex
	fds  map[string]int // by held name
	tell bool           // repeat events to the test
	stay bool           // when the keeper is lost
	hear func(Event)    // of a drill
}

func (p *puppet) say(r report) {
	p.outMu.Lock()
	defer p.outMu.Unlock()
	_ = p.out.Encode(r)
}

// serverMain is a server of a test. A file named "fail" beside the socket
// makes it exit at once, one named "mute" makes the first that finds it say
// nothing at all, one named "muted" all of them.
func serverMain() int {
	path := os.Getenv("KEEPER_TEST_SOCKET")
	if _, err := os.Stat(path + ".fail"); err == nil {
		return 9
	}
	if _, err := os.Stat(path + ".muted"); err == nil || os.Remove(path+".mute") == nil {
		_, _ = unix.Poll(nil, -1) // for good
	}
	c, err := NewClient(3)
	if err != nil {
		return 1
	}
	p := &puppet{c: c, fds: map[string]int{}, tell: true}
	w, err := p.c.Hello(10 * time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, fds := range w.Held {
		p.fds[name] = fds[0]
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 1
	}
	p.out = gob.NewEncoder(conn)
	p.say(report{Pid: os.Getpid(), Welcome: w})
	p.c.Start(p.deliver)
	in := gob.NewDecoder(conn)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return 0
		}
		p.obey(o)
	}
}

func (p *puppet) deliver(ev Event) {
	p.mu.Lock()
	if ev.Kind == Lost && !p.stay {
		os.Exit(0)
	}
	for _, f := range ev.FDs {
		p.fds[f.Name] = f.FD
	}
	tell, hear := p.tell, p.hear
	p.mu.Unlock()
	if hear != nil {
		hear(ev)
	}
	if tell {
		p.say(report{Event: &ev})
	}
}

func (p *puppet) obey(o order) {
	switch o.Op {
	case "spawn":
		p.c.Spawn(o.Spawn)
	case "signal":
		p.c.Signal(o.Signal)
	case "ack":
		p.c.Ack(o.Kind, o.Tag, o.Run)
	case "ackask":
		p.c.AckAsk(o.Ask)
	case "drop":
		p.c.Drop(o.Name)
	case "ready":
		p.c.Ready()
	case "end":
		p.c.End(o.End)
	case "exit":
		_, _ = os.Stderr.Write(o.Text)
		os.Exit(o.N)
	case "raw": // bytes that are no request
		_ = (&wire{fd: p.c.out.fd}).send(o.Text, make([]int, o.N), 0) // with its stdin
	case "hold":
		fd, _ := unix.MemfdCreate("t", unix.MFD_CLOEXEC)
		_, _ = unix.Pwrite(fd, o.Text, 0)
		p.c.Hold(o.Name, slices.Repeat([]int{fd}, max(o.N, 1))...)
	case "read":
		text, err := p.read(o.Name)
		p.say(report{ID: o.ID, Text: text, Err: fmt.Sprint(err)})
	case "upgrade":
		fd, err := unix.Open(o.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		p.c.Upgrade(uint64(o.N), fd)
	case "deaf": // takes no more news
		p.mu.Lock()
		p.hear = func(Event) { <-make(chan struct{}) }
		p.mu.Unlock()
		p.say(report{ID: o.ID})
	case "stay":
		p.mu.Lock()
		p.stay = true
		p.mu.Unlock()
	case "flood":
		deaf := make(chan struct{})
		p.mu.Lock()
		p.hear = func(Event) { <-deaf } // for good
		p.mu.Unlock()
		go p.flood(o.N)
	case "flooded":
		p.say(report{ID: o.ID, Text: []byte(p.flooded(o))})
	case "drill":
		go func() { p.say(report{ID: o.ID, Text: []byte(p.drill(o))}) }()
	}
}

// read reads something held from its beginning, a pipe to its end.
func (p *puppet) read(name string) ([]byte, error) {
	p.mu.Lock()
	fd, ok := p.fds[name]
	p.mu.Unlock()
	if !ok {
		return nil, os.ErrNotExist
	}
	if strings.HasPrefix(name, "pipe/") {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(dup), name)
		defer f.Close()
		return io.ReadAll(f)
	}
	b := make([]byte, 1<<20)
	n, err := unix.Pread(fd, b, 0)
	return b[:max(n, 0)], err
}

// drill spawns o.N runs of o.Spawn, o.Run of them at a time, sees each to its
// end, and says how that went.
func (p *puppet) drill(o order) string {
	finished := make(chan struct{}, o.N)
	var spawned, execed, exited, gone, wrong int
	p.mu.Lock()
	p.tell = false
	p.hear = func(ev Event) {
		switch ev.Kind {
		case Spawned:
			spawned++
			for _, f := range ev.FDs {
				unix.Close(f.FD)
				p.c.Drop(f.Name)
			}
		case Execed:
			execed++
		case Exited:
			exited++
			if ev.Status != 0 || ev.NoExec {
				wrong++
			}
			p.c.Ack(Exited, ev.Tag, ev.Run)
		case Gone:
			gone++
			p.c.Ack(Gone, ev.Tag, ev.Run)
			finished <- struct{}{}
		case Busy: // no entry was made: ask again, as a server does
			s := o.Spawn
			s.Run = ev.Run
			p.c.Spawn(s)
		default:
			wrong++
			finished <- struct{}{}
		}
	}
	p.mu.Unlock()
	start := time.Now()
	for i := range o.N {
		if i >= int(o.Run) {
			<-finished
		}
		s := o.Spawn
		s.Run = uint64(i + 1)
		p.c.Spawn(s)
	}
	for range min(o.N, int(o.Run)) {
		<-finished
	}
	took := time.Since(start)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell, p.hear = true, nil
	return fmt.Sprintf("%d %d %d %d %d %d", spawned, execed, exited, gone, wrong, took.Microseconds())
}
