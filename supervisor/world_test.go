package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/bus"
	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
)

// tester is what a world needs of *testing.T or *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is the real supervisor among invented processes: a keeper that knows
// every run, a clock that moves when the history says so, a wire that can be
// cut between any two orders, and a journal that can refuse. Nothing runs
// beside the test.
type world struct {
	reloading bool // a reload is being decided
	t         tester
	p         *history
	files     files // as they lie on disk
	s         *Supervisor
	now       int64 // CLOCK_MONOTONIC
	skew      int64 // of the wall clock against it
	pid       int
	gen       uint64

	runs      map[string]*run // by tag and run, until all of it is acknowledged
	spawned   []*run          // in order; what a welcome tells
	latest    map[string]*run // by tag
	ordered   map[string]bool // by tag and run: its spawn was ordered, perhaps on a wire that was cut
	ends      map[string]string
	reloads   map[string]int             // processes of reload_exec, by service
	owed      map[string]uint64          // the run for which one was asked for, and none has been since
	kills     map[string][]keeper.Signal // asked for and not arrived yet, by tag and run
	queue     []keeper.Event             // what the keeper has told and nobody has read yet
	waits     []wait
	held      map[string]int
	watched   map[string]func() // readiness pipes, by the name under which they are held
	habits    map[string]*habit
	wire      int              // orders that still pass before the server is gone; -1: all
	cut       int              // the wire breaks in the next step, after so many orders less one; 0: it does not
	whole     *journal.Journal // the journal while another stands in that takes nothing
	past      []keeper.Event   // told before; told again they must touch nobody
	trace     []string         // what happened, in order
	news      *bus.Subscription[Transition]
	known     map[string]string // state of each service, by its last transition
	seq       uint64
	stopped   map[string]bool   // by an operator, and nobody has asked for it since
	streak    map[string]int    // runs in a row that nobody asked for
	stoppedBy map[string]string // event of the last transition to stopping
	over      atomic.Int32      // End messages
	takes     bool              // a successor takes over
	refused   string            // the first event that the table refused
	bare      bool              // check little: the promises are held elsewhere
	made      *twin
}

// run is one process, with its group, as the keeper knows it.
type run struct {
	keeper.Child
	alive, left bool // its main process; others of its group
	ready       bool // a newline is in its readiness pipe
	unwatched   bool // and was taken
	acked       bool // its exit
	ackedGone   bool // the end of its group
	watch       bool // it has a readiness pipe
}

func (r *run) lives() bool { return r.alive || r.left }

// habit is how the processes of a service behave.
type habit struct {
	deaf   bool // outlives the stop signal
	undead bool // outlives SIGKILL
	broken bool // its program cannot be run
	leaves bool // others of its group outlive its main process
	busy   int  // spawns for which the keeper has no room
}

type wait struct {
	at  int64
	gen uint64
	f   func()
}

func newWorld(t tester, p *history) *world {
	w := &world{t: t, p: p, files: p.files, now: 1e12, pid: 100, runs: map[string]*run{}, latest: map[string]*run{}, ordered: map[string]bool{},
		ends: map[string]string{}, reloads: map[string]int{}, owed: map[string]uint64{}, kills: map[string][]keeper.Signal{}, held: map[string]int{}, habits: map[string]*habit{}, wire: -1, known: map[string]string{},
		stopped: map[string]bool{}, streak: map[string]int{}, stoppedBy: map[string]string{}}
	w.successor()
	j, err := journal.Create()
	if err != nil {
		t.Fatalf("%v", err)
	}
	w.s.journal, w.s.history = j, -1
	w.Hold("journal", j.FD())
	c := configOf(t, p.files)
	err = w.s.decide("boot", func(t *turn) error {
		w.s.install(c)
		if err := t.holdSpecs(c); err != nil {
			return err
		}
		return t.startBoot()
	})
	if err != nil {
		t.Fatalf("boot: %v", err)
	}
	w.after("boot")
	return w
}

// noProc has the processes of this machine, which are none of a history's,
// stay unseen.
const noProc = "/proc/none"

// successor makes a server that knows nothing yet.
func (w *world) successor() {
	w.gen++
	w.watched = map[string]func(){}
	gen := w.gen
	w.s = New(Options{Mode: User, LogLevel: LevelWarn, Proc: noProc, Now: func() int64 { return w.now },
		Wall: func() int64 { return 1_700_000_000e9 + w.now + w.skew }, Jitter: func() float64 { return 0 },
		Aside: func(f func()) { f() },
		After: func(d time.Duration, f func()) { w.waits = append(w.waits, wait{w.now + int64(d), gen, f}) }}, w, &ear{w: w})
	w.s.news = make(chan *news, 256) // one of 4096 is dear to make for each history
	w.news = w.s.Events(1 << 10)
}

// ear is the room that keeps what services print; it keeps nothing.
type ear struct {
	quiet
	w *world
}

