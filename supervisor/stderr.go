package supervisor

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// stderrName is under which the keeper holds the file that is every server's
// standard error.
const stderrName = "stderr"

// stderrMost is how much of it is shown: a panic says first what matters.
const stderrMost = 64 << 10

// showStderr shows, in zinit's own log, what the server before this one wrote
// to its standard error: a panic, or the stacks that SIGQUIT or a hang brought
// out. Then the file is emptied; one that is killed between the two has its
// successor show it again, which beats not at all.
func (s *Supervisor) showStderr(fds []int) {
	if len(fds) != 1 {
		return
	}
	defer unix.Close(fds[0])
	text, err := readMemfd(fds[0])
	if err != nil {
		s.say(LevelWarn, "cannot read what the server before this one wrote to its standard error: %v", err)
		return
	}
	if len(text) == 0 {
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "error: the server before this one wrote %d bytes to its standard error:\n", len(text))
	b.Write(bytes.TrimSuffix(text[:min(len(text), stderrMost)], []byte("\n")))
	b.WriteByte('\n')
	if more := len(text) - stderrMost; more > 0 {
		fmt.Fprintf(&b, "error: ... and %d bytes more\n", more)
	}
	s.logs.Write(b.Bytes())
	if err := unix.Ftruncate(fds[0], 0); err != nil {
		s.say(LevelWarn, "cannot empty the servers' standard error: %v", err)
	}
}
