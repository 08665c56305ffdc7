package keeper

// # The keeper's half
//
// This process is PID 1, or the parent of all that a user's zinit runs. What
// it holds would be lost with it: the processes, because only a parent learns
// how its child ended; descriptors, which are the pipes that services print
// into (in children) and the memory that servers remember by (in held); and what
// was asked by signals. All else, what should run and why, is the server's, and
// servers may die at any instant: what they have not acknowledged is told to
// the next (tell.go), what they ask for again is not done again (requests.go).
//
// # What can fail, and what then
//
// A server ends, hangs, or comes to nothing: another is started, from the
// binary that last proved itself (fate.go, hung.go). One that is stuck in the
// kernel is left behind. None is there to stop the services in order when that
// was asked for: the keeper ends them all (end.go). A server sends nonsense:
// it is ignored, to the end of its message. It does not read: what is owed
// waits in its entry, and no further request is read (tell.go). A table is full
// or memory is short: the request is answered with Busy or an errno, and
// nothing was recorded about what was not done. A service's binary, directory
// or interpreter hangs: only its child touches them (spawn.go).
//
// # Why it cannot exit
//
// On a machine the end of PID 1 is a panic of the kernel, so Keep returns when
// an end was asked for and never otherwise. No signal ends it: all are
// caught first (asks.go). No panic does: every goroutine is guarded, and what a
// bug has left half done is a server's to ask for again. What Go does not
// survive is not there to happen: threads are made before they are needed and
// then never more; all that changes has one lock, so no map is written twice
// at once; the tables are bounded; no package is used that is not needed.
// Nothing here can block for good but waiting for work: sends never wait, and
// no system call that can hang is made under the lock.
//
// # Who does what
//
// One goroutine starts servers and reads their requests (serveOnce). One reaps
// (reap.go), one sees execs end (watch.go), one waits to write what a full
// socket did not take (tell.go), one looks at groups left behind (groups.go),
// one hears signals (asks.go). Each does one step at a time under the lock, and
// sleeps in the kernel when there is none: an idle keeper never wakes.

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ServerCmd says how to start a server. The keeper runs the binary that last
// proved itself, at first the one it was started from itself, whatever has
// happened to its file since.
type ServerCmd struct {
	Argv []string // the server's end of the pair is descriptor 3
	Env  []string
	Path string // tried when that binary does not get ready; "" is /proc/self/exe
}

// Options is what Keep needs to know.
type Options struct {
	// Server returns the command of the n-th server, counted from 1.
	Server func(n uint64) ServerCmd

	// Signals says what a signal to the keeper asks for. Any other does
	// nothing.
	Signals map[syscall.Signal]Asking

	// Forward is the tag of the run that every signal to the keeper goes to
	// which is not in Signals, as long as its program runs. It has the keeper's
	// standard input too. "": to nobody.
	Forward string

	// Emergency returns what is run, as a helper, when no server can be started.
	// The number is for its run: it is another each time. nil: nothing is run.
	Emergency func(run uint64) Spawn

	// Caught is what CatchSignals returned; nil: Keep calls it.
	Caught <-chan os.Signal

	// Ready is called once, by a goroutine of its own, when the first server
	// says that it serves. nil: nobody is told.
	Ready func()

	// Log takes one line for the console, without a newline. It must not
	// block and must not call back. nil: nothing is said.
	Log func(line string)

	// Grace is the time between TERM and KILL of the final sweep. Zero means
	// DefaultGrace.
	Grace time.Duration

	// Patience is how long a request to end waits for a server that is ready
	// before the keeper ends everything alone. Zero means DefaultPatience.
	Patience time.Duration

	// Tick is what the patience with a hung server is counted in: ten of them.
	// Zero means DefaultTick.
	Tick time.Duration

	// Probation is how long an upgrade must live after it was ready to be
	// what the keeper goes back to. Zero means DefaultProbation.
	Probation time.Duration
}

