package state

// FailureKind is the first cause of a failure. The zero value is none.
type FailureKind uint8

const (
	NoFailure FailureKind = iota
	ExitCode              // Failure.Code
	Signal                // Failure.Code is the signal's number
	StartTimedOut
	StopTimedOut
	HealthCheckFailed
	DependencyFailed  // Failure.Text is the dependency's name
	SpawnError        // Failure.Text says what, Failure.Code is the errno of execve(2), 0: it did not come to that
	MissingDependency // Failure.Text is the name
	Cycle             // Failure.Text is the path
	Lost              // its process was not found after a crash of the server
	numFailures
)

var failureNames = [numFailures]string{
	"", "exit_code", "signal", "start_timeout", "stop_timeout", "health_check_failed", "dependency_failed",
	"spawn_error", "missing_dependency", "cycle", "lost",
}

// String returns the tag that zinit 0.3 uses in its answers.
func (k FailureKind) String() string {
	if k >= numFailures {
		return "unknown"
	}
	return failureNames[k]
}

// Failure is why a service failed. The first cause is kept: the SIGKILL that
// follows a start timeout does not overwrite it.
type Failure struct {
	Kind  FailureKind
	Code  int
	Core  bool
	Early bool // the process ended before it was ready
	Text  string
}

// Hook is a command that runs on behalf of a service.
type Hook uint8

const (
	NoHook   Hook = iota
	PreHook       // pre_exec
	StopHook      // stop_exec
	PostHook      // post_exec
	numHooks
)

var hookNames = [numHooks]string{"", "pre", "stop", "post"}

// String returns the kind by which the keeper knows it.
func (h Hook) String() string {
	if h >= numHooks {
		return "unknown"
	}
	return hookNames[h]
}

// Exit is how one run ended.
type Exit struct {
	Run    uint64 // 0: no run has ended yet
	Pid    int
	Code   int // exit code, when Signal is 0
	Signal int
	Core   bool
	Killed bool  // our SIGKILL came first, or was needed for what it left in a stop
	OOM    bool  // the kernel ended some of it for want of memory
	Wall   int64 // Unix nanoseconds
}

// Service is all that the supervisor remembers of a service between two
// decisions, and across its own death. Deadlines and SinceMono are
// CLOCK_MONOTONIC nanoseconds, 0 is none; Since is the wall clock, for people.
type Service struct {
	State  State
	Wanted bool   // up is asked for
	Run    uint64 // number of the latest run; 0: it never ran
	Pid    int    // main process of the latest run while it lives
	Live   bool   // the latest run was ordered and its end is not known yet
	Left   bool   // the main process has ended, others of its group have not
	Again  bool   // stopping: start again when gone
	Queued bool   // asked to stop (Again: to restart), waits for those that need it
	OK     bool   // the latest run ended by itself, with success
	Killed bool   // SIGKILL was sent in this stop
	Stuck  bool   // still there after SIGKILL

	Hook     Hook   // that runs; its end is waited for
	HookSeq  uint64 // number of the latest hook of any kind, which is the run of its tag
	PostDue  bool   // post_exec is still to run for the latest run
	Reload   bool   // reload_exec was asked for and its end is not known; its number is HookSeq until another hook comes
	MainGone bool   // nothing of the run is left but a hook, or who has left its process group

	ProbeAt       int64  // when it is asked next; 0: it is being asked, or never is
	ProbeFailures int    // in a row that count
	Unwell        string // what its health check says; "" when it is well or has none
	StatusText    string // what it says of itself: STATUS= of sd_notify(3)
	UID           int    // who its latest run runs as

	Attempts int // restarts in a row, without an operator's word
	StartBy  int64
	StopBy   int64
	RetryAt  int64
	LeftBy   int64 // when what outlived the main process is killed
	LookBy   int64 // when who is left is named, or what else blocks is looked at again
	ReadyAt  int64 // since when it runs; 0: it does not

	Since     int64
	SinceMono int64
	SigSeq    uint64 // of the last signal ordered; grows over all runs
	Sigs      string // which that was, and those before it: see Signal

	Seq        uint64 // number of its last transition
	Boot       bool   // the boot has it come up, and nobody else has had a say in it
	FirstStart int64  // when the boot began its first run; 0: it did not, and
	FirstReady int64  // when it was ready or done by that: what a boot took

	Failure Failure // why it failed; kept while Stopping towards Failed
	Last    Exit
	Cause   string // who or what brought the present state
	Starter string // who or what asked for it to be up
}

