package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// entry is one file of an image. mode holds the type as stat does.
type entry struct {
	name         string // without a leading slash
	mode         uint32
	data         []byte // of a file, or the target of a symlink
	major, minor uint32 // of a device
}

// tree is an image before it is written: entries by name, parents first.
type tree struct {
	order  []string
	byName map[string]entry
}

// links are the names that zinit answers to.
var links = []string{"init", "zinit", "zinit-pid1", "zinit-server", "poweroff", "reboot", "halt", "shutdown"}

// newTree makes the tree of a bootable image (cpio) or a container (tar).
func newTree(format, zinit string, entries []string) (*tree, error) {
	t := &tree{byName: map[string]entry{}}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "sbin", "etc/zinit/system", "etc/zinit/services", "etc/zinit/targets"} {
		t.dir(dir)
	}
	switch format {
	case "cpio":
		if err := t.file("init", zinit); err != nil {
			return nil, err
		}
		for _, name := range links {
			t.symlink("sbin/"+name, "/init")
		}
		t.add(entry{name: "dev/console", mode: unix.S_IFCHR | 0o600, major: 5, minor: 1})
		t.add(entry{name: "dev/null", mode: unix.S_IFCHR | 0o666, major: 1, minor: 3})
	case "tar":
		if err := t.file("sbin/zinit", zinit); err != nil {
			return nil, err
		}
		for _, name := range links {
			if name != "zinit" {
				t.symlink("sbin/"+name, "zinit")
			}
		}
	default:
		return nil, fmt.Errorf("cannot write format %q: it is cpio or tar", format)
	}
	for _, e := range entries {
		if err := t.parse(e); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// parse adds one ENTRY of the command line.
func (t *tree) parse(e string) error {
	if dir, ok := strings.CutSuffix(e, "/"); ok {
		t.dir(clean(dir))
		return nil
	}
	if dest, src, ok := strings.Cut(e, "="); ok {
		return t.file(clean(dest), src)
	}
	if dest, target, ok := strings.Cut(e, "@"); ok {
		t.symlink(clean(dest), target)
		return nil
	}
	return fmt.Errorf("cannot read entry %q: it is DEST=SOURCE, DEST@TARGET or DEST/", e)
}

func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

func (t *tree) add(e entry) {
	if dir := path.Dir(e.name); dir != "." {
		t.dir(dir)
	}
	if _, old := t.byName[e.name]; !old {
		t.order = append(t.order, e.name)
	}
	t.byName[e.name] = e
}

func (t *tree) dir(name string) {
	if _, old := t.byName[name]; old || name == "" {
		return
	}
	mode := uint32(0o755)
	if name == "tmp" {
		mode = 0o1777
	}
	t.add(entry{name: name, mode: unix.S_IFDIR | mode})
}

func (t *tree) symlink(name, target string) {
	t.add(entry{name: name, mode: unix.S_IFLNK | 0o777, data: []byte(target)})
}

func (t *tree) file(name, src string) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	st, err := os.Stat(src)
	if err != nil {
		return err
	}
	t.add(entry{name: name, mode: unix.S_IFREG | uint32(st.Mode().Perm()), data: data})
	return nil
}

func (t *tree) write(w io.Writer, format string) error {
	if format == "tar" {
		return t.writeTar(w)
	}
	return t.writeCPIO(w)
}
