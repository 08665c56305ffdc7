package keeper

import (
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
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
	caught := CatchSignals()
	go dieWithTheTest()
	end, err := Keep(Options{
		Caught: caught,
		Server: func(n uint64) ServerCmd {
			return ServerCmd{Argv: []string{"server", strconv.FormatUint(n, 10)}, Env: os.Environ()}
		},
		Signals:  map[syscall.Signal]Asking{syscall.SIGTERM: Stop, syscall.SIGHUP: Reload, syscall.SIGUSR1: Restart},
		Log:      func(line string) { fmt.Fprintln(os.Stderr, "keeper:", line) },
		Patience: millis(os.Getenv("KEEPER_TEST_PATIENCE")),
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
	hear func(Event)    // of a drill
}

func (p *puppet) say(r report) {
	p.outMu.Lock()
	defer p.outMu.Unlock()
	_ = p.out.Encode(r)
}

// serverMain is a server of a test. A file named "fail" beside the socket
// makes it exit at once.
func serverMain() int {
	path := os.Getenv("KEEPER_TEST_SOCKET")
	if _, err := os.Stat(path + ".fail"); err == nil {
		return 9
	}
	p := &puppet{c: NewClient(3), fds: map[string]int{}, tell: true}
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
	if ev.Kind == Lost {
		os.Exit(0)
	}
	p.mu.Lock()
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
		os.Exit(o.N)
	case "raw": // bytes that are no request
		_ = (&wire{fd: p.c.out.fd}).send(o.Text, nil, 0)
	case "hold":
		fd, _ := unix.MemfdCreate("t", unix.MFD_CLOEXEC)
		_, _ = unix.Pwrite(fd, o.Text, 0)
		p.c.Hold(o.Name, slices.Repeat([]int{fd}, max(o.N, 1))...)
	case "read":
		text, err := p.read(o.Name)
		p.say(report{ID: o.ID, Text: text, Err: fmt.Sprint(err)})
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

// world is a keeper under test.
type world struct {
	t      *testing.T
	cmd    *exec.Cmd
	ln     *net.UnixListener
	socket string
	wait   chan error
	stderr *strings.Builder
	ids    int
}

// session is the test's end of one server.
type session struct {
	w       *world
	welcome *Welcome
	pid     int
	out     *gob.Encoder
	events  chan Event
	answers chan report
	closed  chan struct{}
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "keeper")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, socket: filepath.Join(dir, "s"), wait: make(chan error, 1), stderr: &strings.Builder{}}
	w.ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: w.socket})
	if err != nil {
		t.Fatal(err)
	}
	w.cmd = exec.Command("/proc/self/exe")
	w.cmd.Args = []string{"keeper"}
	if _, err := w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	w.cmd.Env = append(append(os.Environ(), "KEEPER_TEST_SOCKET="+w.socket), env...)
	w.cmd.Stderr = w.stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { w.wait <- w.cmd.Wait() }()
	t.Cleanup(func() { w.close(dir) })
	return w
}

// close ends what a failed test left running; a keeper that was asked to end
// is gone already.
func (w *world) close(dir string) {
	select {
	case <-w.wait:
	default:
		for pid, start := range descendants(w.cmd.Process.Pid) {
			signalExactly(pid, start, unix.SIGKILL)
		}
		_ = w.cmd.Process.Kill()
		<-w.wait
	}
	w.ln.Close()
	os.RemoveAll(dir)
	if w.t.Failed() {
		w.t.Logf("the keeper said:\n%s", w.stderr)
	}
}

// server waits for the next server to be welcomed.
func (w *world) server() *session {
	w.t.Helper()
	_ = w.ln.SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := w.ln.Accept()
	if err != nil {
		w.t.Fatalf("no server came: %v", err)
	}
	s := &session{w: w, out: gob.NewEncoder(conn), events: make(chan Event, 100000), answers: make(chan report, 100), closed: make(chan struct{})}
	in := gob.NewDecoder(conn)
	var first report
	if err := in.Decode(&first); err != nil {
		w.t.Fatalf("the server did not report: %v", err)
	}
	s.welcome, s.pid = first.Welcome, first.Pid
	go func() {
		defer close(s.closed)
		defer conn.Close()
		for {
			var r report
			if in.Decode(&r) != nil {
				return
			}
			if r.Event != nil {
				s.events <- *r.Event
			} else {
				s.answers <- r
			}
		}
	}()
	return s
}

