package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Path is the directory of a service's cgroup, which need not exist.
func (t *Tree) Path(service string) string { return filepath.Join(t.dir, service+suffix) }

// Enter moves keeper and server, or whoever is given, into the leaf self. It
// goes before Enable. Whoever was started by a keeper that has entered is there
// already, and nobody is moved again: even to where one is, that waits for a grace
// period of the kernel, 10 ms and more (measured).
func (t *Tree) Enter(pids ...int) error {
	if t.inside {
		return nil
	}
	var errs []error
	for _, pid := range pids {
		errs = append(errs, write(filepath.Join(t.dir, self, "cgroup.procs"), strconv.Itoa(pid)))
	}
	return errors.Join(errs...)
}

// controllers are what resources need; cpu.stat and cgroup.kill need none.
var controllers = [...]string{"cpu", "io", "memory", "pids"}

// Enable hands the controllers out to services, as far as we have them, and
// returns those that services do not have, each with the reason. Somebody else
// in our own cgroup (a shell that was sent into the container) is EBUSY.
func (t *Tree) Enable() map[string]error {
	missing := map[string]error{}
	for _, c := range controllers {
		for _, dir := range []string{t.own, t.dir} {
			if err := enable(dir, c); err != nil {
				missing[c] = err
				break
			}
		}
	}
	return missing
}

func enable(dir, controller string) error {
	have, err := read(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !hasWord(have, controller) {
		return fmt.Errorf("the controller %q is not given to %s", controller, dir)
	}
	file := filepath.Join(dir, "cgroup.subtree_control")
	if on, err := read(file); err == nil && hasWord(on, controller) {
		return nil
	}
	return write(file, "+"+controller)
}

func hasWord(text, word string) bool {
	for w := range strings.FieldsSeq(text) {
		if w == word {
			return true
		}
	}
	return false
}

// Limits are the resources of a service. Zero: no limit, or the kernel's own
// weight.
type Limits struct {
	MemoryMax  int64   // bytes
	MemoryHigh int64   // bytes
	PidsMax    int     // processes and threads
	CPUMax     float64 // processors
	CPUWeight  int     // 1 to 10000
	IOWeight   int     // 1 to 10000
}

// setting is one file of a cgroup: what a limit writes there, and what undoes
// an earlier one.
type setting struct{ file, text, none string }

const period = 100_000 // microseconds, of cpu.max

func (l Limits) settings() []setting {
	number := func(n int64) string {
		if n <= 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	s := []setting{
		{"memory.high", number(l.MemoryHigh), "max"},
		{"memory.max", number(l.MemoryMax), "max"},
		{"pids.max", number(int64(l.PidsMax)), "max"},
		{"cpu.max", "", "max"},
		{"cpu.weight", number(int64(l.CPUWeight)), "100"},
		{"io.weight", number(int64(l.IOWeight)), "default 100"},
	}
	if l.CPUMax > 0 { // the kernel takes no less than a millisecond
		s[3].text = fmt.Sprintf("%d %d", max(int64(l.CPUMax*period), 1000), period)
	}
	if l.IOWeight > 0 {
		s[5].text = "default " + s[5].text
	}
	return s
}

// Make makes a new cgroup for a service, or takes the one that is there when
// somebody is in it, and sets its limits. Limits that could not be set are the
// error's; dir is "" only when there is no cgroup.
func (t *Tree) Make(service string, l Limits) (dir string, err error) {
	dir = t.Path(service)
	err = unix.Mkdir(dir, 0o755)
	if err == unix.EEXIST && t.Remove(service) == nil {
		err = unix.Mkdir(dir, 0o755)
	}
	if err != nil && err != unix.EEXIST {
		return "", fmt.Errorf("cannot make a cgroup for %q: %w", service, &os.PathError{Op: "mkdir", Path: dir, Err: err})
	}
	if err == nil && l == (Limits{}) {
		return dir, nil
	}
	var errs []error
	for _, s := range l.settings() {
		text := s.text
		if text == "" && err == nil {
			continue
		}
		if text == "" {
			text = s.none
		}
		if err := write(filepath.Join(dir, s.file), text); err != nil && s.text != "" {
			errs = append(errs, fmt.Errorf("cannot limit %q: %w", service, err))
		}
	}
	return dir, errors.Join(errs...)
}

// Remove removes a service's cgroup and those below it. What is not there is
// no error; while somebody is in it, it is EBUSY.
func (t *Tree) Remove(service string) error { return remove(t.Path(service)) }

// RemoveAll removes the tree, as far as nobody is in it; for the end.
func (t *Tree) RemoveAll() error { return remove(t.dir) }

// Leave removes the tree, for the end of a zinit after which others go on. Whoever
// is given goes back to our own cgroup, which hands out no controllers any more.
// Where others are in the tree it stays, and the error says so.
func (t *Tree) Leave(pids ...int) error {
	for _, dir := range []string{t.dir, t.own} {
		for _, c := range controllers {
			_ = write(filepath.Join(dir, "cgroup.subtree_control"), "-"+c) // what is not on cannot be off
		}
	}
	var errs []error
	for _, pid := range pids {
		errs = append(errs, write(filepath.Join(t.own, "cgroup.procs"), strconv.Itoa(pid)))
	}
	return errors.Join(append(errs, t.RemoveAll())...)
}

// Sweep removes the trees that keepers beside ours have left when they were killed:
// nobody is in them, and their keeper is not to be seen. It returns how many.
func (t *Tree) Sweep(lives func(pid int) bool) (n int) {
	list, _ := os.ReadDir(t.own)
	for _, e := range list {
		number, ok := strings.CutPrefix(e.Name(), "zinit.")
		number, _, _ = strings.Cut(number, "-")
		pid, err := strconv.Atoi(number)
		dir := filepath.Join(t.own, e.Name())
		if !ok || err != nil || dir == t.dir || lives(pid) {
			continue
		}
		if text, _ := read(dir + "/cgroup.events"); value(text, "populated") == 0 && remove(dir) == nil {
			n++
		}
	}
	return n
}

// remove goes depth first: a directory of cgroups is removed with its files,
// but not with other directories.
func remove(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if e.IsDir() {
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err = unix.Rmdir(dir); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &os.PathError{Op: "remove", Path: dir, Err: err}
}

// OwnerOf returns the service whose cgroup a living process is in, "" for none.
func (t *Tree) OwnerOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	at, err := place(string(text))
	if err != nil {
		return ""
	}
	return t.owner(at)
}

func (t *Tree) owner(at string) string {
	rest, ok := strings.CutPrefix(path.Clean(at), t.at+"/")
	first, _, _ := strings.Cut(rest, "/")
	service, ends := strings.CutSuffix(first, suffix)
	if !ok || !ends {
		return ""
	}
	return service
}

// write writes to a file of the kernel's, in one call.
func write(file, text string) error {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "write " + strconv.Quote(text) + " to", Path: file, Err: err}
	}
	return nil
}
