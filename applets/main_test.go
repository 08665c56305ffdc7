// Package applets_test runs zinit as people do: the real binary, real
// processes, a terminal's worth of commands, in user mode, in namespaces, in
// a container and in a virtual machine. Verdicts on order, number and "still
// alive" come from the witness (testdata/wit) and /proc; what zinit says is
// compared with those, never believed.
package applets_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// built holds the directory of the programs under test, made once by
// TestMain: zinit, zinit-static (for places
// without a libc), wit, initramfs.
var built string

// patience stretches upper bounds on time: the race detector and a busy
// machine are slow, and a bound that fails there says nothing of zinit.
var patience time.Duration = 1

// root is the top of the source tree.
var root string

func TestMain(m *testing.M) {
	if text := os.Getenv(boxVar); text != "" {
		fmt.Fprintln(os.Stderr, "cannot enter the box:", enterBox(text))
		os.Exit(125)
	}
	flag.Parse()
	status, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build what is tested:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func runAll(m *testing.M) (int, error) {
	var err error
	if root, err = filepath.Abs(".."); err != nil {
		return 0, err
	}
	// Not in TMPDIR: its mode is nobody's business but a service's uid must
	// be able to execute the witness.
	if built, err = os.MkdirTemp("", "zinit-bin"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(built)
	if err := os.Chmod(built, 0o755); err != nil {
		return 0, err
	}
	if underRace() {
		patience = 5
	}
	if err := build("zinit", ".", underRace()); err != nil {
		return 0, err
	}
	if underRace() { // what has no libc needs the static one
		err = build("zinit-static", ".", false)
	} else {
		err = os.Link(filepath.Join(built, "zinit"), filepath.Join(built, "zinit-static"))
	}
	if err != nil {
		return 0, err
	}
	for _, tool := range []string{"wit", "initramfs"} {
		if err := build(tool, "./testdata/"+tool, false); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

// underRace says whether zinit itself is built with the race detector.
func underRace() bool { return os.Getenv("ZINIT_TEST_RACE") != "" }

// build makes one program; with race it needs a C compiler and is not static.
func build(name, pkg string, race bool) error {
	args := []string{
		"build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version=0.4.0-test", "-o", filepath.Join(built, name),
	}
	env := append(os.Environ(), "CGO_ENABLED=0")
	if race {
		args, env = append(args, "-race"), append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir, cmd.Env = root, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
