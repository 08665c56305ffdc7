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

// Facts is what a cgroup has counted since it was made, for the latest run. -1 is
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
	populated, err := t.Populated(service)
	if err != nil {
		return Facts{}, err
	}
	dir := t.Path(service)
	cpu, _ := read(dir + "/cpu.stat")
	return Facts{
		Populated: populated,
		Memory:    number(dir + "/memory.current"),
		Pids:      number(dir + "/pids.current"),
		CPUUS:     value(cpu, "usage_usec"), UserUS: value(cpu, "user_usec"), SystemUS: value(cpu, "system_usec"),
		OOMKills: t.OOMKills(service),
	}, nil
}

// OOMKills is that of Facts alone.
func (t *Tree) OOMKills(service string) int64 {
	text, _ := read(t.Path(service) + "/memory.events")
	return value(text, "oom_kill")
}

// Populated reports whether a living process is in a service's cgroup or below
// it. Zombies do not count.
func (t *Tree) Populated(service string) (bool, error) {
	text, err := read(t.Path(service) + "/cgroup.events")
	return value(text, "populated") == 1, err
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

// read reads a short file of the kernel's, in one call. os.ReadFile would have the
// runtime wait for it, as for a pipe, which costs more than all the rest.
func read(file string) (string, error) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	var text [4096]byte
	n := 0
	if err == nil {
		n, err = unix.Read(fd, text[:])
		unix.Close(fd)
	}
	if err == unix.ENODEV { // removed while it was open
		err = unix.ENOENT
	}
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: file, Err: err}
	}
	return string(text[:n]), nil
}

// number reads a file that holds one number.
func number(file string) int64 {
	text, _ := read(file)
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// value reads one number of lines KEY NUMBER.
func value(text, key string) int64 {
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(v, 10, 64); k == key && err == nil {
			return n
		}
	}
	return -1
}
