package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// guard opens files and directories and believes only those that nobody but
// root and ourselves could have written. It judges what it has opened, never a
// name that somebody can exchange, and follows symlinks itself so that every
// directory on the way is judged too.
type guard struct {
	trust    bool
	forgiven []string // what trust has let pass
	uid      uint32
	groups   groups
	unmapped func() (uid uint32, ok bool)
}

func newGuard(trust bool) *guard {
	return &guard{trust: trust, uid: uint32(os.Geteuid()), unmapped: unmappedUID}
}

// distrustError names the component of a path that others could change.
type distrustError struct {
	path string
	why  string
	fix  string
}

func (e *distrustError) Error() string { return fmt.Sprintf("%s %s", printable(e.path), e.why) }
func (e *distrustError) hint() string  { return e.fix + "; or start zinit with --trust-config" }

// warn tells once what trust has let pass.
func (g *guard) warn(problems *[]Problem) {
	if len(g.forgiven) == 0 {
		return
	}
	*problems = append(*problems, Problem{File: g.forgiven[0], Warning: true,
		Msg: fmt.Sprintf("is used because of --trust-config although others could change it (so with %d in all: %s)",
			len(g.forgiven), shorten(g.forgiven))})
}

// judge refuses what others could have written.
func (g *guard) judge(path string, st *unix.Stat_t) error {
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	err := &distrustError{path: path}
	owned := st.Uid == 0 || st.Uid == g.uid
	if !owned && dir {
		uid, ok := g.unmapped()
		owned = ok && st.Uid == uid // belongs to those who made our user namespace
	}
	switch sticky := dir && st.Mode&unix.S_ISVTX != 0; {
	case !owned:
		err.why = fmt.Sprintf("belongs to uid %d, neither root nor zinit's own user", st.Uid)
		err.fix = "chown root " + shellQuote(path)
	case sticky:
		return nil
	case st.Mode&0o002 != 0:
		err.why = fmt.Sprintf("is writable by everybody (mode %04o)", st.Mode&0o7777)
		err.fix = "chmod o-w " + shellQuote(path)
	case st.Mode&0o020 != 0 && !g.groups.private(st.Uid, st.Gid):
		err.why = fmt.Sprintf("is writable by group %d (mode %04o)", st.Gid, st.Mode&0o7777)
		err.fix = "chmod g-w " + shellQuote(path)
	default:
		return nil
	}
	if g.trust {
		g.forgiven = append(g.forgiven, path)
		return nil
	}
	return err
}

// openDir opens a directory for reading and judges it and all above it.
func (g *guard) openDir(path string) (fd int, err error) {
	if !filepath.IsAbs(path) {
		return -1, fmt.Errorf("%s is relative", printable(path))
	}
	w := walker{guard: g, dir: -1}
	defer w.close()
	if err := w.walk(path); err != nil {
		return -1, err
	}
	fd, err = unix.Openat(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, err
}

// walker goes down a path one component at a time.
type walker struct {
	*guard
	dir   int    // the directory reached, opened with O_PATH; -1 before the first
	at    string // its path
	links int    // symlinks followed
}

func (w *walker) close() {
	if w.dir >= 0 {
		unix.Close(w.dir)
		w.dir = -1
	}
}

// enter makes an open directory the one reached.
func (w *walker) enter(fd int, path string) {
	w.close()
	w.dir, w.at = fd, path
}

// walk goes to the directory that path names, from the root or, if path is
// relative, from where the walker is.
func (w *walker) walk(path string) error {
	rest := strings.Split(path, "/")
	if filepath.IsAbs(path) {
		if err := w.top(); err != nil {
			return err
		}
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		target, err := w.step(name)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		if filepath.IsAbs(target) {
			if err := w.top(); err != nil {
				return err
			}
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// top starts over at the root, which is not judged: whoever can exchange it has
// everything already.
func (w *walker) top() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		w.enter(fd, "/")
	}
	return err
}

// step enters one component. Of a symlink it returns the target instead.
func (w *walker) step(name string) (target string, err error) {
	path := filepath.Join(w.at, name)
	fd, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", printable(path), err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, err = w.follow(fd, path, &st)
		case unix.S_IFDIR:
			if err = w.judge(path, &st); err == nil {
				w.enter(fd, path)
				return "", nil
			}
		default:
			err = fmt.Errorf("%s is no directory", printable(path))
		}
	}
	unix.Close(fd)
	return target, err
}

// follow reads a symlink, which in a sticky directory others could have made.
func (w *walker) follow(fd int, path string, st *unix.Stat_t) (string, error) {
	if w.links++; w.links > 40 {
		return "", fmt.Errorf("%s: %w", printable(path), unix.ELOOP)
	}
	link := *st
	link.Mode &^= 0o777 // a link's own mode says nothing
	if err := w.judge(path, &link); err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil || n == 0 {
		return "", errors.Join(fmt.Errorf("cannot read the link %s", printable(path)), err)
	}
	return string(buf[:n]), nil
}
