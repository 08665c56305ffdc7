package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// verifyFile judges a cpio and lists what it found.
func verifyFile(name string, out io.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := readCPIO(f)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", name, err)
	}
	for _, problem := range verify(entries) {
		fmt.Fprintf(out, "%s: %s\n", name, problem)
		err = fmt.Errorf("%q would not boot", name)
	}
	if err == nil {
		fmt.Fprintf(out, "%s: bootable, %d entries\n", name, len(entries))
	}
	return err
}

// verify says everything that would keep the image from booting.
func verify(entries []entry) (problems []string) {
	byName := map[string]entry{}
	for _, e := range entries {
		byName[clean(e.name)] = e
	}
	for _, node := range []entry{
		{name: "dev/console", major: 5, minor: 1},
		{name: "dev/null", major: 1, minor: 3},
	} {
		e, there := byName[node.name]
		switch {
		case !there:
			problems = append(problems, "/"+node.name+" is missing: without it a Go program may abort before main")
		case e.mode&unix.S_IFMT != unix.S_IFCHR || e.major != node.major || e.minor != node.minor:
			problems = append(problems, fmt.Sprintf("/%s is not the character device %d:%d", node.name, node.major, node.minor))
		}
	}
	return append(problems, verifyInit(byName["init"])...)
}

func verifyInit(e entry) []string {
	switch {
	case e.name == "":
		return []string{"/init is missing: the kernel would look for a root device"}
	case e.mode&unix.S_IFMT != unix.S_IFREG:
		return []string{"/init is not a regular file"}
	case e.mode&0o111 == 0:
		return []string{"/init is not executable"}
	}
	bin, err := elf.NewFile(bytes.NewReader(e.data))
	if err != nil {
		return []string{"/init is not an ELF program: " + err.Error()}
	}
	for _, p := range bin.Progs {
		if p.Type == elf.PT_INTERP {
			return []string{"/init is not static: it asks for an interpreter"}
		}
	}
	return nil
}
