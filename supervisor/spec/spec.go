package spec

import (
	"reflect"
	"sort"
	"strconv"
	"syscall"
	"time"

	"zinit/graph"
)

// What an absent key means.
const (
	DefaultRestartDelay    = time.Second
	DefaultRestartDelayMax = 300 * time.Second
	DefaultMaxRestarts     = 10
	DefaultStabilityPeriod = 30 * time.Second
	DefaultStartTimeout    = 30 * time.Second
	DefaultStopTimeout     = 10 * time.Second
	DefaultStopSignal      = syscall.SIGTERM
	DefaultBufferLines     = 1000
	DefaultBufferBytes     = 256 << 10
)

// Reserved is the one name that no service can have: the logs of zinit itself
// go by it.
const Reserved = "zinit"

// Spec is the meaning of one service or target file. Whoever holds one does not
// modify it; it is safe for concurrent reading.
type Spec struct {
	Name        string
	Target      bool // a service without a process; only Name, Critical, Class and Deps say anything
	Description string

	Exec     Command
	Dir      string    // absolute; "/" when the file says nothing
	Env      []string  // KEY=VALUE, sorted by key
	EnvFiles []EnvFile // in the order in which they are read
	User     string    // name or number; "": zinit's own
	Group    string    // name or number; "": the user's
	Groups   []string  // names or numbers
	Umask    int       // -1: zinit's default for services, 022
	Limits   []Limit   // sorted by Resource
	Oneshot  bool      // runs to completion and is then done
	Main     bool      // container: its end is the end of zinit
	Critical bool      // its failure for good is an emergency

	Nice            int // -20 to 19
	IONice          IONice
	OOMScoreAdj     *int     // -1000 to 1000; nil: the file says nothing
	CPUs            []uint64 // bit n%64 of word n/64 is processor n; nil: all
	NoNewPrivileges bool
	Capabilities    *uint64  // bit n is capability n: all that are kept; nil: every one. See CapabilityNames
	Chroot          string   // absolute; "": none. Dir is inside
	TTY             string   // absolute; "": none
	Ports           []uint16 // TCP; sorted
	ProcessFilters  []string // names of processes that must not run beside it
	KillOthers      bool     // end what holds Ports or matches ProcessFilters
	Resources       Resources
	Health          *HealthCheck // nil: there is no check

	Status Status
	Class  Class
	Ready  Ready

	Deps []graph.Dep // as declared, in the order of the file

	Restart         Policy
	RestartDelay    time.Duration // before the first restart; doubles
	RestartDelayMax time.Duration // at least RestartDelay
	MaxRestarts     int           // in a row; 0: no limit
	StabilityPeriod time.Duration // running this long clears the count
	StartTimeout    time.Duration // 0: none, as for a oneshot whose file sets none
	StopTimeout     time.Duration // between StopSignal and SIGKILL
	StopSignal      syscall.Signal
	SuccessCodes    []int // besides 0; sorted

	// Hooks without Argv are not there. ReloadSignal is 0 where none is given;
	// ReloadExec and it are never both given.
	StopExec, ReloadExec, PreExec, PostExec Command
	ReloadSignal                            syscall.Signal

	BufferLines int   // lines of output kept at least, as far as BufferBytes reaches
	BufferBytes int64 // bytes of output kept

	File   string // where it was read from
	Source []byte // the text it was read from
	Named  bool   // by a key in the text, not by the file
	Warned bool   // something was to be said of it
}

// Node returns the spec as the graph takes it. It shares Deps.
func (s *Spec) Node() graph.Node {
	return graph.Node{Name: s.Name, File: s.File, Deps: s.Deps}
}

// Same tells whether two specs mean the same: comments, the order of keys, the
// file's name and a default that is written out do not count.
func (s *Spec) Same(o *Spec) bool {
	if s == o || s == nil || o == nil {
		return s == o
	}
	return reflect.DeepEqual(s.meaning(), o.meaning())
}

