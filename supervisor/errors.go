package supervisor

import "fmt"

// Kind says what sort of refusal an Error is, so that the edge can choose an
// RPC code, an exit code and a hint.
type Kind string

const (
	NotFound     Kind = "not_found"     // no such service
	NotRunning   Kind = "not_running"   // it has no process
	Refused      Kind = "refused"       // would break others
	ShuttingDown Kind = "shutting_down" // nothing new starts
	TimedOut     Kind = "timed_out"     // the caller's patience ended; the work goes on
	Invalid      Kind = "invalid"       // a bad value or file
	Cyclic       Kind = "cycle"         // it waits for itself
	Malformed    Kind = "validation"    // a definition that does not load
	Unsafe       Kind = "unsafe"        // others require what is to be removed
	Unwritten    Kind = "unwritten"     // a file could not be written; nothing was done
	GivenUp      Kind = "given_up"      // it was accepted, and has come to nothing since
	Unrecorded   Kind = "unrecorded"    // the journal could not be written; nothing was done
)

// Error is a request that was refused or cannot be carried out. Nothing has
// changed, unless Kind is TimedOut.
type Error struct {
	Kind    Kind
	Service string // "" when it concerns none
	Reason  string
	Hint    string // what to do; may be ""
}

func (e *Error) Error() string { return e.Reason }

// unknown is the refusal of a name that no service has: nobody defines it, or
// its file was left out. The lock is held.
func (s *Supervisor) unknown(name string) *Error {
	if msg, broken := s.config.Broken[name]; broken {
		return refuse(Invalid, name, "correct the file, then: zinit reload", "%q was left out: %s", name, msg)
	}
	return notFound(name)
}

func notFound(name string) *Error {
	return &Error{NotFound, name, "service not found: " + name, "zinit list shows every name"}
}

func refuse(kind Kind, name, hint, format string, args ...any) *Error {
	return &Error{kind, name, fmt.Sprintf(format, args...), hint}
}
