package supervisor

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/graph"
	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/logs"
	"zinit/supervisor/spec"
)

// sim is the real supervisor with an invented keeper, invented processes and a
// clock that moves when the test says so. Nothing runs beside the test.
type sim struct {
	t     *testing.T
	s     *Supervisor
	now   int64
	procs map[string]*proc // the latest run of each service
	trace []string         // spawns, signals and ends, in order
	queue []keeper.Event   // told to the supervisor one by one
	acked map[string]bool
	facts map[string]*keeper.Child // what the keeper knows of each run until all of it is acknowledged
	held  map[string]int
	pid   int
	gen   uint64

	ignoresTerm map[string]bool // these live until SIGKILL
	failsToRun  map[string]bool
	unheard     bool       // orders do not reach the keeper
	endings     sync.Mutex // of ends and end: a server may end while its successor does
	ends        int        // End messages
	end         keeper.End // the last of them
	change      func(*Options)
}

type proc struct {
	run   uint64
	pid   int
	alive bool
	seq   uint64
	told  bool // the supervisor knows that it has ended
	ok    bool // it has ended with 0
}

// nothing is a wait that is over.
var nothing = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// quiet is an Output that keeps nothing.
type quiet struct{}

func (quiet) Adopt(map[string][]int) error                    { return nil }
func (quiet) Quarter() int64                                  { return 0 }
func (quiet) Configure(string, int64)                         {}
func (quiet) LimitTotal(int64)                                {}
func (quiet) Attach(string, uint64, logs.Stream, int, string) {}
func (quiet) Held(string, error)                              {}
func (quiet) Drain(string, uint64) <-chan struct{}            { return nothing }
func (quiet) WatchReady(int, string, func())                  {}
func (quiet) Unwatch(string)                                  {}
func (quiet) Write([]byte)                                    {}
func (quiet) Forget(string)                                   {}
func (quiet) Tail(string, int) []logs.Line                    { return nil }
func (quiet) Size(string) (kept, dropped int64)               { return 0, 0 }
func (quiet) Close(time.Duration)                             {}

// files are service files by name; a value is the text below [service] with a
// default exec, or a whole file when it begins with "[target]".
type files map[string]string

func (f files) config(t *testing.T) *Config {
	t.Helper()
	loaded := &spec.Loaded{Broken: map[string]string{}}
	var names []string
	for name := range f {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := f[name]
		if !strings.HasPrefix(text, "[target]") {
			text = "[service]\nexec = \"/bin/" + name + "\"\n" + text
		}
		sp, problems := spec.Parse("/etc/zinit/services/"+name+".toml", []byte(text), spec.User)
		if sp == nil {
			t.Fatalf("%s: %v", name, problems)
		}
		loaded.Specs = append(loaded.Specs, sp)
	}
	return judge(loaded)
}

// newSim boots a supervisor on f.
func newSim(t *testing.T, f files) *sim { return newSimWith(t, f, func(*Options) {}) }

// noPid is the first number that no process has: proc(5) bounds pid_max by 2^22.
const noPid = 1 << 22

// newSimWith is newSim with other options.
func newSimWith(t *testing.T, f files, change func(*Options)) *sim {
	t.Helper()
	sm := &sim{t: t, now: 1e12, procs: map[string]*proc{}, acked: map[string]bool{}, pid: noPid,
		facts: map[string]*keeper.Child{}, held: map[string]int{},
		ignoresTerm: map[string]bool{}, failsToRun: map[string]bool{}, change: change}
	sm.s = New(sm.options(), sm, quiet{})
	sm.begin(f)
	return sm
}

func (sm *sim) options() Options {
	o := Options{Mode: User, LogLevel: LevelError, Now: func() int64 { return sm.now },
		Wall: func() int64 { return 1_700_000_000e9 + sm.now }, Jitter: func() float64 { return 0 },
		Aside: func(f func()) { f() }, Proc: noProc}
	sm.change(&o)
	return o
}

func (sm *sim) begin(f files) {
	sm.t.Helper()
	j, err := journal.Create()
	if err != nil {
		sm.t.Fatal(err)
	}
	sm.s.journal, sm.s.booted = j, sm.now
	sm.Hold("journal", j.FD())
	c := f.config(sm.t)
	err = sm.s.decide("boot", func(t *turn) error {
		sm.s.install(c)
		if err := t.holdSpecs(c); err != nil {
			return err
		}
		return t.startBoot()
	})
	if err != nil {
		sm.t.Fatal(err)
	}
}

func (sm *sim) note(format string, args ...any) {
	sm.trace = append(sm.trace, fmt.Sprintf(format, args...))
}

// End is told by a goroutine of the server.
func (sm *sim) End(e keeper.End) {
	sm.endings.Lock()
	defer sm.endings.Unlock()
	sm.ends, sm.end = sm.ends+1, e
}

