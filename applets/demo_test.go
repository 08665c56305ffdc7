package applets_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What `make demo` runs, until somebody presses Ctrl-C.
func TestTheDemoShowsWhatItPromises(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := &said{}
	cmd := exec.Command("sh", filepath.Join(root, "testdata", "demo", "run.sh"), filepath.Join(built, "zinit"))
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C goes to a group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		if !closed(gone) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			<-gone
		}
		if t.Failed() {
			t.Logf("%s", out)
		}
	})
	sees := func(word string) {
		t.Helper()
		if err := until(60*time.Second, fmt.Sprintf("%q", word), func() error {
			if strings.Contains(out.String(), word) {
				return nil
			}
			return fmt.Errorf("not shown")
		}); err != nil {
			t.Fatal(err)
		}
	}
	sees("every transition")
	for _, want := range []string{"$ zinit list", "$ zinit tree site", "nowhere", "accepting connections", "export ZINIT_SOCKET="} {
		sees(want)
	}
	before := strings.Count(out.String(), "flaky")
	if err := until(60*time.Second, "the flaky one to crash again", func() error {
		if strings.Count(out.String(), "flaky") > before {
			return nil
		}
		return fmt.Errorf("no transition of it is shown")
	}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	sees("zinit ended with status 0")
	<-gone
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("status %d", code)
	}
}