func (e *ear) WatchReady(_ int, held string, ready func()) { e.w.watched[held] = ready }
func (e *ear) Unwatch(held string) {
	delete(e.w.watched, held)
	for _, r := range e.w.spawned {
		if e.w.wire != 0 && r.pipe() == held {
			r.unwatched = true
		}
	}
}
func (e *ear) Write(text []byte) {
	if strings.Contains(string(text), "cannot apply") && e.w.refused == "" {
		e.w.refused = strings.TrimSpace(string(text))
	}
}

func (r *run) pipe() string { return fmt.Sprintf("pipe/%s/%d/ready", r.Tag, r.Run) }

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) habit(name string) *habit {
	if w.habits[name] == nil {
		w.habits[name] = &habit{}
	}
	return w.habits[name]
}

// fail tells the history in the words in which it can be kept.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nthe history:\n%s\nwhat happened: %s", fmt.Sprintf(format, args...), w.p, strings.Join(w.trace[max(len(w.trace)-80, 0):], ", "))
}

// The keeper's side.

// passes reports whether the wire still carries an order.
func (w *world) passes() bool {
	if w.wire > 0 {
		w.wire--
		return true
	}
	return w.wire < 0
}

func (w *world) Spawn(o keeper.Spawn) {
	w.ordered[key(o.Tag, o.Run)] = true
	if kind, name := keeper.ParseTag(o.Tag); kind == reloadKind {
		w.spawnReload(name, o)
		return
	}
	w.mayBegin(o.Tag, o.Run)
	if !w.passes() || w.runs[key(o.Tag, o.Run)] != nil {
		return
	}
	h := w.habit(o.Tag)
	if h.busy > 0 {
		h.busy--
		w.note("busy %s", o.Tag)
		w.queue = append(w.queue, keeper.Event{Kind: keeper.Busy, Tag: o.Tag, Run: o.Run})
		return
	}
	w.pid++
	r := &run{Child: keeper.Child{Tag: o.Tag, Run: o.Run, Pid: w.pid, Phase: keeper.Execed}, alive: true, watch: o.ReadyFD != 0}
	w.runs[key(o.Tag, o.Run)] = r
	w.spawned = append(w.spawned, r)
	if h.broken {
		r.alive, r.Pid, r.Phase, r.Step, r.Errno = false, 0, keeper.Failed, "exec", unix.ENOENT
		w.note("cannot spawn %s", o.Tag)
		w.queue = append(w.queue, keeper.Event{Kind: keeper.Failed, Tag: o.Tag, Run: o.Run, Step: "exec", Errno: unix.ENOENT})
		return
	}
	w.latest[o.Tag] = r
	w.note("spawn %s", o.Tag)
	ev := keeper.Event{Kind: keeper.Spawned, Tag: o.Tag, Run: o.Run, Pid: r.Pid}
	if r.watch {
		ev.FDs = []keeper.NamedFD{{Name: r.pipe(), FD: -1}}
	}
	w.queue = append(w.queue, ev, keeper.Event{Kind: keeper.Execed, Tag: o.Tag, Run: o.Run})
}

// spawnReload runs the reload_exec of a service, which ends at once.
func (w *world) spawnReload(name string, o keeper.Spawn) {
	if r := w.latest[name]; r == nil || !slices.Contains(o.Env, fmt.Sprint("ZINIT_PID=", r.Pid)) {
		w.fail("reload %d of %s is told of another process: %v", o.Run, name, o.Env)
	} else if w.takes && !r.alive {
		w.fail("reload %d of %s is ordered by a successor, for a process that has ended", o.Run, name)
	}
	if !w.passes() || w.runs[key(o.Tag, o.Run)] != nil {
		return
	}
	if h := w.habit(name); h.busy > 0 {
		h.busy--
		w.note("busy %s", o.Tag)
		w.queue = append(w.queue, keeper.Event{Kind: keeper.Busy, Tag: o.Tag, Run: o.Run})
		return
	}
	w.note("spawn %s", o.Tag)
	if w.owed[name] == 0 {
		w.fail("reload %d of %s is one that nobody asked for", o.Run, name)
	}
	w.owed[name] = 0
	w.reloads[name]++
	w.pid++
	r := &run{Child: keeper.Child{Tag: o.Tag, Run: o.Run, Pid: w.pid, Phase: keeper.Gone, AtNS: w.now}}
	w.runs[key(o.Tag, o.Run)] = r
	w.spawned = append(w.spawned, r)
	for _, kind := range []keeper.EventKind{keeper.Spawned, keeper.Execed, keeper.Exited, keeper.Gone} {
		w.queue = append(w.queue, keeper.Event{Kind: kind, Tag: o.Tag, Run: o.Run, Pid: r.Pid, AtNS: w.now})
	}
}