// meaning returns a copy without what only says where it was read.
func (s *Spec) meaning() Spec {
	m := *s
	m.File, m.Source, m.Named, m.Warned = "", nil, false, false
	for _, c := range []*Command{&m.Exec, &m.StopExec, &m.ReloadExec, &m.PreExec, &m.PostExec} {
		*c = c.meaning()
	}
	if s.Health != nil {
		h := *s.Health
		if h.Type == HealthExec {
			h.Target, h.Exec = "", h.Exec.meaning()
		}
		m.Health = &h
	}
	m.Deps = make([]graph.Dep, len(s.Deps))
	for i, d := range s.Deps {
		m.Deps[i] = graph.Dep{Name: d.Name, Kind: d.Kind}
	}
	sort.Slice(m.Deps, func(i, j int) bool {
		a, b := &m.Deps[i], &m.Deps[j]
		return a.Kind < b.Kind || a.Kind == b.Kind && a.Name < b.Name
	})
	return m
}

// EnvFile is a file of KEY=VALUE lines that is read at each start.
type EnvFile struct {
	Path     string // absolute
	Optional bool   // its absence is forgiven
}

// Limit is one resource limit. Soft and Hard are RLIM_INFINITY (all bits set)
// for "unlimited".
type Limit struct {
	Resource int // RLIMIT_…
	Soft     uint64
	Hard     uint64 // KeepHard: as it is, or Soft where that is higher
}

// KeepHard as a hard limit leaves the inherited one alone, unless it is lower
// than the soft one.
const KeepHard = ^uint64(0) - 1

// Status is what zinit does with a service by itself.
type Status uint8

// Zero is Start, the default.
const (
	Start  Status = iota // start it at boot
	Stop                 // start it only when something asks or requires it
	Ignore               // never start or restart it by itself
)

// String returns the status as service files spell it.
func (s Status) String() string { return word(statusWords[:], int(s)) }

// Class separates what bulk verbs touch from what they leave alone.
type Class uint8

// Zero is User, the default.
const (
	User Class = iota
	System
)

// String returns the class as service files spell it.
func (c Class) String() string { return word(classWords[:], int(c)) }

// Policy says after which ends a service is restarted.
type Policy uint8

// Zero is OnFailure, the default.
const (
	OnFailure Policy = iota
	Always
	Never
)

// String returns the policy as service files spell it.
func (p Policy) String() string { return word(policyWords[:], int(p)) }

// ReadyKind is how a service says that it is ready.
type ReadyKind uint8

// Zero is Spawned, the default.
const (
	Spawned ReadyKind = iota // when its program runs
	Health                   // when its health check first succeeds
	Notify                   // by sd_notify(3)
	FD                       // by a newline on a descriptor
)

// Ready is when a service counts as ready. Its zero value: when it runs.
type Ready struct {
	Kind ReadyKind
	FD   int // for FD: the descriptor in the service, from 3
}

// String returns it as service files spell it.
func (r Ready) String() string {
	if r.Kind == FD {
		return "fd:" + strconv.Itoa(r.FD)
	}
	return word(readyWords[:], int(r.Kind))
}

var (
	readyWords  = [...]string{Spawned: "spawned", Health: "health", Notify: "notify", FD: "fd"}
	statusWords = [...]string{Start: "start", Stop: "stop", Ignore: "ignore"}
	classWords  = [...]string{User: "user", System: "system"}
	policyWords = [...]string{OnFailure: "on-failure", Always: "always", Never: "never"}
)

func word(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return "unknown"
}

// initial returns the spec of a file that says nothing.
func initial(file string, src []byte, class Class) *Spec {
	return &Spec{
		Dir: "/", Umask: -1, Class: class,
		RestartDelay: DefaultRestartDelay, RestartDelayMax: DefaultRestartDelayMax,
		MaxRestarts: DefaultMaxRestarts, StabilityPeriod: DefaultStabilityPeriod,
		StartTimeout: DefaultStartTimeout, StopTimeout: DefaultStopTimeout, StopSignal: DefaultStopSignal,
		BufferLines: DefaultBufferLines, BufferBytes: DefaultBufferBytes,
		File: file, Source: src,
	}
}
