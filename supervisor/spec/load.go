package spec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a directory of service files.
type Root struct {
	Dir   string // absolute
	Class Class  // System makes every service in it one of class system
}

// Loaded is what directories of service files hold. Nothing in it is shared.
type Loaded struct {
	Specs    []*Spec           // by name
	Problems []Problem         // in the order in which files were read; warnings too
	Broken   map[string]string // name to file of the services that are left out
}

// Load reads the files *.toml of each root in turn, by file name. Of two that
// give the same name the first stands. A file that is wrong, or that somebody
// else could have written, leaves out its service alone; trust turns the latter
// into one warning. Load never fails, never blocks on what it opens, and never
// skips a file in silence, save those that editors leave behind, hidden ones,
// subdirectories, and zinit.toml in a directory that is itself a root of
// settings (LoadSettings reads it).
//
// known are specs by file, of which nothing was to be said: a file that has the
// same bytes is read, but not parsed again.
func Load(roots []Root, trust bool, known map[string]*Spec) *Loaded {
	l := &loader{
		Loaded: &Loaded{Broken: map[string]string{}},
		guard:  newGuard(trust),
		known:  known,
		owner:  map[string]string{},
	}
	var empty []Root
	for _, root := range roots {
		if l.root(root) == 0 {
			empty = append(empty, root)
		}
	}
	if len(empty) == len(roots) { // a root without targets is nothing to speak of
		for _, root := range empty {
			l.empty(root)
		}
	}
	l.guard.warn(&l.Problems)
	slices.SortFunc(l.Specs, func(a, b *Spec) int { return cmp.Compare(a.Name, b.Name) })
	return l.Loaded
}

type loader struct {
	*Loaded
	guard *guard
	known map[string]*Spec
	owner map[string]string // file of each name so far, broken ones included
}

// root reads one directory and returns how many service files it holds; -1 when
// what is wrong with it has been told.
func (l *loader) root(root Root) (found int) {
	dir, err := l.guard.openDir(root.Dir)
	if err != nil {
		l.refuseRoot(root, err)
		return -1
	}
	defer unix.Close(dir)
	names, err := list(dir)
	if err != nil {
		l.problem(root.Dir, fmt.Sprintf("cannot read the directory: %v", err), "")
		return -1
	}
	var others []string
	for _, name := range names {
		switch classify(root.Dir, name) {
		case ours:
			found++
			l.file(dir, root, name)
		case unknown:
			if !isDirAt(dir, name) {
				others = append(others, printable(name))
			}
		}
	}
	if len(others) > 0 {
		l.warning(root.Dir, "holds files that are not *.toml and were not read: "+shorten(others), "rename or remove them")
	}
	return found
}

func (l *loader) empty(root Root) {
	l.warning(root.Dir, "holds no service files", "write one: NAME.toml with [service] and exec")
}

// refuseRoot tells why nothing of a directory is read.
func (l *loader) refuseRoot(root Root, err error) {
	if distrust := (*distrustError)(nil); errors.As(err, &distrust) {
		l.problem(root.Dir, "none of its files is read: "+err.Error(), distrust.hint())
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.problem(root.Dir, "does not exist", "create it: mkdir -p "+shellQuote(root.Dir))
		return
	}
	l.problem(root.Dir, fmt.Sprintf("cannot open the directory: %v", err), "")
}

// file reads one *.toml.
func (l *loader) file(dir int, root Root, name string) {
	path := filepath.Join(root.Dir, name)
	src, err := l.guard.read(dir, root.Dir, name)
	if err != nil {
		hint := ""
		if h, ok := err.(interface{ hint() string }); ok {
			hint = h.hint()
		}
		l.problem(path, err.Error(), hint)
		l.leaveOut(stem(name), path)
		return
	}
	r := &reader{spec: l.known[path]}
	if r.spec == nil || r.spec.Class != root.Class || !bytes.Equal(r.spec.Source, src) {
		r = parse(path, src, root.Class)
	}
	l.Problems = append(l.Problems, r.problems...)
	if first, taken := l.owner[r.spec.Name]; taken {
		p := Problem{File: path, Key: "name", Msg: fmt.Sprintf("%s is the name of the service in %s already; that one stands", quote(r.spec.Name), printable(first)),
			Hint: "give one of the two another name, or remove it"}
		p.Line = max(r.lines["service.name"], r.lines["target.name"])
		l.Problems = append(l.Problems, p)
		return
	}
	if Failed(r.problems) {
		l.leaveOut(r.spec.Name, path)
		return
	}
	l.owner[r.spec.Name] = path
	l.Specs = append(l.Specs, r.spec)
}

// leaveOut notes a service that does not load; its name stays taken.
func (l *loader) leaveOut(name, path string) {
	if _, taken := l.owner[name]; taken {
		return
	}
	l.owner[name] = path
	l.Broken[name] = path
}

func (l *loader) problem(path, msg, hint string) {
	l.Problems = append(l.Problems, Problem{File: path, Msg: msg, Hint: hint})
}

func (l *loader) warning(path, msg, hint string) {
	l.Problems = append(l.Problems, Problem{File: path, Msg: msg, Hint: hint, Warning: true})
}

// list returns the names in a directory, sorted.
func list(dir int) ([]string, error) {
	var names []string
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// What a directory entry is, by its name.
const (
	noise = iota
	ours
	unknown
)

// classify tells what a name in a directory of service files means.
func classify(dir, name string) int {
	switch {
	case strings.HasPrefix(name, "."), strings.HasPrefix(name, "#"), strings.HasSuffix(name, "~"), name == "4913",
		strings.HasSuffix(name, ".swp"), strings.HasSuffix(name, ".swo"), strings.HasSuffix(name, ".swx"):
		return noise
	case name == SettingsFile && !slices.Contains([]string{"services", "targets", "system"}, filepath.Base(dir)):
		return noise
	case strings.HasSuffix(name, ".toml"):
		return ours
	}
	return unknown
}

func isDirAt(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func shorten(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
