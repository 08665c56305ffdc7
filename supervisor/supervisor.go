package supervisor

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"zinit/graph"
	"zinit/supervisor/bus"
	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/logs"
	"zinit/supervisor/probe"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// Keeper is what a supervisor asks of the process that holds everything. Every
// method appends to one ordered queue and returns at once. *keeper.Client is
// the real one; a simulation brings its own.
type Keeper interface {
	Cork()   // what follows is about to be followed by more
	Uncork() // send what is queued
	Spawn(keeper.Spawn)
	Signal(keeper.Signal)
	Ack(kind keeper.EventKind, tag string, run uint64)
	AckAsk(keeper.Ask)
	Hold(name string, fds ...int)
	Drop(name string)
	Upgrade(number uint64, fd int)
	Ready()
	End(keeper.End)
}

// Output is what a supervisor asks of the room that keeps what services print.
// *logs.Pump is the real one.
type Output interface {
	Adopt(held map[string][]int) error
	Quarter() (dropped int64)
	Configure(service string, bufferBytes int64)
	LimitTotal(bytes int64)
	Attach(service string, run uint64, s logs.Stream, fd int, held string)
	Held(name string, err error)
	Drain(service string, run uint64) <-chan struct{}
	WatchReady(fd int, held string, ready func())
	Unwatch(held string)
	Write(text []byte)
	Forget(service string)
	Tail(service string, n int) []logs.Line
	Size(service string) (kept, dropped int64)
	Close(wait time.Duration)
}

// Mode is what zinit is on this machine.
type Mode string

const (
	Machine   Mode = "machine"   // PID 1 of the initial PID namespace
	Container Mode = "container" // PID 1 of another one, or told so
	User      Mode = "user"      // a supervisor of somebody's programs
)

// Options say how a supervisor runs. The zero value of a field is its default.
type Options struct {
	Mode            Mode
	Version         string
	Roots           []spec.Root
	Trust           bool          // a refusal of a file's owner or mode becomes a warning
	Target          string        // at boot start only this and what it pulls in; "": everything with status start
	ShutdownTimeout time.Duration // 0: 90 s, in a container 10 s
	Main            *Command      // container: the main service that the command line gives; nil: none
	Rescue          bool          // machine: before anything starts, a shell on the console
	ExitWhenIdle    bool          // container: end when nothing runs, waits or is to be started again
	LogLevel        Level         // which of zinit's own messages are kept
	NotifyDir       string        // where the sockets of services with ready = "notify" are made
	Socket          string        // user mode: told to services as ZINIT_SOCKET, by which a successor knows them
	Environ         []string      // base environment of every service, KEY=VALUE
	Now             func() int64  // CLOCK_MONOTONIC nanoseconds
	Wall            func() int64  // Unix nanoseconds
	Jitter          func() float64
	After           func(time.Duration, func()) // calls once the time has passed, from a goroutine of its own
	Reopen          func()                      // sees to the control sockets when a reload is asked for by signal; nil: there are none
	Aside           func(f func())              // runs what may wait for a disk; nil: a goroutine
	Proc            string                      // where processes are read; "": /proc
	Cgroups         bool                        // each service gets one, where that can be had
	OOMKills        func() int64                // processes of the server's cgroup killed for want of memory; -1, nil: not known
}

