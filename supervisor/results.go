package supervisor

// The shapes that questions are answered with. Their JSON names and types are
// those of zinit 0.3.9, extended by new fields only, because its clients read
// them.

// State is a service's condition as zinit 0.3 shows it in full results: an
// object tagged by "state".
type State struct {
	State     string   `json:"state"`                // inactive blocked starting running stopping exited failed
	PID       int      `json:"pid,omitempty"`        // starting, running, stopping; absent when there is no process
	ExitCode  *int     `json:"exit_code,omitempty"`  // exited; absent when it never ran or a signal ended it
	WaitingOn []string `json:"waiting_on,omitempty"` // blocked: names of services, or "port 80", "start slot"
	Reason    *Failure `json:"reason,omitempty"`     // failed
}

// Failure is why a service failed, tagged by "type": exit_code, signal,
// start_timeout, stop_timeout, health_check_failed, dependency_failed,
// spawn_error, missing_dependency, cycle, invalid_file.
type Failure struct {
	Type       string `json:"type"`
	Code       *int   `json:"code,omitempty"`
	Signal     int    `json:"signal,omitempty"`
	Core       bool   `json:"core,omitempty"`
	Attempts   int    `json:"attempts,omitempty"`
	Service    string `json:"service,omitempty"`
	Message    string `json:"message,omitempty"`
	Dependency string `json:"dependency,omitempty"`
}

// Info is one service as `list` shows it.
type Info struct {
	Name     string `json:"name"`
	State    State  `json:"state"`
	IsTarget bool   `json:"is_target"`

	Wanted  bool   `json:"wanted"`            // up is asked for
	Class   string `json:"class"`             // user or system
	SinceMS int64  `json:"since_ms"`          // wall clock of the last change of state, Unix milliseconds; 0: never
	AgeMS   int64  `json:"age_ms"`            // time in this state, from the monotonic clock
	Reason  string `json:"reason,omitempty"`  // one line, for whatever is not as wanted
	Changed bool   `json:"changed,omitempty"` // its file has changed on disk since it was accepted
}

// Status is service.status: the short answer of zinit 0.3, plus ours.
type Status struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid"`                 // 0: no process
	ExitCode *int   `json:"exit_code,omitempty"` // exited or failed by exit code, and known
	Error    string `json:"error,omitempty"`     // blocked or failed
}

// Dependency is one edge of a service with what is at its other end.
type Dependency struct {
	Name      string `json:"name"`
	DepType   string `json:"dep_type"` // requires binds_to wants after before conflicts
	State     string `json:"state"`    // "missing" when there is no such service
	Satisfied bool   `json:"satisfied"`
}

// Exit is how one run ended.
type Exit struct {
	Run    uint64 `json:"run"`
	PID    int    `json:"pid"`
	Code   *int   `json:"code,omitempty"`
	Signal int    `json:"signal,omitempty"`
	Core   bool   `json:"core,omitempty"`
	Killed bool   `json:"killed,omitempty"` // zinit's SIGKILL ended it, or what it had left, after its stop timeout
	AtMS   int64  `json:"at_ms"`            // Unix milliseconds
	OOM    bool   `json:"oom,omitempty"`    // the kernel ended some of it for want of memory
	Text   string `json:"text"`             // "exit 1", "signal SEGV (core dumped)"
}

// Full is service.status_full: everything about one service.
type Full struct {
	Info
	Description  string            `json:"description,omitempty"`
	Dependencies []Dependency      `json:"dependencies"`
	Dependents   []Dependency      `json:"dependents"`
	UptimeSecs   *int64            `json:"uptime_secs"` // since it became running; null when it is not
	Cause        string            `json:"cause"`       // who or what brought this state, e.g. "boot", "uid 0 pid 812: start"
	Run          uint64            `json:"run"`         // number of the last run, 0: never ran
	Attempts     int               `json:"attempts"`    // restarts in a row
	MaxRestarts  int               `json:"max_restarts"`
	NextStartMS  *int64            `json:"next_start_ms,omitempty"` // from now, while a restart is pending
	LastExit     *Exit             `json:"last_exit,omitempty"`
	Command      []string          `json:"command,omitempty"`
	Health       *Health           `json:"health,omitempty"`
	StatusText   string            `json:"status_text,omitempty"` // what it says of itself, by sd_notify
	File         string            `json:"file,omitempty"`
	Limits       map[string]string `json:"limits,omitempty"`    // of its file
	Resources    map[string]string `json:"resources,omitempty"` // the same; one that no cgroup holds says so
	Ports        []uint16          `json:"ports,omitempty"`
	PortConflict string            `json:"port_conflict,omitempty"` // who holds them, while that blocks it
	Contained    string            `json:"contained,omitempty"`     // what holds its processes together: "process group", "cgroup PATH"
	Usage        *Stats            `json:"usage,omitempty"`         // what its processes use, when that was asked for
	LogBytes     int64             `json:"log_bytes"`
	LogDropped   int64             `json:"log_dropped"`
	Warnings     []string          `json:"warnings,omitempty"`
	Log          []LogLine         `json:"log,omitempty"` // the last lines
}