// The times an Options does not give.
const (
	DefaultGrace     = 2 * time.Second
	DefaultPatience  = 5 * time.Second
	DefaultTick      = time.Second
	DefaultProbation = time.Minute
)

// StatusAlone is the exit status when something could not be ended in order:
// no server was there to do it, or processes outlived SIGKILL.
const StatusAlone = 3

// keeper is all there is. One lock guards all that changes; no system call
// that can block is made under it.
type keeper struct {
	opt    Options
	arena  *arena
	null   int    // stdin of everything
	stderr int    // the memfd that is the servers' stderr, or null
	hard   uint64 // our hard limit of descriptors

	ignored []uintptr // signals that we ignore; see ignoredSignals
	oom     int       // our oom_score_adj

	mu    sync.Mutex
	born  sync.Cond // a child was registered: for the reaper
	wrote sync.Cond // what was owed went out: for the one who reads requests
	stuck sync.Cond // a send would have blocked: for the writer goroutine
	roomy sync.Cond // a slot came free: for the one who spawns
	poked sync.Cond // a group may have emptied: for the group watcher

	children children
	births   uint64   // counts registrations
	tidied   uint64   // births when memory was last given back
	cloning  bool     // a child exists that is not registered yet
	starting []*entry // before their exec, on a slot
	unseen   bool     // the exec watcher does not know the last of them
	starved  bool     // no slot came free for some time
	forking  bool     // clone is refused here: use the exec-steps applet; only who reads requests spawns
	held     held
	asks     asks
	pokes    uint64 // things that may have emptied a group
	looked   uint64 // pokes the group watcher has seen

	in         *wire   // of the present conn; one, because its buffers are large
	request    request // the one that is being done; its lists are used again
	conn       *conn
	server     *entry // the last server started; nil when it was left behind
	generation uint64
	binaries   binaries
	misses     int    // servers in a row that came to nothing, however they ended: see judge
	failures   int    // servers in a row that ended by themselves without becoming ready
	killed     bool   // the last one got SIGKILL, and not from us
	ready      bool   // server says that it serves
	everReady  bool   // one has said so
	words      string // the last words of a server that were shown
	hurry      chan struct{}
	alone      *time.Timer // runs while an ending is wanted and no server is ready
	end        *End

	answers   []Event  // owed to the present server
	owing     []*entry // entries with something owed
	urgent    bool     // more is owed than that somebody was spawned
	enc       encoder  // of the datagram being made
	fds       []int    // that go with it
	named     []NamedFD
	malformed uint64 // messages ignored
}

// Keep keeps until the end and returns how to end: everything else has been
// ended by then, and the caller exits or calls reboot(2). It is called once in
// the life of a process. It fails only before anything was started.
func Keep(opt Options) (End, error) {
	k, err := newKeeper(opt)
	if err != nil {
		return End{}, fmt.Errorf("cannot keep: %w", err)
	}
	warmUp()
	go k.forever("signals", k.hearOnce)
	go k.forever("reaper", k.reapOnce)
	go k.forever("exec watcher", k.watchOnce)
	go k.forever("writer", k.writeOnce)
	go k.forever("group watcher", k.watchGroupsOnce)
	for k.wanted() == nil {
		k.guarded("server", k.serveOnce)
	}
	return k.sweep(), nil
}

func newKeeper(opt Options) (*keeper, error) {
	if opt.Server == nil {
		return nil, errors.New("no server is given")
	}
	if opt.Caught == nil {
		opt.Caught = CatchSignals()
	}
	opt.Grace = cmp.Or(opt.Grace, DefaultGrace)
	opt.Patience = cmp.Or(opt.Patience, DefaultPatience)
	opt.Tick = cmp.Or(opt.Tick, DefaultTick)
	opt.Probation = cmp.Or(opt.Probation, DefaultProbation)
	k := &keeper{opt: opt, children: newChildren(), held: held{fds: map[string][]int{}}, in: newReceiver(-1), hurry: make(chan struct{}, 1)}
	for _, c := range []*sync.Cond{&k.born, &k.wrote, &k.stuck, &k.roomy, &k.poked} {
		c.L = &k.mu
	}
	confine()
	return k, k.open()
}

