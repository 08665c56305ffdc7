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

// Tree is where zinit makes cgroups. It is safe for concurrent use.
type Tree struct {
	own string // directory of zinit's own cgroup
	dir string // zinit.PID in it
	at  string // the same as /proc/PID/cgroup says it

	inside bool // we are in self of it
}

const (
	self   = "self"
	suffix = ".svc"
)

// Find returns the tree of the zinit whose keeper has the given number, made
// if it is not there. The error says why there is none.
func Find(keeper int) (*Tree, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot find a tree of cgroups: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cannot find a tree of cgroups: %w", err)
	}
	return find(string(mounts), string(own), keeper, isCgroup2)
}

// Given reports whether we were started in a cgroup below the root of the tree that
// can be seen: a part that somebody gave us, or a manager's own. What is in the root
// belongs to whoever mounted the tree.
func Given() bool {
	own, _ := os.ReadFile("/proc/self/cgroup")
	at, err := place(string(own))
	return err == nil && at != "/"
}

func isCgroup2(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

func find(mounts, cgroups string, keeper int, right func(dir string) bool) (*Tree, error) {
	name := "zinit." + strconv.Itoa(keeper)
	at, err := place(cgroups)
	if err != nil {
		return nil, err
	}
	up, inside := strings.CutSuffix(at, "/"+self)
	if base := path.Base(up); inside && (base == name || strings.HasPrefix(base, name+"-")) { // a successor's
		at, name = path.Dir(up), base
	} else {
		inside = false
	}
	err = errors.New("no file system of cgroups v2 is mounted where our cgroup can be seen")
	for _, m := range parseMounts(mounts) {
		own, ok := m.see(at)
		if !ok || !right(own) {
			continue
		}
		t := &Tree{own: own, dir: filepath.Join(own, name), at: path.Join(at, name), inside: inside}
		for n := 2; !inside && t.taken(); n++ {
			suffix := "-" + strconv.Itoa(n)
			t.dir, t.at = filepath.Join(own, name)+suffix, path.Join(at, name)+suffix
		}
		if err = t.make(); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("cannot have cgroups: %w", err)
}

// taken reports whether another keeper is in the tree: two have the same number in
// two namespaces of processes, and may have been started in one cgroup.
func (t *Tree) taken() bool {
	text, _ := read(filepath.Join(t.dir, self, "cgroup.events"))
	return value(text, "populated") == 1
}

func (t *Tree) make() error {
	for _, dir := range []string{t.dir, filepath.Join(t.dir, self)} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return unix.Access(filepath.Join(t.dir, self, "cgroup.procs"), unix.W_OK)
}

// place is our cgroup, of the line "0::/PATH".
func place(cgroups string) (string, error) {
	for line := range strings.Lines(cgroups) {
		at, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		switch {
		case !ok:
		case strings.HasPrefix(at, "/.."), strings.HasSuffix(at, " (deleted)"), !strings.HasPrefix(at, "/"):
			return "", fmt.Errorf("cannot have cgroups: our own, %q, is out of sight", at)
		default:
			return at, nil
		}
	}
	return "", errors.New("cannot have cgroups: this kernel has none of version 2")
}

// mount is a file system of cgroups v2: root of it is to be seen at dir.
type mount struct{ root, dir string }

// parseMounts reads /proc/PID/mountinfo. Source: proc_pid_mountinfo(5).
func parseMounts(text string) (list []mount) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(f) >= 6 && !strings.HasPrefix(f[3], "/..") {
			list = append(list, mount{unescape(f[3]), unescape(f[4])})
		}
	}
	return list
}

// see is where a cgroup is to be seen.
func (m mount) see(at string) (dir string, ok bool) {
	if m.root == "/" {
		return filepath.Join(m.dir, at), true
	}
	rest, ok := strings.CutPrefix(at, m.root)
	return filepath.Join(m.dir, rest), ok && (rest == "" || rest[0] == '/')
}

// unescape undoes \040 and the like.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+4 <= len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