// Supervisor decides about services. Its methods are safe for many callers.
//
// Questions and requests take the lock, decide and let go; news (exits,
// timers, readiness) arrives on one channel, and one goroutine, Run's, turns it
// into decisions.
type Supervisor struct {
	opt    Options
	keeper Keeper
	logs   Output
	bus    *bus.Bus[Transition]
	news   chan *news
	first  []news        // taken before any other; filled by Begin
	lost   chan struct{} // closed when the keeper has hung up
	ended  chan struct{} // closed when all is stopped and the keeper was told

	backlog atomic.Int64 // events in news, plus one until the loop runs

	mu          sync.Mutex // guards what follows; held for one decision, never while waiting
	services    map[string]*service
	undos       []*undo  // not in use
	names       []string // of services, sorted
	graph       *graph.Graph
	config      *Config
	journal     *journal.Journal
	fresh       *journal.Journal // replaces journal once it is held; both are written until then
	timers      timers
	alarm       *alarm            // set to the first of them; nil before Run
	watched     int               // services with a deadline that a pause must not eat
	tickAt      int64             // when the loop wakes to look for a pause, while there are such
	starting    int               // services that are starting
	waiters     waiters           // for a start slot
	alive       int               // services of which something may live
	seq         uint64            // of the last transition
	holding     map[string]int    // descriptors to be closed when the keeper holds them
	notify      *probe.Receiver   // hears what services say of themselves; nil until one may
	notifyPaths map[string]string // of services that have a socket
	refusals    int               // notifications not believed since refusedAt
	refusedAt   int64
	tokens      tokens // of requests decided
	history     int    // the ring of transitions, -1: there is none
	booted      int64  // when the boot began, CLOCK_MONOTONIC
	specsHeld   uint64 // which "specs/N" holds the accepted definitions
	ending      *ending
	emergency   string // tag of the emergency that is open; "": none is
	generation  uint64
	probation   bool    // this server's binary has yet to prove itself
	upgrade     upgrade // the last
	upgradeKept upgrade // the same, as the journal has it; between two turns they are equal
	keeperPID   int
	groups      groups
	samples     samples // of what services use; has a lock of its own
	sweep       sweep   // the same
	started     int64   // wall clock
}

// service is what the supervisor knows of one service. All of it is guarded by
// the supervisor's lock.
type service struct {
	name  string
	spec  *spec.Spec    // as accepted
	cur   *spec.Spec    // of the latest run; differs from spec after a reload
	rt    state.Service // changed by turn.set only
	mark  *turn         // the turn that has touched it
	undo  *undo         // how it was before that turn; nil outside
	calls bool          // a look at it is queued in this turn
	after uint64        // the transition that queued it

	tally                     // of edges, kept by turn.set
	slot        bool          // it waits for a start slot
	asking      *asking       // the probe under way; nil: none
	pause       int64         // before the next probe, while it is starting
	answer      string        // of the last probe: what was wrong
	answered    int64         // when that came, CLOCK_MONOTONIC; 0: never
	watched     bool          // it has a deadline that a pause must not eat
	hookPid     int           // of the latest hook; 0: not known yet
	hookAt      int64         // when that began, or was found
	hookFault   string        // how the latest stop_exec or post_exec that failed did; "": one of its kind went well since
	preparing   bool          // its spawn waits for env_file or user look-ups
	removed     bool          // to be forgotten when it is gone
	reloadFault string        // how its latest reload_exec failed; "": it did not
	reloadRun   uint64        // the run that it was for
	reloadLate  uint64        // the reload_exec that was ended at its timeout
	armed       int64         // when the heap has it looked at; 0: it is not in there
	place       int           // of it in the heap, from 1
	extra       []byte        // fields of its record that this version does not know
	group       grouped       // its cgroup
	sent        uint64        // highest number of its signals that the keeper has answered
	ports       portCheck     // of the next run
	changed     chan struct{} // closed at its next transition; nil: nobody waits
}

// tally counts a service's edges by what stands at their other end, so that a
// transition costs its own edges only.
type tally struct {
	need      int // requires: not satisfied
	order     int // after: wanted and without an outcome
	clash     int // conflicts: alive
	doom      int // requires: cannot come up by itself
	bound     int // binds_to: lost
	users     int // services that require this one and are alive
	followers int // services that come after this one and are alive
}

type undo struct {
	rt state.Service
	tally
	slot      bool
	cur, spec *spec.Spec
}

// blocked reports whether anything but an operator keeps the service down.
func (sv *service) blocked() bool {
	return sv.need > 0 || sv.order > 0 || sv.clash > 0 || sv.rt.Left || sv.portless()
}

