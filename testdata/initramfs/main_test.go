package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// program writes the least file that debug/elf takes for a static program.
func program(t *testing.T) string {
	t.Helper()
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64,
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "zinit")
	if err := os.WriteFile(name, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// image packs a program as zinit, with the entries beside it.
func image(t *testing.T, format string, entries ...string) []byte {
	t.Helper()
	tr, err := newTree(format, program(t), entries)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tr.write(&b, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t *testing.T, b []byte) []entry {
	t.Helper()
	entries, err := readCPIO(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func find(entries []entry, name string) (entry, bool) {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
	if i < 0 {
		return entry{}, false
	}
	return entries[i], true
}

func TestAnImageHoldsWhatWasAskedFor(t *testing.T) {
	src := filepath.Join(t.TempDir(), "web.toml")
	if err := os.WriteFile(src, []byte("odd"), 0o640); err != nil {
		t.Fatal(err)
	}
	got := read(t, image(t, "cpio", "etc/zinit/services/web.toml="+src, "bin/sh@busybox", "var/lib/x/"))
	want := []entry{
		{name: "etc/zinit/services/web.toml", mode: unix.S_IFREG | 0o640, data: []byte("odd")},
		{name: "bin/sh", mode: unix.S_IFLNK | 0o777, data: []byte("busybox")},
		{name: "var/lib/x", mode: unix.S_IFDIR | 0o755, data: []byte{}},
		{name: "dev/console", mode: unix.S_IFCHR | 0o600, data: []byte{}, major: 5, minor: 1},
	}
	for _, w := range want {
		g, ok := find(got, w.name)
		if !ok {
			t.Errorf("no %s in the image", w.name)
			continue
		}
		if diff := cmp.Diff(w, g, cmp.AllowUnexported(entry{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", w.name, diff)
		}
	}
}

func TestParentsStandBeforeTheirChildren(t *testing.T) {
	seen := map[string]bool{".": true}
	for _, e := range read(t, image(t, "cpio", "a/b/c/d@x")) {
		if dir := filepath.Dir(e.name); !seen[dir] {
			t.Errorf("%s comes before %s", e.name, dir)
		}
		seen[e.name] = true
	}
}

func TestTheSameInputGivesTheSameImage(t *testing.T) {
	if !bytes.Equal(image(t, "cpio"), image(t, "cpio")) {
		t.Error("two images of one tree differ")
	}
}

func TestAnImageIsAlignedToFourBytes(t *testing.T) {
	b := image(t, "cpio", "odd-name@odd")
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(magic))
		if i < 0 {
			break
		}
		if e, err := readEntry(bytes.NewReader(b[at+i:])); err == nil && e.name != "" && (at+i)%4 != 0 {
			t.Errorf("the header of %s is at %d", e.name, at+i)
		}
		at += i + 1
	}
	if len(b)%4 != 0 {
		t.Errorf("the image has %d bytes", len(b))
	}
}

func TestACutImageIsAnError(t *testing.T) {
	b := image(t, "cpio")
	for _, n := range []int{0, 1, headerLen, headerLen + 3, len(b) / 2, len(b) - 1} {
		if _, err := readCPIO(bytes.NewReader(b[:n])); err == nil {
			t.Errorf("an image cut at %d of %d bytes was read without an error", n, len(b))
		}
	}
}

// Scenario 1, second half: the recipe's verifier refuses an image without
// the nodes that a Go program cannot start without.
func TestScenario001TheVerifierRefusesAnImageWithoutItsNodes(t *testing.T) {
	whole := read(t, image(t, "cpio"))
	if problems := verify(whole); len(problems) > 0 {
		t.Fatalf("the shipped recipe is refused: %q", problems)
	}
	for _, node := range []string{"dev/console", "dev/null", "init"} {
		without := slices.DeleteFunc(slices.Clone(whole), func(e entry) bool { return e.name == node })
		problems := verify(without)
		if len(problems) != 1 || !strings.Contains(problems[0], "/"+node+" is missing") {
			t.Errorf("without /%s the verifier says %q", node, problems)
		}
	}
}

func TestTheVerifierJudgesWhatStandsInForANodeOrInit(t *testing.T) {
	cases := []struct {
		name   string
		change func(*entry)
		want   string
	}{
		{"dev/null", func(e *entry) { e.mode = unix.S_IFREG | 0o666 }, "not the character device 1:3"},
		{"dev/console", func(e *entry) { e.minor = 3 }, "not the character device 5:1"},
		{"init", func(e *entry) { e.mode = unix.S_IFREG | 0o644 }, "not executable"},
		{"init", func(e *entry) { e.mode = unix.S_IFLNK | 0o777 }, "not a regular file"},
		{"init", func(e *entry) { e.data = []byte("#!/bin/sh") }, "not an ELF program"},
	}
	for _, c := range cases {
		entries := read(t, image(t, "cpio"))
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == c.name })
		c.change(&entries[i])
		if got := verify(entries); len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: got %q, want one problem with %q", c.name, got, c.want)
		}
	}
}

func TestATarIsTheRootOfAContainer(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(image(t, "tar")))
	var names []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeChar {
			t.Errorf("%s is a device: container tools refuse or need root for those", h.Name)
		}
		names = append(names, h.Name)
	}
	for _, want := range []string{"sbin/zinit", "sbin/init", "etc/zinit/services/"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %q", want, names)
		}
	}
}

func TestAnEntryThatCannotBeReadIsAnError(t *testing.T) {
	for _, e := range []string{"", "plain", "x=/nonexistent/file"} {
		if _, err := newTree("cpio", program(t), []string{e}); err == nil {
			t.Errorf("entry %q was accepted", e)
		}
	}
	if _, err := newTree("zip", program(t), nil); err == nil {
		t.Error("format zip was accepted")
	}
}