func (w *world) Signal(o keeper.Signal) {
	if !w.ordered[key(o.Tag, o.Run)] {
		w.fail("a signal goes to run %d of %s, which never was", o.Run, o.Tag)
	}
	if !w.passes() {
		return
	}
	w.queue = append(w.queue, keeper.Event{Kind: keeper.Signaled, Tag: o.Tag, Run: o.Run, Seq: o.Seq})
	r := w.runs[key(o.Tag, o.Run)]
	if r == nil || !r.lives() || o.Seq <= r.Seq {
		return
	}
	r.Seq = o.Seq
	if o.Sig == unix.SIGCONT {
		return
	}
	if !w.killed(r, o) {
		w.maySignal(r, o.Sig)
	}
	w.note("%s %s", signalName(int(o.Sig)), o.Tag)
	h := w.habit(o.Tag)
	switch {
	case o.Sig == unix.SIGUSR1:
	case o.Sig == unix.SIGKILL && !h.undead, o.Sig != unix.SIGKILL && !h.deaf && !h.undead:
		w.end(r, 0, o.Sig)
		w.gone(r)
	}
}

// end ends the main process of r.
func (w *world) end(r *run, code int, sig syscall.Signal) {
	if !r.alive {
		return
	}
	status := syscall.WaitStatus(code << 8)
	if sig != 0 {
		status = syscall.WaitStatus(sig)
	}
	r.alive, r.left = false, true
	r.Phase, r.Status, r.AtNS = keeper.Exited, status, w.now
	w.note("end %s", r.Tag)
	w.ends[key(r.Tag, r.Run)] = fmt.Sprint(code, int(sig))
	w.queue = append(w.queue, keeper.Event{Kind: keeper.Exited, Tag: r.Tag, Run: r.Run, Pid: r.Pid, Status: status, AtNS: w.now})
	if !w.habit(r.Tag).leaves {
		w.gone(r)
	}
}

// gone ends the last process of r.
func (w *world) gone(r *run) {
	if r.alive || !r.left {
		return
	}
	r.left, r.Phase = false, keeper.Gone
	w.queue = append(w.queue, keeper.Event{Kind: keeper.Gone, Tag: r.Tag, Run: r.Run})
}

func (w *world) Ack(kind keeper.EventKind, tag string, number uint64) {
	r := w.runs[key(tag, number)]
	if !w.passes() || r == nil {
		return
	}
	r.acked, r.ackedGone = r.acked || kind == keeper.Exited, r.ackedGone || kind == keeper.Gone && !r.lives()
	if kind == keeper.Failed || r.acked && r.ackedGone {
		delete(w.runs, key(tag, number))
	}
}

func (w *world) Hold(name string, fds ...int) {
	fd, err := unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	w.drop(name)
	w.held[name] = fd
	w.queue = append(w.queue, keeper.Event{Kind: keeper.Held, Name: name})
}

func (w *world) Drop(name string) {
	if w.passes() {
		w.drop(name)
	}
}

func (w *world) drop(name string) {
	if fd, ok := w.held[name]; ok {
		unix.Close(fd)
		delete(w.held, name)
	}
}

func (w *world) AckAsk(keeper.Ask)   {}
func (w *world) Cork()               {}
func (w *world) Uncork()             {}
func (w *world) Ready()              {}
func (w *world) Upgrade(uint64, int) {}
func (w *world) End(keeper.End)      { w.over.Add(1) }

// The history's side.

// read has the server read the first n things that the keeper has told.
func (w *world) read(n int) {
	for ; n > 0 && len(w.queue) > 0; n-- {
		ev := w.queue[0]
		w.queue = w.queue[1:]
		switch ev.Kind {
		case keeper.Signaled:
			n++
			fallthrough
		case keeper.Held:
			w.s.Deliver(ev)
			continue
		}
		w.tell(ev)
		w.after(ev.Kind.String() + " " + ev.Tag)
	}
}

// newline is the event of a newline in a readiness pipe; it is no event of the
// keeper's.
const newline = keeper.EventKind(200)

func (w *world) tell(ev keeper.Event) {
	if ev.Kind == newline {
		if f := w.watched[ev.Name]; f != nil {
			f()
		}
		return
	}
	if len(w.past) < 200 && ev.Kind != keeper.Busy {
		w.past = append(w.past, ev)
	}
	w.s.take(news{event: ev})
}

// readAll reads until the keeper has nothing more to tell.
func (w *world) readAll() { w.read(1 << 20) }

// sleep moves the clock by d and fires every timer on the way.
func (w *world) sleep(d time.Duration) {
	end := w.now + int64(d)
	for still := 0; still < 1000; still++ {
		w.readAll()
		at := w.nextWait()
		if t := w.s.next(); t != 0 && (at == 0 || t < at) {
			at = t
		}
		if at == 0 || at > end {
			w.now = end
			return
		}
		if at > w.now {
			w.now, still = at, 0
		}
		w.s.fire()
		w.after("timer")
		w.wake()
	}
	w.fail("timers fire without end, and the clock stands still")
}

func (w *world) nextWait() int64 {
	at := int64(0)
	for _, x := range w.waits {
		if x.gen == w.gen && (at == 0 || x.at < at) {
			at = x.at
		}
	}
	return at
}

// wake runs what the server put off until now.
func (w *world) wake() {
	for i := 0; i < len(w.waits); i++ {
		x := w.waits[i]
		if x.at > w.now && x.gen == w.gen {
			continue
		}
		w.waits = append(w.waits[:i:i], w.waits[i+1:]...)
		if i--; x.gen == w.gen {
			x.f()
			w.after("put off")
		}
	}
}