// gate holds what must be true when a process is started: what it requires is
// there, as far as anybody can know, and nothing that it excludes lives.
func (sm *sim) gate(name string) {
	for _, e := range sm.s.graph.Out(name) {
		p := sm.procs[e.To]
		lives := p != nil && p.alive
		if e.Kind == graph.Conflicts && lives {
			sm.t.Errorf("%s is started while %s lives; trace %v", name, e.To, sm.trace)
		}
		if !needs(e.Kind) {
			continue
		}
		sv := sm.s.services[e.To]
		there := sv != nil && (sv.spec.Target || sv.spec.Oneshot && p != nil && p.ok || p != nil && !p.told)
		if !there {
			sm.t.Errorf("%s is started without %s; trace %v", name, e.To, sm.trace)
		}
	}
}

// The keeper's side.

func (sm *sim) Spawn(o keeper.Spawn) {
	if sm.unheard || sm.facts[key(o.Tag, o.Run)] != nil {
		return // asked again: same answer, no act
	}
	if p := sm.procs[o.Tag]; p != nil && p.alive {
		sm.t.Errorf("run %d of %s is ordered while run %d lives", o.Run, o.Tag, p.run)
	}
	sm.pid++
	sm.facts[key(o.Tag, o.Run)] = &keeper.Child{Tag: o.Tag, Run: o.Run, Pid: sm.pid, Phase: keeper.Execed}
	if sm.failsToRun[o.Tag] {
		*sm.facts[key(o.Tag, o.Run)] = keeper.Child{Tag: o.Tag, Run: o.Run, Phase: keeper.Failed, Step: "exec", Errno: unix.ENOENT}
		sm.queue = append(sm.queue, keeper.Event{Kind: keeper.Failed, Tag: o.Tag, Run: o.Run, Step: "exec", Errno: unix.ENOENT})
		return
	}
	sm.gate(o.Tag)
	sm.procs[o.Tag] = &proc{run: o.Run, pid: sm.pid, alive: true}
	sm.note("spawn %s", o.Tag)
	sm.queue = append(sm.queue, keeper.Event{Kind: keeper.Spawned, Tag: o.Tag, Run: o.Run, Pid: sm.pid},
		keeper.Event{Kind: keeper.Execed, Tag: o.Tag, Run: o.Run})
}

func (sm *sim) Signal(o keeper.Signal) {
	p := sm.procs[o.Tag]
	if sm.unheard {
		return
	}
	sm.queue = append(sm.queue, keeper.Event{Kind: keeper.Signaled, Tag: o.Tag, Run: o.Run, Seq: o.Seq})
	if p == nil || p.run != o.Run || !p.alive || o.Seq <= p.seq {
		return
	}
	p.seq = o.Seq
	if o.Sig == unix.SIGCONT {
		return
	}
	sm.note("%s %s", signalName(int(o.Sig)), o.Tag)
	if o.Sig == unix.SIGKILL || o.Sig != unix.SIGUSR1 && o.Sig != unix.SIGUSR2 && o.Sig != unix.SIGHUP && !sm.ignoresTerm[o.Tag] {
		sm.die(o.Tag, 0, o.Sig)
	}
}

func (sm *sim) Ack(kind keeper.EventKind, tag string, run uint64) {
	sm.acked[kind.String()+key(tag, run)] = true
	if kind == keeper.Failed || kind == keeper.Gone && sm.acked[keeper.Exited.String()+key(tag, run)] {
		delete(sm.facts, key(tag, run))
	}
}
func (sm *sim) AckAsk(keeper.Ask) {}
func (sm *sim) Drop(name string) {
	if fd, ok := sm.held[name]; ok {
		unix.Close(fd)
		delete(sm.held, name)
	}
}
func (sm *sim) Hold(name string, fds ...int) {
	fd, err := unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		sm.t.Fatal(err)
	}
	sm.Drop(name)
	sm.held[name] = fd
	sm.queue = append(sm.queue, keeper.Event{Kind: keeper.Held, Name: name})
}

// close gives back every descriptor.
func (sm *sim) close() {
	sm.run()
	sm.s.journal.Close()
	for name := range sm.held {
		sm.Drop(name)
	}
}
func (sm *sim) Cork()               {}
func (sm *sim) Uncork()             {}
func (sm *sim) Upgrade(uint64, int) {}
func (sm *sim) Ready()              {}

// die ends the latest run of a service.
func (sm *sim) die(name string, code int, sig syscall.Signal) {
	p := sm.procs[name]
	if p == nil || !p.alive {
		sm.t.Fatalf("%s has no process that could end", name)
	}
	p.alive, p.ok = false, code == 0 && sig == 0
	status := syscall.WaitStatus(code << 8)
	if sig != 0 {
		status = syscall.WaitStatus(sig)
	}
	sm.note("end %s", name)
	fact := sm.facts[key(name, p.run)]
	fact.Phase, fact.Status, fact.AtNS = keeper.Gone, status, sm.now
	sm.queue = append(sm.queue, keeper.Event{Kind: keeper.Exited, Tag: name, Run: p.run, Pid: p.pid, Status: status, AtNS: sm.now},
		keeper.Event{Kind: keeper.Gone, Tag: name, Run: p.run})
}