// Alive reports whether anything of the service may live. A target that is
// running counts, so that stops keep their order through it.
func (s *Service) Alive() bool {
	return s.Hook != NoHook || s.Live || s.Left || s.State == Stopping || s.State == Starting || s.State == Running
}

// Settled reports whether the service has reached its outcome: ready, done, or
// failed with no restart pending.
func (s *Service) Settled() bool {
	switch s.State {
	case Running:
		return !s.Queued
	case Exited, Failed:
		return s.RetryAt == 0
	}
	return false
}

// Satisfies reports whether a service that requires this one may start:
// it is running, or it is a oneshot whose last run ended with success.
func (s *Service) Satisfies(oneshot bool) bool {
	if s.State == Running {
		return !s.Queued
	}
	return oneshot && s.State == Exited && s.OK
}

// Step returns the service after ev and the effects to carry out. wall and mono
// stamp the change. It fails with *RefusedError if the table has no row for ev
// in the present state; the service is then unchanged.
//
// Deadlines are cleared when their state is left; the supervisor sets those
// that the effects arm, because only it knows the service's timeouts.
func (s Service) Step(ev Event, wall, mono int64) (Service, Effect, error) {
	to, do, _, ok := Row(s.State, ev)
	if !ok {
		return s, 0, &RefusedError{s.State, ev}
	}
	switch ev {
	case Stop:
		s.Wanted, s.Again, s.Queued, s.RetryAt = false, false, false, 0
	case StartFree, StartHeld:
		s.Wanted, s.Again, s.RetryAt = true, s.State == Stopping || s.Queued, 0
		if to != s.State {
			s.Attempts = 0
		}
	case Restart:
		s.Wanted, s.Again, s.Queued, s.Attempts, s.Failure = true, true, false, 0, Failure{}
	case Unbound:
		s.Again = true // and nothing of its budget is spent
	case StartTimeout:
		s.Failure.Kind = StartTimedOut // its text says what was awaited
	case StopTimeout:
		s.Killed = true
		if s.Left && s.Hook != PostHook { // it is for those whom the main process has left
			s.Last.Killed = true
		}
	case Unkillable:
		s.Stuck = true
	case LeftGone:
		s.Left, s.LeftBy, s.LookBy = false, 0, 0
	}
	if to != s.State {
		s.leave(to, wall, mono)
	}
	if do&Spawn != 0 {
		s.Run++
		s.Live, s.Pid, s.OK, s.Sigs = true, 0, false, ""
		s.Hook, s.PostDue, s.MainGone, s.Reload = NoHook, false, false, false
		s.ProbeAt, s.ProbeFailures, s.Unwell, s.StatusText = 0, 0, "", ""
	}
	return s, do, nil
}

// leave moves s to state to and clears what belonged to the state it leaves.
func (s *Service) leave(to State, wall, mono int64) {
	s.StartBy, s.StopBy, s.RetryAt, s.ReadyAt = 0, 0, 0, 0
	if !s.Left {
		s.LookBy = 0
	}
	s.Killed, s.Stuck = false, false
	switch to {
	case Running:
		s.ReadyAt = mono
		s.Failure = Failure{}
	case Starting, Blocked, Inactive:
		s.Failure, s.Again = Failure{}, false
	case Exited, Failed:
		s.Again, s.Queued = false, false
	}
	switch to {
	case Starting:
		if s.Boot && s.FirstStart == 0 {
			s.FirstStart = mono
		}
	case Running, Exited:
		if s.Boot && s.FirstStart != 0 {
			s.FirstReady = mono
		}
		s.Boot = false
	}
	s.State, s.Since, s.SinceMono = to, wall, mono
}
