package spec

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// read reads the file name in a directory that is open and judged, whose path
// is at. Only regular files, or symlinks to such, are opened.
func (g *guard) read(dir int, at, name string) ([]byte, error) {
	fd, path, err := g.openFile(dir, at, name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var before, after unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if err := regular(&before); err != nil {
		return nil, err
	}
	if err := g.judge(path, &before); err != nil {
		return nil, err
	}
	if before.Size > maxFile {
		return nil, fmt.Errorf("is %d bytes long; no service file is larger than 1 MiB", before.Size)
	}
	src, err := readAll(fd, int(before.Size))
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if after.Size != before.Size || after.Mtim != before.Mtim || after.Ctim != before.Ctim || int64(len(src)) != before.Size {
		return nil, errors.New("was written to while it was read; it is looked at again with the next reload")
	}
	return src, nil
}

// openFile opens name, through symlinks whose every directory it judges, and
// returns the path that was opened in the end. Nothing but a regular file is
// opened, so neither a FIFO nor a device is touched.
func (g *guard) openFile(dir int, at, name string) (fd int, path string, err error) {
	w := walker{guard: g, dir: -1}
	defer w.close()
	here, err := unix.Openat(dir, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("cannot open it: %w", err)
	}
	w.enter(here, at)
	for {
		path = filepath.Join(w.at, name)
		var st unix.Stat_t
		if err := unix.Fstatat(w.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return -1, path, dangling(path, w.links, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if err := regular(&st); err != nil {
				return -1, path, err
			}
			fd, err = unix.Openat(w.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
			if err != nil {
				return -1, path, fmt.Errorf("cannot open it: %w", err)
			}
			return fd, path, nil
		}
		target, err := w.step(name)
		if err != nil {
			return -1, path, err
		}
		if err := w.walk(filepath.Dir(target)); err != nil {
			return -1, path, fmt.Errorf("is a link to %s, which cannot be followed: %w", printable(target), err)
		}
		name = filepath.Base(target)
	}
}

func dangling(path string, links int, err error) error {
	if links > 0 && errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("is a link to %s, which does not exist", printable(path))
	}
	return fmt.Errorf("cannot open it: %w", err)
}

// regular refuses everything that is no file.
func regular(st *unix.Stat_t) error {
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		what = "a directory"
	case unix.S_IFIFO:
		what = "a FIFO"
	case unix.S_IFSOCK:
		what = "a socket"
	case unix.S_IFLNK:
		what = "a symlink"
	default:
		what = "a device"
	}
	return errors.New("is " + what + ", not a file; it was not opened")
}

// readAll reads size bytes, and one more if there is one.
func readAll(fd, size int) ([]byte, error) {
	buf := make([]byte, size+1)
	n := 0
	for n < len(buf) {
		got, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if got == 0 {
			break
		}
		n += got
	}
	return buf[:n:n], nil
}
