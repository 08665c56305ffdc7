// Package applets says what an applet is. Each applet lives in a room of its
// own below this one; main.go holds the table that chooses between them.
package applets

import "io"

// Version is what this zinit calls itself. main sets it once, before any applet
// runs.
var Version = "dev"

// Streams are the three standard streams of an applet, so that a test can
// call one with buffers.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Func is an applet. args[0] is the name it was called by. The result is the
// exit status of the process; the exit codes are listed in SPEC's commands
// and in `zinit help exit-codes`. A Func keeps no package state.
type Func func(args []string, std Streams) int
