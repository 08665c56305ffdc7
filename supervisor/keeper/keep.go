package keeper

import (
	"syscall"
	"time"
)

// stepMessage is the Step of a spawn that was refused before any process
// existed because of what it asks for.
const stepMessage = "message"

// ServerCmd says how to start a server. The keeper runs the binary it was
// started from, whatever has happened to its file since.
type ServerCmd struct {
	Argv []string // the server's end of the pair is descriptor 3
	Env  []string
}

// Options is what Keep needs to know.
type Options struct {
	// Server returns the command of the n-th server, counted from 1.
	Server func(n uint64) ServerCmd

	// Signals says what a signal to the keeper asks for. Any other does
	// nothing.
	Signals map[syscall.Signal]Asking

	// Log takes one line for the console, without a newline. It must not
	// block. nil: nothing is said.
	Log func(line string)

	// Grace is the time between TERM and KILL of the final sweep. Zero means
	// DefaultGrace.
	Grace time.Duration
}

// DefaultGrace is the time between TERM and KILL of the final sweep.
const DefaultGrace = 2 * time.Second
