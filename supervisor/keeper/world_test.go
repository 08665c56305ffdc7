package keeper

import (
	"encoding/gob"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// world is a keeper under test.
type world struct {
	t      testing.TB
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

func newWorld(t testing.TB, env ...string) *world {
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
	_ = w.ln.SetDeadline(time.Now().Add(time.Minute))
	s, err := w.accept()
	if err != nil {
		w.t.Fatalf("no server came: %v", err)
	}
	return s
}

func (w *world) accept() (*session, error) {
	conn, err := w.ln.Accept()
	if err != nil {
		return nil, err
	}
	s := &session{w: w, out: gob.NewEncoder(conn), events: make(chan Event, 100000), answers: make(chan report, 100), closed: make(chan struct{})}
	in := gob.NewDecoder(conn)
	var first report
	if err := in.Decode(&first); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the server did not report: %w", err)
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
	return s, nil
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
	case <-time.After(time.Minute):
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

// sync waits until the keeper has done all that was asked, whatever it has
// told meanwhile.
func (s *session) sync() {
	s.w.t.Helper()
	s.signal(Signal{Tag: "nobody", Run: 1, Seq: 1})
	for s.next2().Kind != Signaled {
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

// file makes a file beside the socket, which servers look for.
func (w *world) file(name string) (path string) {
	w.t.Helper()
	path = w.socket + "." + name
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// send signals the keeper.
func (w *world) send(sig unix.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
}

// send signals the server.
func (s *session) send(sig unix.Signal) {
	s.w.t.Helper()
	if err := unix.Kill(s.pid, sig); err != nil {
		s.w.t.Fatal(err)
	}
}

// said counts the lines with text in what the keeper, which has ended, said.
func (w *world) said(text string) int { return strings.Count(w.stderr.String(), text) }

// ready has the server say that it serves, and waits until that is known.
func (s *session) ready() *session {
	s.w.t.Helper()
	s.do(order{Op: "ready"})
	s.sync()
	return s
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
	case <-time.After(time.Minute):
		w.t.Fatal("the keeper did not end")
	}
}

// fds counts the keeper's descriptors.
func (w *world) fds() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		ring.Skip(w.t, "root", "cannot count the keeper's descriptors: "+err.Error(), "run the tests as root")
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
