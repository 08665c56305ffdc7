package keeper

import (
	"errors"
	"syscall"
)

// Bounds of what one message may carry. A request beyond them is answered
// with an errno or ignored; nothing is cut short.
const (
	MaxTag   = 160  // bytes of Spawn.Tag: the longest name of a service, and a helper's kind before it
	MaxName  = 256  // bytes of the name of something held
	MaxFDs   = 64   // descriptors held under one name
	MaxPaths = 64   // candidates of one spawn
	MaxIDs   = 1024 // supplementary groups

	maxLimits  = 32
	maxMessage = 192 << 10 // one datagram; the kernel's default buffer takes 208 KiB
	maxSpawn   = 160 << 10 // one Spawn with its arguments and environment
	maxPassed  = 240       // descriptors in one datagram; the kernel takes 253
	maxFailure = 1 << 10   // Welcome.UpgradeFailed
)

// version is what hello says. A keeper refuses a server of another version
// by not answering; a later version finds room after the number.
const version = 1

// Spawn asks for one run of one service. (Tag, Run) is its key: asked again
// with a known key, the keeper answers as before and starts nothing.
type Spawn struct {
	Tag   string   // the service's name, or what HelperTag makes of it; 1 to MaxTag bytes
	Run   uint64   // number of the run; a Tag never uses one twice
	Paths []string // absolute candidates; the child tries each with execve. ENOENT, ENOTDIR, EACCES go on to the next

	Argv, Env []string // Argv[0] is the name the program sees; neither may hold a NUL
	Dir       string   // working directory inside Chroot; "" is "/"
	Chroot    string   // "" is none
	Umask     int      // -1 is 022
	Cred      *Cred    // nil: the keeper's own
	Limits    []Limit  // without RLIMIT_NOFILE the soft one becomes min(1024, hard)
	ReadyFD   int      // 0: none; from 3 up: the write end of a pipe is this descriptor in the child

	Nice        int      // -20 to 19
	IONice      IONice   // zero: the kernel's choice, which follows Nice
	OOMScoreAdj *int     // -1000 to 1000; nil: the keeper's own, but 0 where that is -1000
	CPUs        []uint64 // bit n%64 of word n/64 is processor n; nil: the keeper's own
	NoNewPrivs  bool     // see PR_SET_NO_NEW_PRIVS(2const)
	Caps        *uint64  // bit n is capability n: all that is kept; nil: what the keeper and Cred leave

	// TTY is a terminal that becomes stdin, stdout, stderr and controlling
	// terminal. There are no pipes for output then. "": none; OwnTTY: the one
	// that is the keeper's descriptor 0.
	TTY string

	// Cgroup is the directory of an existing cgroup of version 2 that the run
	// starts in. "": the keeper's own.
	Cgroup string

	// AtExit is sent to the process group when the main process has ended
	// and before it is reaped. 0: nothing.
	AtExit syscall.Signal
}

// OwnTTY as Spawn.TTY is the keeper's own terminal. It becomes the run's
// controlling one if no other session has it: see GiveUpTerminal.
const OwnTTY = "-"

// Cred is who a run is. Groups replaces the supplementary groups, also when
// it is empty.
type Cred struct {
	UID, GID uint32
	Groups   []uint32
}

// IONice is a priority for the disk, as ioprio_set(2) counts it.
type IONice struct {
	Class int // 0 none, 1 real time, 2 best effort, 3 idle
	Level int // 0 first to 7 last
}

// Limit is one resource limit, as setrlimit(2) counts it.
type Limit struct {
	Resource   int
	Soft, Hard uint64
}