func (sv *service) rules() state.Rules {
	sp := sv.spec
	r := state.Rules{Oneshot: sv.cur.Oneshot, MaxRestarts: sp.MaxRestarts, SuccessCodes: sp.SuccessCodes,
		Delay: int64(sp.RestartDelay), DelayMax: int64(sp.RestartDelayMax), Stability: int64(sp.StabilityPeriod)}
	switch {
	case sp.Restart == spec.Never || sp.Status == spec.Ignore:
		r.Policy = state.Never
	case sp.Restart == spec.Always:
		r.Policy = state.Always
	}
	return r
}

// news is one thing that happened, as it travels to the loop.
type news struct {
	event keeper.Event
	moved <-chan struct{} // of an exit: closed when its last words are in the store; nil: not asked yet
	call  func()          // run by the loop, without the lock, in place of the event; nil: none
}

// monotonic is CLOCK_MONOTONIC, one clock for all processes of a boot, so that
// a deadline outlives the server.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// Run turns news into decisions until everything has been stopped and the
// keeper told, or the keeper is lost.
func (s *Supervisor) Run() {
	for _, n := range s.first {
		s.take(n)
	}
	s.first = nil
	s.backlog.Add(-1)
	s.mu.Lock()
	s.alarm = newAlarm()
	s.alarm.set(s.next())
	s.mu.Unlock()
	defer s.alarm.close()
	for {
		select {
		case n := <-s.news:
			s.take(*n)
			if n.call == nil {
				s.backlog.Add(-1)
			}
		case <-s.alarm.C:
			s.fire()
		case <-s.ended:
			return
		}
	}
}

// Deliver is how the keeper's client tells events, in order and one by one.
// The decision is made by the caller's goroutine: a hop to another costs more
// than most decisions. Only what has to wait, and what comes after that, goes
// to the loop.
func (s *Supervisor) Deliver(ev keeper.Event) {
	switch ev.Kind {
	case keeper.Held: // the loop may be waiting for it
		s.logs.Held(ev.Name, errnoError(ev.Errno))
		s.held(ev)
		return
	case keeper.Signaled:
		s.signaled(ev)
		return
	case keeper.Lost:
		close(s.lost)
	}
	n := news{event: ev}
	if s.backlog.Load() == 0 {
		if ev.Kind == keeper.Exited {
			n.moved = s.drain(ev)
		}
		if n.moved == nil || over(n.moved) {
			s.take(n)
			return
		}
	}
	s.backlog.Add(1)
	s.news <- &n
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func errnoError(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// later runs f on the loop.
func (s *Supervisor) later(f func()) {
	select {
	case s.news <- &news{call: f}:
	case <-s.ended:
	}
}

// soon runs f on the loop after d.
func (s *Supervisor) soon(d time.Duration, f func()) { s.opt.After(d, func() { s.later(f) }) }

// Events subscribes to every transition, in order, with room for buffer of
// them; a slower reader is told how many it missed.
func (s *Supervisor) Events(buffer int) *bus.Subscription[Transition] { return s.bus.Subscribe(buffer) }

// Ended is closed when everything has been stopped and the keeper told.
func (s *Supervisor) Ended() <-chan struct{} { return s.ended }

// Lost is closed when the keeper has hung up: after the end, or because it died.
func (s *Supervisor) Lost() <-chan struct{} { return s.lost }

// Seq is the number of the latest transition; 0: there was none.
func (s *Supervisor) Seq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Version tells which zinit this is.
func (s *Supervisor) Version() Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Version{Version: s.opt.Version, PID: unix.Getpid(), Generation: s.generation,
		Probation: s.probation, UpgradeFailed: s.upgrade.failed, Upgrading: s.upgrade.path, KeeperPID: s.keeperPID, Mode: string(s.opt.Mode), StartedMS: s.started / 1e6}
}