func (s *session) do(o order) {
	s.w.t.Helper()
	if err := s.out.Encode(o); err != nil {
		s.w.t.Fatalf("cannot tell the server: %v", err)
	}
}

func (s *session) spawn(sp Spawn) { s.w.t.Helper(); s.do(order{Op: "spawn", Spawn: sp}) }
func (s *session) ack(k EventKind, tag string, run uint64) {
	s.w.t.Helper()
	s.do(order{Op: "ack", Kind: k, Tag: tag, Run: run})
}
func (s *session) signal(sig Signal) { s.w.t.Helper(); s.do(order{Op: "signal", Signal: sig}) }

// ask does an order and returns the answer.
func (s *session) ask(o order) string {
	s.w.t.Helper()
	s.w.ids++
	o.ID = s.w.ids
	s.do(o)
	select {
	case r := <-s.answers:
		if r.ID != o.ID {
			s.w.t.Fatalf("answer %d came for %d", r.ID, o.ID)
		}
		return string(r.Text)
	case <-time.After(120 * time.Second):
		s.w.t.Fatalf("no answer to %q", o.Op)
	}
	return ""
}

// next waits for the next event, which must be of the kind.
func (s *session) next(kind EventKind) Event {
	s.w.t.Helper()
	select {
	case ev := <-s.events:
		if ev.Kind != kind {
			s.w.t.Fatalf("%v came instead of %v: %+v", ev.Kind, kind, ev)
		}
		return ev
	case <-time.After(20 * time.Second):
		s.w.t.Fatalf("no %v came", kind)
	}
	return Event{}
}

// quiet checks that the keeper has nothing more to say: what it answers to a
// signal for nobody is the next event.
func (s *session) quiet() {
	s.w.t.Helper()
	s.signal(Signal{Tag: "nobody", Run: 1, Seq: 1})
	if ev := s.next(Signaled); ev.Outcome != Absent {
		s.w.t.Fatalf("a signal for nobody: %+v", ev)
	}
}

// alive spawns sp and waits until its program runs.
func (s *session) alive(sp Spawn) Event {
	s.w.t.Helper()
	s.spawn(sp)
	ev := s.next(Spawned)
	s.next(Execed)
	return ev
}

// kill kills the server and returns its successor.
func (s *session) kill() *session {
	s.w.t.Helper()
	if err := unix.Kill(s.pid, unix.SIGKILL); err != nil {
		s.w.t.Fatal(err)
	}
	return s.w.server()
}

// end ends the keeper and checks its status.
func (s *session) end(status int) {
	s.w.t.Helper()
	s.do(order{Op: "end", End: End{How: Stop, Status: status}})
	s.w.ended(status)
}

// ended waits for the keeper to end.
func (w *world) ended(status int) {
	w.t.Helper()
	select {
	case err := <-w.wait:
		if got := w.cmd.ProcessState.ExitCode(); got != status {
			w.t.Fatalf("the keeper ended with %d (%v), want %d", got, err, status)
		}
		w.wait <- err // for close
	case <-time.After(30 * time.Second):
		w.t.Fatal("the keeper did not end")
	}
}

// fds counts the keeper's descriptors.
func (w *world) fds() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		w.t.Skipf("SKIP: cannot count the keeper's descriptors: %v; run the tests as root", err)
	}
	return len(list)
}

// threads counts the keeper's threads.
func (w *world) threads() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func run(n uint64, script string) Spawn {
	s := sh(script)
	s.Run = n
	return s
}

func child(t *testing.T, w *Welcome, tag string, run uint64) Child {
	t.Helper()
	i := slices.IndexFunc(w.Children, func(c Child) bool { return c.Tag == tag && c.Run == run })
	if i < 0 {
		t.Fatalf("the welcome does not know %s %d: %+v", tag, run, w.Children)
	}
	return w.Children[i]
}
