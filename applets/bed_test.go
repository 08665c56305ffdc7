package applets_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// failer ends a test: *testing.T and *testscript.TestScript both can.
type failer interface {
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// bed is one zinit in user mode under test, with a directory, a socket and a
// witness file of its own. It is not safe for concurrent use, except call,
// zinit and records.
type bed struct {
	t    failer
	dir  string   // short, so that the socket's path is
	etc  string   // --config-dir: a root with services in it
	sock string   // --socket
	wit  string   // the file of witnesses
	env  []string // of zinit and of whatever runs beside it

	program string // the zinit that is run, "": the one that was built

	ns   string        // the pid namespace of its services, "" for ours
	cmd  *exec.Cmd     // the keeper, nil before serve
	said *said         // what keeper and server printed
	gone chan struct{} // closed when the keeper has been waited for
}

// newBed makes a bed that ends with the test: whatever it started is stopped,
// and a process that outlives the keeper is an error.
func newBed(t *testing.T) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "zb")
	if err != nil {
		t.Fatal(err)
	}
	b := layBed(t, dir)
	t.Cleanup(func() {
		err := b.end()
		if err != nil {
			t.Error(err)
		}
		if t.Failed() {
			b.tell(t)
		}
		os.RemoveAll(dir)
	})
	return b
}

// layBed makes a bed in dir, which must exist; the caller calls end.
func layBed(t failer, dir string) *bed {
	b := &bed{
		t: t, dir: dir,
		etc:  filepath.Join(dir, "etc"),
		sock: filepath.Join(dir, "z.sock"),
		wit:  filepath.Join(dir, "wit.log"),
		said: &said{},
	}
	b.env = []string{
		"PATH=" + built + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + dir, "WIT=" + b.wit, "ZINIT_SOCKET=" + b.sock, "DIR=" + dir, "LC_ALL=C",
	}
	if underRace() { // the server's stderr is not ours to read
		b.env = append(b.env, "GORACE=log_path="+filepath.Join(dir, "race"))
	}
	for _, d := range []string{"services", "targets"} {
		if err := os.MkdirAll(filepath.Join(b.etc, d), 0o755); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return b
}

// service writes etc/services/NAME.toml. The witness finds its file and its
// name in its environment, so `exec = "wit"` is a whole service.
func (b *bed) service(name, text string) {
	b.write(filepath.Join("services", name+".toml"), text)
}

func (b *bed) target(name, text string) {
	b.write(filepath.Join("targets", name+".toml"), text)
}

func (b *bed) write(name, text string) {
	if err := os.WriteFile(filepath.Join(b.etc, name), []byte(text), 0o644); err != nil {
		b.t.Fatalf("%v", err)
	}
}

// serve starts `zinit server` and returns when it answers.
func (b *bed) serve(args ...string) {
	if err := b.start(args...); err != nil {
		b.t.Fatalf("%v\n%s", err, b.said)
	}
}

func (b *bed) start(args ...string) error {
	return b.startCommand(b.command(append([]string{"server", "--config-dir", b.etc, "--socket", b.sock}, args...)...))
}

// startCommand starts a prepared keeper and returns when it answers.
func (b *bed) startCommand(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = b.said, b.said
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.gone = cmd, make(chan struct{})
	gone := b.gone
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	return until(90*time.Second, "the server to answer", func() error {
		select {
		case <-gone:
			return final{fmt.Errorf("the keeper ended: %v", cmd.ProcessState)}
		default:
			return b.call("system.ping", nil, nil)
		}
	})
}

// command is zinit with this bed's environment, in a session of its own.
func (b *bed) command(args ...string) *exec.Cmd {
	cmd := exec.Command(cmp.Or(b.program, filepath.Join(built, "zinit")), args...)
	cmd.Env, cmd.Dir = b.env, b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// zinit runs the client and returns what it printed and its exit status.
func (b *bed) zinit(args ...string) (stdout, stderr string, code int) {
	var out, errs strings.Builder
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("cannot run zinit %q: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the client and wants exit status 0.
func (b *bed) must(args ...string) string {
	out, errs, code := b.zinit(args...)
	if code != 0 {
		b.t.Fatalf("zinit %q: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// stop sends SIGTERM to the keeper and returns its exit status.
func (b *bed) stop(within time.Duration) (int, error) {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err // one that has just ended by itself is what was wanted
	}
	select {
	case <-b.gone:
		return b.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return 0, fmt.Errorf("the keeper lives %v after SIGTERM", within)
	}
}

// end stops what runs and looks for what was left behind.
func (b *bed) end() error {
	var errs []error
	if b.cmd != nil && !closed(b.gone) {
		if _, err := b.stop(60 * time.Second); err != nil {
			errs = append(errs, err)
			_ = b.cmd.Process.Kill()
			<-b.gone
		}
	}
	for _, p := range b.descendants() {
		errs = append(errs, fmt.Errorf("left behind: pid %d %s", p.pid, p.cmdline()))
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	races, _ := filepath.Glob(filepath.Join(b.dir, "race.*"))
	for _, name := range races {
		text, _ := os.ReadFile(name)
		errs = append(errs, fmt.Errorf("%s", text))
	}
	return errors.Join(errs...)
}

// tell prints what helps to understand a failed test.
func (b *bed) tell(t failer) {
	if text := b.said.String(); text != "" {
		t.Logf("zinit said:\n%s", text)
	}
	if text, err := os.ReadFile(b.wit); err == nil && len(text) < 8000 {
		t.Logf("the witness wrote:\n%s", text)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
