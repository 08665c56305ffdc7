package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"zinit/supervisor"
	"zinit/supervisor/spec"
)

// paths are the places of one supervisor.
type paths struct {
	roots   []spec.Root // in the order in which a double name is decided
	sockets []string
}

// systemDir is where a machine, a container and root's supervisor look.
const systemDir = "/etc/zinit"

// paths decides the places: flag or variable first, then the defaults of the
// mode.
func (f *flags) paths() (p paths, err error) {
	p.roots, err = Roots(f.mode, f.configDir)
	if err != nil {
		return p, err
	}
	switch {
	case len(f.sockets) > 0:
		for _, path := range f.sockets { // the server has another working directory
			abs, err := filepath.Abs(path)
			if err != nil {
				return p, fmt.Errorf("cannot use --socket %q: %w", path, err)
			}
			p.sockets = append(p.sockets, abs)
		}
	case f.mode != supervisor.User || os.Geteuid() == 0:
		p.sockets = systemSockets()
	default:
		home, err := homeDir()
		if err != nil {
			return p, err
		}
		p.sockets = []string{filepath.Join(home, "hero/var/zinit.sock")}
	}
	return p, nil
}

// systemSockets are /var/run/zinit.sock, and /run/zinit.sock where that is
// another place.
func systemSockets() []string {
	a, errA := os.Stat("/var/run")
	b, errB := os.Stat("/run")
	switch {
	case errA == nil && errB == nil && !os.SameFile(a, b):
		return []string{"/var/run/zinit.sock", "/run/zinit.sock"}
	case errA != nil && errB == nil:
		return []string{"/run/zinit.sock"}
	}
	return []string{"/var/run/zinit.sock"}
}

// Roots are the directories of service files. dir is --config-dir, "" for the
// mode's own places.
func Roots(mode supervisor.Mode, dir string) ([]spec.Root, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot use --config-dir %q: %w", dir, err)
		}
		return under(abs), nil
	}
	if mode != supervisor.User {
		return system(mode), nil
	}
	if os.Geteuid() == 0 && isDir(systemDir) {
		return system(mode), nil
	}
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	cfg := filepath.Join(home, "hero/cfg/zinit")
	if os.Geteuid() == 0 {
		if isDir(cfg) {
			return []spec.Root{{Dir: cfg}}, nil
		}
		return system(mode), nil
	}
	own := filepath.Join(home, "hero/var/zinit")
	roots := []spec.Root{{Dir: filepath.Join(own, "services")}, {Dir: filepath.Join(own, "targets")}}
	if isDir(cfg) {
		roots = append(roots, spec.Root{Dir: cfg})
	}
	return roots, nil
}

// under reads a directory given by name: a root, or itself the services.
func under(dir string) []spec.Root {
	var roots []spec.Root
	for _, sub := range []string{"system", "services", "targets"} {
		if isDir(filepath.Join(dir, sub)) {
			roots = append(roots, spec.Root{Dir: filepath.Join(dir, sub), Class: classOf(sub)})
		}
	}
	if len(roots) == 0 {
		return []spec.Root{{Dir: dir}}
	}
	return roots
}

// system are the places of a machine; a container has no class system.
func system(mode supervisor.Mode) []spec.Root {
	roots := []spec.Root{{Dir: systemDir + "/services"}, {Dir: systemDir + "/targets"}}
	if mode == supervisor.Machine || mode == supervisor.User {
		roots = append([]spec.Root{{Dir: systemDir + "/system", Class: spec.System}}, roots...)
	}
	return existing(roots)
}

// existing leaves out targets and system where there are none; services stays,
// so that its absence is told.
func existing(roots []spec.Root) []spec.Root {
	var out []spec.Root
	for _, r := range roots {
		if strings.HasSuffix(r.Dir, "/services") || isDir(r.Dir) {
			out = append(out, r)
		}
	}
	return out
}

func classOf(sub string) spec.Class {
	if sub == "system" {
		return spec.System
	}
	return spec.User
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// homeDir is $HOME; without it there is no place of one's own, and /tmp is
// everybody's.
func homeDir() (string, error) {
	home := os.Getenv("HOME")
	if home == "" || !filepath.IsAbs(home) || home == "/" && os.Geteuid() != 0 {
		return "", errors.New("cannot find your home directory: HOME is not set to an absolute path; set it, or give --config-dir and --socket")
	}
	return home, nil
}

// makeUserDirs makes the places of a user's supervisor, for that user alone.
func (p paths) makeUserDirs(f *flags) error {
	if f.configDir == "" && os.Geteuid() != 0 {
		for _, r := range p.roots {
			if err := os.MkdirAll(r.Dir, 0o700); err != nil {
				return fmt.Errorf("cannot make the directory for service files: %w", err)
			}
		}
	}
	return nil
}