// LogLine is one line of output.
type LogLine struct {
	TimestampMS int64  `json:"timestamp_ms"`
	Service     string `json:"service"`
	Stream      string `json:"stream"`          // stdout stderr
	Content     string `json:"content"`         // text, when it is valid UTF-8
	Bytes       []byte `json:"bytes,omitempty"` // base64, when it is not
	Run         uint64 `json:"run,omitempty"`
	Seq         uint64 `json:"seq"`               // position in the service's store; grows
	Partial     bool   `json:"partial,omitempty"` // no newline ended it
	Dropped     int64  `json:"dropped,omitempty"` // bytes missing before this line
}

// Why is the chain from a service to the root cause.
type Why struct {
	Name          string   `json:"name"`
	Blocked       bool     `json:"blocked"`
	WaitingOn     []string `json:"waiting_on"`
	ConflictsWith []string `json:"conflicts_with"`
	PortConflict  string   `json:"port_conflict,omitempty"` // who holds its ports
	ASCII         string   `json:"ascii"`                   // what a person reads, lines joined by LF
	Chain         []Link   `json:"chain"`
	Help          string   `json:"help,omitempty"` // the command that would help
}

// Link is one step of a Why, from the service asked about down to the cause.
type Link struct {
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	AgeMS  int64     `json:"age_ms"`
	Exit   *Exit     `json:"exit,omitempty"`
	File   string    `json:"file,omitempty"`
	Line   int       `json:"line,omitempty"`
	Log    []LogLine `json:"log,omitempty"`

	Warnings []string `json:"warnings,omitempty"` // of one that runs as wanted
}

// Outcome is what became of one service that was asked to start, stop or
// restart.
type Outcome struct {
	Name    string   `json:"name"`
	State   string   `json:"state"`
	OK      bool     `json:"ok"`                // it is as asked
	Reason  string   `json:"reason,omitempty"`  // why it is not, or what else is to be known
	Also    []string `json:"also,omitempty"`    // services that were stopped or started with it
	Pending bool     `json:"pending,omitempty"` // not there yet, and still on its way
}

// Reload is what a reload did, or with DryRun would do.
type Reload struct {
	Added        []string    `json:"added"`
	Removed      []string    `json:"removed"`
	Changed      []string    `json:"changed"`
	Unchanged    int         `json:"unchanged"`
	ConfigErrors [][2]string `json:"config_errors"` // file, message: left out before and still
	DryRun       bool        `json:"dry_run,omitempty"`
}

// Version says which zinit answers.
type Version struct {
	Version    string `json:"version"`
	PID        int    `json:"pid"`
	Generation uint64 `json:"generation"` // servers started by this keeper, from 1
	KeeperPID  int    `json:"keeper_pid"`

	Probation     bool   `json:"probation,omitempty"`      // an upgrade that has yet to prove itself
	UpgradeFailed string `json:"upgrade_failed,omitempty"` // why the last upgrade was given up
	Upgrading     string `json:"upgrading,omitempty"`      // the binary of an upgrade that is decided and not done
	Mode          string `json:"mode"`                     // machine container user
	StartedMS     int64  `json:"started_ms"`
}

// Transition is one change of state, as events are told.
type Transition struct {
	Seq     uint64 `json:"seq"`
	Because uint64 `json:"because,omitempty"` // seq of the transition that it follows from
	TimeMS  int64  `json:"time_ms"`
	Name    string `json:"name"`
	From    string `json:"from"`
	To      string `json:"to"`
	Event   string `json:"event"`
	Run     uint64 `json:"run,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Cause   string `json:"cause"`
	Reason  string `json:"reason,omitempty"`
}
