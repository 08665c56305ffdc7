package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEverySignalOfLinuxHasAName(t *testing.T) {
	for text, want := range map[string]syscall.Signal{
		"SIGTERM": 15, "term": 15, "sigquit": 3, "3": 3, "IOT": 6, "CLD": 17, "POLL": 29, "SIGSTKFLT": 16, "PWR": 30, "SYS": 31,
		"RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMAX": 64, "RTMAX-30": 34, "64": 64, "1": 1,
	} {
		if got, err := ParseSignal(text); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for n := syscall.Signal(1); n <= 31; n++ {
		if !slices.ContainsFunc(signals[:], func(s struct {
			name   string
			number syscall.Signal
		}) bool {
			return s.number == n
		}) {
			t.Errorf("signal %d has no name", n)
		}
	}
	for _, text := range []string{"", "0", "65", "-1", "99", "SIG", "SIGFOO", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN3", "TERM "} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestSizesAreCountedInPowersOfTwo(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "17B": 17, "1KiB": 1 << 10, "64MiB": 64 << 20, "2 GiB": 2 << 30, "8388607TiB": 8388607 << 40} {
		if got, ok := parseSize(text); got != want || !ok {
			t.Errorf("%s: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "MiB", "64MB", "64M", "-1KiB", "1.5GiB", "8388608TiB", "9223372036854775808", "1KiBB", "0x10"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestNamesAreRefusedAlike(t *testing.T) {
	for _, name := range []string{"a", "web-1", "getty@tty1", "_x", ":a", "@", "A.b_c:d@e-f", strings.Repeat("n", 128), "0"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".a", "-a", "zinit", strings.Repeat("n", 129), strings.Repeat("n", 1<<20),
		"a\x00", "a\n", "\x1b[31m", "a\u202eb", "%n", "a b", "é", "a\xff"} {
		err := CheckName(name)
		if err == nil {
			t.Errorf("%.20q is taken for a name", name)
		} else if text := err.Error(); len(text) > 300 || printable(text) != text {
			t.Errorf("%.20q: %.400q would reach a terminal", name, text)
		}
	}
}

func TestTheNearestWordIsNear(t *testing.T) {
	known := []string{"exec", "env", "env_file", "oneshot", "restart_delay_ms", "as", "on-failure"}
	for wrong, want := range map[string]string{
		"exce": "exec", "exe": "exec", "Exec": "exec", "oneshto": "oneshot", "env-file": "env_file", "restart_dely_ms": "restart_delay_ms",
		"restartdelayms": "restart_delay_ms", "ax": "", "zebra": "", "": "", "on_failure": "on-failure", strings.Repeat("x", 1000): "",
	} {
		if got := nearest(wrong, known); got != want {
			t.Errorf("%.30q: %q, want %q", wrong, got, want)
		}
	}
}

func TestAnEnvFileIsReadAsAShellWouldWithoutExpanding(t *testing.T) {
	src := "\ufeff# comment\r\n; other\n\nA=1\r\nexport B='two words'\n C = \"q\\\"x\" \nD=\nE=a=b\nF=$HOME `x`\nG=un\\ quoted'and 'quoted\nA=2\nexport=3\nH= # no comment"
	vars, err := ParseEnvFile("/etc/default/web", []byte(src))
	want := []string{"B=two words", `C=q"x`, "D=", "E=a=b", "F=$HOME `x`", "G=un quotedand quoted", "A=2", "export=3", "H=# no comment"}
	if err != nil || !slices.Equal(vars, want) {
		t.Errorf("got %q, %v; want %q", vars, err, want)
	}
}

func TestABadEnvFileNamesEachLine(t *testing.T) {
	vars, err := ParseEnvFile("/etc/default/web", []byte("A=1\nnonsense\n1X=2\nB='open\nC=a\x00b\n"))
	want := `/etc/default/web:2: expected KEY=VALUE, found "nonsense"
/etc/default/web:3: "1X" is no name of a variable
/etc/default/web:4: B has a ' that is never closed on its line
/etc/default/web:5: C holds a NUL, which no variable can`
	if err == nil || err.Error() != want || vars != nil {
		t.Errorf("got %q, %v; want %s", vars, err, want)
	}
	if _, err := ParseEnvFile("/x", make([]byte, maxFile+1)); err == nil {
		t.Error("a huge file is read")
	}
}

// os.ReadFile took all the memory of the machine for /dev/zero, and the server with
// it, and waited in a FIFO for a writer with a thread each try.
func TestAnEnvFileIsAFileAndNoLongerThanOne(t *testing.T) {
	dir := t.TempDir()
	fifo, long := filepath.Join(dir, "fifo"), filepath.Join(dir, "long")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(long, 1<<40); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/zero": "/dev/zero is a device, not a file; it was not opened",
		fifo:        fifo + " is a FIFO, not a file; it was not opened",
		dir:         dir + " is a directory, not a file; it was not opened",
		long:        long + ": is larger than 1 MiB",
	} {
		if _, err := ReadEnvFile(path); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := ReadEnvFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}
