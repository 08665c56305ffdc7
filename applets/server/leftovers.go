package server

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leftover is a service's process whose keeper and server were both killed.
type leftover struct {
	pid     int
	service string
}

// noLeftovers looks for what an earlier supervisor on this socket has left
// running: its services carry the socket's path in their environment. Two copies
// of a service must not run, so zinit does not start beside them; told so, it
// ends them first.
func noLeftovers(socket string, end bool, say io.Writer) error {
	abs, err := filepath.Abs(socket)
	if err != nil {
		return nil
	}
	left := leftovers(abs)
	if len(left) == 0 {
		return nil
	}
	var texts []string
	for _, l := range left {
		texts = append(texts, fmt.Sprintf("%s (pid %d)", l.service, l.pid))
	}
	names := strings.Join(texts, ", ")
	if !end {
		return fmt.Errorf("an earlier zinit on %s was killed and left running: %s\n  end them, or start with --end-leftovers", socket, names)
	}
	fmt.Fprintf(say, "zinit: ending what an earlier zinit left running: %s\n", names)
	for _, l := range left {
		unix.Kill(-l.pid, unix.SIGTERM)
		unix.Kill(-l.pid, unix.SIGCONT)
	}
	for deadline := time.Now().Add(10 * time.Second); len(left) > 0; left = leftovers(abs) {
		if time.Now().After(deadline) {
			for _, l := range left {
				unix.Kill(-l.pid, unix.SIGKILL)
			}
		}
		if time.Now().After(deadline.Add(5 * time.Second)) {
			return fmt.Errorf("pid %d (%s) does not end, even of SIGKILL", left[0].pid, left[0].service)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// leftovers finds the main processes of services of a supervisor on a socket.
func leftovers(socket string) (found []leftover) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	ours, _ := unix.Getsid(0) // zinit may be started from within a service
	var text bytes.Buffer     // one for all: a keeper has this garbage for long
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid <= 1 || pid == ours {
			continue
		}
		f, err := os.Open("/proc/" + e.Name() + "/environ")
		if err != nil {
			continue
		}
		text.Reset()
		_, err = text.ReadFrom(f)
		f.Close()
		if err != nil || !bytes.Contains(text.Bytes(), []byte("ZINIT_SOCKET="+socket+"\x00")) {
			continue
		}
		for _, v := range bytes.Split(text.Bytes(), []byte{0}) {
			if name, ok := bytes.CutPrefix(v, []byte("ZINIT_SERVICE=")); ok && leads(pid) {
				found = append(found, leftover{pid, string(name)})
			}
		}
	}
	return found
}

// leads reports whether a process leads a group: each run's main process does.
func leads(pid int) bool {
	group, err := unix.Getpgid(pid)
	return err == nil && group == pid
}
