package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts is what a cgroup has counted since it was made, over all runs. -1 is
// not known: the controller is not ours to have.
type Facts struct {
	Populated bool  // a living process is in it
	Memory    int64 // bytes now
	Pids      int64 // processes and threads now
	CPUUS     int64 // processor time, microseconds: user and system
	UserUS    int64
	SystemUS  int64
	OOMKills  int64 // processes ended for want of memory
}

// Facts reads what is known of a service. The error is fs.ErrNotExist when it
// has no cgroup.
func (t *Tree) Facts(service string) (Facts, error) {
	dir := t.Path(service)
	populated, err := t.Populated(service)
	if err != nil {
		return Facts{}, err
	}
	cpu, memory := filepath.Join(dir, "cpu.stat"), filepath.Join(dir, "memory.events")
	return Facts{
		Populated: populated,
		Memory:    number(filepath.Join(dir, "memory.current")),
		Pids:      number(filepath.Join(dir, "pids.current")),
		CPUUS:     keyed(cpu, "usage_usec"), UserUS: keyed(cpu, "user_usec"), SystemUS: keyed(cpu, "system_usec"),
		OOMKills: keyed(memory, "oom_kill"),
	}, nil
}

// Populated reports whether a living process is in a service's cgroup or below
// it. Zombies do not count.
func (t *Tree) Populated(service string) (bool, error) {
	file := filepath.Join(t.Path(service), "cgroup.events")
	text, err := os.ReadFile(file)
	if errors.Is(err, unix.ENODEV) { // removed while it was open
		err = &fs.PathError{Op: "read", Path: file, Err: fs.ErrNotExist}
	}
	if err != nil {
		return false, err
	}
	return value(string(text), "populated") == 1, nil
}

// Pids lists who is in a service's cgroup and below it, zombies too.
func (t *Tree) Pids(service string) ([]int, error) { return pids(t.Path(service)) }

func pids(dir string) (list []int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if path != dir && errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		if !e.IsDir() {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if errors.Is(err, unix.EOPNOTSUPP) { // threads of a process that is listed above
			return nil
		}
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				list = append(list, pid)
			}
		}
		if path != dir && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)) {
			return nil
		}
		return err
	})
	return list, err
}

// Kill ends everybody in a service's cgroup and below it with SIGKILL, those
// too that are being forked. Before Linux 5.14, which has cgroup.kill, they are
// frozen meanwhile. No cgroup, no error.
func (t *Tree) Kill(service string) error {
	dir := t.Path(service)
	err := write(filepath.Join(dir, "cgroup.kill"), "1")
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = killFrozen(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func killFrozen(dir string) error {
	freeze := filepath.Join(dir, "cgroup.freeze")
	if err := write(freeze, "1"); err != nil {
		return err
	}
	list, err := pids(dir)
	for _, pid := range list {
		if pid > 1 && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	return errors.Join(err, write(freeze, "0"))
}

// number reads a file that holds one number.
func number(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// keyed reads one number of a file of lines KEY NUMBER.
func keyed(file, key string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	return value(string(text), key)
}

func value(text, key string) int64 {
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(v, 10, 64); k == key && err == nil {
			return n
		}
	}
	return -1
}