// confine makes orphans ours, our memory nobody's, and what was inherited
// harmless.
func confine() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	inheritNothing()
}

// inheritNothing keeps the descriptors we were started with from our children.
func inheritNothing() {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) != nil {
		for fd := 3; fd < 4096; fd++ { // before Linux 5.11
			unix.CloseOnExec(fd)
		}
	}
}

// open opens what the keeper needs for good.
func (k *keeper) open() (err error) {
	if k.arena, err = newArena(); err != nil {
		return fmt.Errorf("map memory for spawning: %w", err)
	}
	if k.null, err = openNull(); err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	k.binaries = binaries{good: openBinary("/proc/self/exe"), trial: -1, number: 1}
	var limit unix.Rlimit
	if err = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of descriptors: %w", err)
	}
	k.hard, k.ignored, k.oom = limit.Max, ignoredSignals(), ownOOMScore()
	k.openStderr()
	return nil
}

// openStderr makes the file that servers write their last words to. A file
// never blocks them; their successor reads it.
func (k *keeper) openStderr() {
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		k.stderr = k.null
		return
	}
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
	k.stderr = fd
	_, _ = k.held.put("stderr", []int{fd})
}

// warmUp makes the threads the keeper will ever need while there are threads
// to be had: Go ends the process when it cannot make one. The number of
// processors is set because Go would follow the cgroup's and stop everything
// to do so; each keeps some 60 KiB of its own, and two do as much as four
// (measured: 0.4 of posix_spawn's time for 1000 spawns on two cores).
func warmUp() {
	const threads, processors = 10, 2
	runtime.GOMAXPROCS(processors)
	debug.SetGCPercent(100)
	var up, done sync.WaitGroup
	up.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			up.Done()
			up.Wait()
		})
	}
	done.Wait()
	time.AfterFunc(0, func() {}) // opens the descriptors that timers need
	calmMonitor()
}

// slack is how late a sleep may end that nobody counts on, in nanoseconds.
const slack = 2_000_000

// calmMonitor lets the thread by which Go watches over the others, the first
// that it makes, sleep longer: while anything runs it wakes every 20 µs, which
// on a busy processor took a third of the time of a restart (measured). Only
// a privileged process may; without, it is slower and as good.
func calmMonitor() {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	self, first := os.Getpid(), 0
	for _, task := range tasks {
		if tid, _ := strconv.Atoi(task.Name()); tid != self && (first == 0 || tid < first) {
			first = tid
		}
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", first), []byte(strconv.Itoa(slack)), 0)
}

// forever does step again and again. A bug in it costs a line and a moment,
// never the process.
func (k *keeper) forever(name string, step func()) {
	for {
		k.guarded(name, step)
	}
}

// after does step once, a while from now.
func (k *keeper) after(d time.Duration, name string, step func()) *time.Timer {
	return time.AfterFunc(d, func() { k.guarded(name, step) })
}

func (k *keeper) guarded(name string, step func()) {
	defer func() {
		if why := recover(); why != nil {
			k.say("bug in the keeper's %s: %v\n%s", name, why, debug.Stack())
			time.Sleep(100 * time.Millisecond)
		}
	}()
	step()
}

// say puts a line on the console.
func (k *keeper) say(format string, args ...any) {
	if k.opt.Log != nil {
		k.opt.Log(fmt.Sprintf(format, args...))
	}
}

// wanted returns the end that was asked for, or nil.
func (k *keeper) wanted() *End {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.end
}

// kill signals a child if it is still there; nil is none. Lock held.
func (e *entry) kill(sig unix.Signal) {
	if e != nil && e.pid > 1 && !e.reaped {
		_ = unix.Kill(e.pid, sig)
	}
}
