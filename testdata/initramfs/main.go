// Initramfs packs zinit into a file tree that can start by itself: a cpio
// (newc) the kernel unpacks and runs /init of, or a tar that becomes a
// container image. It needs no root and no cpio program: device nodes are
// only written down.
//
//	initramfs -o FILE -zinit BINARY [-format cpio|tar] [ENTRY...]
//	initramfs -verify FILE
//
// An ENTRY is DEST=SOURCE (a file, with its mode), DEST@TARGET (a symlink) or
// DEST/ (a directory). The tree of a cpio holds /dev/console and /dev/null:
// a Go program aborts before main when its standard descriptors are closed
// and /dev/null is missing. -verify refuses an image without them.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "initramfs:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("initramfs", flag.ContinueOnError)
	image := fs.String("o", "", "file to write")
	zinit := fs.String("zinit", "", "the zinit binary")
	format := fs.String("format", "cpio", "cpio or tar")
	check := fs.String("verify", "", "judge this cpio and write nothing")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *check != "" {
		return verifyFile(*check, out)
	}
	if *image == "" || *zinit == "" {
		return fmt.Errorf("cannot write an image: -o and -zinit are needed")
	}
	t, err := newTree(*format, *zinit, fs.Args())
	if err != nil {
		return err
	}
	f, err := os.Create(*image)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.write(f, *format); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	st, err := os.Stat(*image)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d entries, %d bytes\n", filepath.Clean(*image), len(t.order), st.Size())
	return nil
}
