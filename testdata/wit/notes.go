package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notes is the file of records. A record is one write, so that those of many
// witnesses do not mix.
type notes struct {
	f     *os.File
	name  string
	start string
}

func openNotes(path, name string) (*notes, error) {
	n := &notes{name: name, start: startTime()}
	if path == "" {
		return n, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	n.f = f
	return n, nil
}

// put appends one record.
func (n *notes) put(kind, detail string) {
	if n.f == nil {
		return
	}
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	line := fmt.Sprintf("%s %s %d %s %d", kind, n.name, os.Getpid(), n.start, now.Nano())
	if detail != "" {
		line += " " + detail
	}
	if _, err := n.f.WriteString(line + "\n"); err != nil {
		fmt.Fprintln(os.Stderr, "wit: cannot write a record:", err)
	}
}

// earlier are the records of one kind and our name that stand in the file,
// as their fields.
func (n *notes) earlier(kind string) [][]string {
	if n.f == nil {
		return nil
	}
	b, err := os.ReadFile(n.f.Name())
	if err != nil {
		return nil
	}
	var found [][]string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 5 && f[0] == kind && f[1] == n.name {
			found = append(found, f)
		}
	}
	return found
}

// startTime is field 22 of our own stat: with the pid it names a process for
// good.
func startTime() string {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return "-"
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 {
		return "-"
	}
	return string(f[19])
}