// Signal asks for one signal to a run. Seq grows within a run: the keeper
// answers Sent, without acting, to a Seq it has already seen.
type Signal struct {
	Tag     string
	Run     uint64
	Seq     uint64
	Sig     syscall.Signal
	ToGroup bool // the whole process group; false: the main process only
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events. Failed, Exited, Gone and Asked are told again in every
// welcome until they are acknowledged.
const (
	Spawned  EventKind = iota + 1 // a process exists: Pid, StartTime, FDs
	Execed                        // its program runs
	Failed                        // a step before the program failed: Step, Errno; nothing ran
	Busy                          // a table is full, no entry was made: ask again
	Exited                        // the main process has ended: Status, AtNS, usage, NoExec
	Gone                          // and no member of its group is left that is not a zombie
	Signaled                      // answer to a Signal: Seq, Outcome, Errno
	Held                          // answer to Client.Hold: Name, Errno 0 when it is held
	Asked                         // somebody wants something of zinit: Ask
	Proven                        // this server's probation is over: its binary is what the keeper goes back to
	Refused                       // answer to Client.Upgrade when the binary did not arrive: Errno; this server stays
	Lost                          // the keeper is gone, or has heard End; made by the client, once, and the last event
)

var kindNames = [...]string{"", "spawned", "execed", "failed", "busy", "exited", "gone", "signaled", "held", "asked", "proven", "refused", "lost"}

func (k EventKind) String() string { return nameOf(kindNames[:], int(k)) }

func nameOf(names []string, n int) string {
	if n < len(names) {
		return names[n]
	}
	return "unknown"
}

// Outcome is what became of a Signal.
type Outcome uint8

// The outcomes.
const (
	Sent    Outcome = iota + 1 // delivered, or Errno says why the kernel refused
	Pending                    // given to the main process, which is still before its exec
	Absent                     // there is no such run, or nothing of it is left that may be signalled
)

// Asking is what somebody outside wants of zinit, or how zinit ends.
type Asking uint8

// What can be asked for.
const (
	Stop     Asking = iota + 1 // end in order: a container's or a user's zinit
	PowerOff                   // the machine
	Reboot                     // the machine
	Halt                       // the machine
	Reload                     // read the service files again
	Restart                    // a new server; the keeper does it and tells nobody
)

var askNames = [...]string{"", "stop", "poweroff", "reboot", "halt", "reload", "restart"}

func (a Asking) String() string { return nameOf(askNames[:], int(a)) }

// Ends reports whether a wants zinit to end.
func (a Asking) Ends() bool { return a >= Stop && a <= Halt }

// Ask is a request that came as a signal. Times counts how often What was
// asked since the keeper started; it only grows, so a second TERM is news.
// Who sent it is not known: Go's signal delivery does not tell.
type Ask struct {
	What  Asking
	Times uint64
	Sig   syscall.Signal // the last of these; 0: an older keeper does not say
}

// NamedFD is a descriptor under the name by which the keeper holds it.
type NamedFD struct {
	Name string
	FD   int
}

// Event is one thing the keeper tells. Which fields count is said at its Kind.
type Event struct {
	Kind EventKind
	Tag  string
	Run  uint64
	Pid  int

	// StartTime is field 22 of /proc/PID/stat: with Pid it names a process
	// for good. 0 is not known.
	StartTime uint64

	Step  string // the step that failed, such as "chdir" or "execve"
	Errno syscall.Errno

	Status   syscall.WaitStatus
	NoExec   bool  // it was killed before its program ran
	AtNS     int64 // CLOCK_MONOTONIC when it was seen, nanoseconds
	UserUS   int64 // processor time of the main process and its waited-for children, microseconds
	SysUS    int64
	MaxRSSKB int64

	FDs []NamedFD // "pipe/TAG/RUN/out", "…/err", and "…/ready" when asked for: non-blocking read ends

	Seq     uint64
	Outcome Outcome

	Name string
	Ask  Ask
}

// Child is one entry of the keeper's table as a welcome tells it.
type Child struct {
	Tag       string
	Run       uint64
	Pid       int
	StartTime uint64
	Phase     EventKind // what happened last: Spawned (before its exec), Execed (alive), Failed, Exited, Gone

	Step     string
	Errno    syscall.Errno
	Status   syscall.WaitStatus
	NoExec   bool
	AtNS     int64
	UserUS   int64
	SysUS    int64
	MaxRSSKB int64
	Seq      uint64 // the highest signal already acted on
}

// Welcome is all a server learns of its predecessor from the keeper.
type Welcome struct {
	Generation uint64 // servers started by this keeper, from 1

	// Failures counts servers in a row that ended by themselves (an exit, a
	// panic, a hang that the keeper ended) without becoming ready. One that
	// got SIGKILL from outside or whose program could not be run at all does
	// not count and does not end the row; one that was ready does.
	Failures int

	// Probation says that this server's binary has yet to prove itself: it
	// came with Client.Upgrade, or from the path because the proven one did
	// not get ready.
	Probation bool

	// UpgradeFailed says what became of an upgrade that was given up, "" when
	// none was. It is told until a server that was told says that it is ready.
	UpgradeFailed string

	// Upgrade is the number of the last upgrade that has arrived, 1 when none
	// has. 0: this keeper is of a time when they had none.
	Upgrade uint64

	KeeperPID int
	Children  []Child          // in the order they were spawned
	Held      map[string][]int // our own copies of all that is held
	Asked     []Ask            // not acknowledged yet

	// Killed says that the server before this one got SIGKILL, and not from the
	// keeper: from an operator, or from a kernel that had no memory left. An older
	// keeper never says so.
	Killed bool
}

// End asks the keeper to end everything: the server exits, then all that is
// left gets TERM, two seconds, KILL.
type End struct {
	How    Asking // Stop, PowerOff, Reboot or Halt
	Status int    // exit status for a container or a user's zinit
}

// errMalformed is the only thing said about bytes that are no message: nobody
// repairs them.
var errMalformed = errors.New("malformed message")