func key(tag string, run uint64) string { return fmt.Sprintf(" %s %d", tag, run) }

// The test's side.

// crash ends the server and lets another take over. What was told and not
// acknowledged is in the welcome; nothing else is known to the successor.
func (sm *sim) crash() {
	sm.t.Helper()
	for _, fd := range sm.s.holding {
		unix.Close(fd)
	}
	sm.s.journal.Close()
	sm.queue, sm.unheard = nil, false
	sm.gen++
	w := &keeper.Welcome{Generation: sm.gen + 1, KeeperPID: 1, Held: map[string][]int{}}
	for _, k := range slices.Sorted(maps.Keys(sm.facts)) {
		ch := *sm.facts[k]
		if p := sm.procs[ch.Tag]; p != nil && p.run == ch.Run {
			ch.Seq = p.seq
		}
		w.Children = append(w.Children, ch)
	}
	for name, fd := range sm.held {
		mine, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			sm.t.Fatal(err)
		}
		w.Held[name] = []int{mine}
	}
	sm.s = New(sm.options(), sm, quiet{})
	if err := sm.s.Begin(w); err != nil {
		sm.t.Fatal(err)
	}
	first := sm.s.first
	sm.s.first = nil
	for _, n := range first {
		sm.s.take(n)
	}
	sm.check()
	sm.run()
}

// run tells everything that has happened, until nothing is left to be told.
func (sm *sim) run() {
	for sm.calls() || len(sm.queue) > 0 {
		if len(sm.queue) == 0 {
			continue
		}
		ev := sm.queue[0]
		sm.queue = sm.queue[1:]
		if ev.Kind == keeper.Held || ev.Kind == keeper.Signaled {
			sm.s.Deliver(ev)
			continue
		}
		if p := sm.procs[ev.Tag]; ev.Kind == keeper.Exited && p.run == ev.Run {
			p.told = true
		}
		sm.s.take(news{event: ev})
		sm.check()
	}
}

// calls runs what was put off for the loop.
func (sm *sim) calls() (any bool) {
	for {
		select {
		case n := <-sm.s.news:
			any = true
			sm.s.take(*n)
			sm.check()
		default:
			return any
		}
	}
}

// sleep moves the clock by d, firing every timer on the way.
func (sm *sim) sleep(d time.Duration) {
	end := sm.now + int64(d)
	sm.run()
	for {
		at := sm.s.next()
		if at == 0 || at > end {
			break
		}
		sm.now = max(at, sm.now)
		sm.s.fire()
		sm.run()
	}
	sm.now = end
}

// check holds what is always true: the tallies are those of the present graph,
// and a blocked service has a blocker with a name.
func (sm *sim) check() {
	sm.t.Helper()
	sm.s.mu.Lock()
	defer sm.s.mu.Unlock()
	alive := 0
	for _, name := range sm.s.names {
		sv := sm.s.services[name]
		have := sv.tally
		sm.s.recount(sv)
		if sv.tally != have {
			sm.t.Fatalf("%s: tally kept %+v, afresh %+v", name, have, sv.tally)
		}
		blocked := sv.rt.State.String() == "blocked"
		if blocked != (blocked && len(sm.s.blockers(sv)) > 0) {
			sm.t.Fatalf("%s is blocked by nothing: %+v", name, sv.rt)
		}
		if sv.rt.Alive() {
			alive++
		}
	}
	if alive != sm.s.alive {
		sm.t.Fatalf("%d services alive, the supervisor counts %d", alive, sm.s.alive)
	}
}

func (sm *sim) wantStates(want string) {
	sm.t.Helper()
	var got []string
	for _, i := range sm.s.List() {
		got = append(got, i.Name+"="+i.State.State)
	}
	if strings.Join(got, " ") != want {
		sm.t.Fatalf("states are\n  %s\nwant\n  %s\ntrace: %v", strings.Join(got, " "), want, sm.trace)
	}
}

// wantBefore demands that a stands in the trace before b.
func (sm *sim) wantBefore(a, b string) {
	sm.t.Helper()
	i, j := slices.Index(sm.trace, a), slices.Index(sm.trace, b)
	if i < 0 || j < 0 || i > j {
		sm.t.Fatalf("want %q before %q in %v", a, b, sm.trace)
	}
}

func (sm *sim) count(what string) int {
	n := 0
	for _, x := range sm.trace {
		if x == what {
			n++
		}
	}
	return n
}
