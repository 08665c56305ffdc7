package main

import (
	"archive/tar"
	"io"

	"golang.org/x/sys/unix"
)

// writeTar writes the tree as the root of a container.
func (t *tree) writeTar(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range t.order {
		e := t.byName[name]
		h := &tar.Header{Name: e.name, Mode: int64(e.mode & 0o7777), Format: tar.FormatPAX}
		switch e.mode & unix.S_IFMT {
		case unix.S_IFDIR:
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		case unix.S_IFLNK:
			h.Typeflag, h.Linkname = tar.TypeSymlink, string(e.data)
		default:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.data))
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := out.Write(e.data); err != nil {
			return err
		}
	}
	return out.Close()
}
