package applets_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Scenario 50: whatever state zinit itself was started in, a service starts
// in a clean one. The service is a plain C program that changes nothing of
// it, and it is looked at from outside.
func TestScenario050AServiceInheritsACleanState(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("plain", "[service]\nexec = \"sleep 1000\"\n")
	b.service("raised", "[service]\nexec = \"sleep 1000\"\numask = \"027\"\n[limits]\nnofile = \"2048:4096\"\n")
	if err := b.startCommand(dirtyServer(t, b)); err != nil {
		t.Fatalf("%v\n%s", err, b.said)
	}
	for _, name := range []string{"plain", "raised"} {
		b.awaitState(name, "running")
	}
	plain, raised := b.full("plain").State.PID, b.full("raised").State.PID
	wantClean(t, plain, "0022", "1024:4096")
	wantClean(t, raised, "0027", "2048:4096")

	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", plain))
	vars := strings.Split(strings.TrimSuffix(string(env), "\x00"), "\x00")
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains([]string{"LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "ZINIT_SOCKET", "ZINIT_LOG_LEVEL"}, name) && v != "ZINIT_SOCKET="+b.sock {
			t.Errorf("the service's environment has %s", v)
		}
	}
	for _, v := range []string{"ZINIT_SERVICE=plain", "ZINIT_RUN=1", "DIR=" + b.dir} {
		if !slices.Contains(vars, v) {
			t.Errorf("the service's environment lacks %s: %q", v, vars)
		}
	}
}

// Scenario 50, of PID 1: whatever a container engine leaves it with, a service has
// nothing of it.
func TestScenario050AServiceOfADirtyPID1IsClean(t *testing.T) {
	t.Parallel()
	wantPrograms(t, "vm", "busybox")
	x := newBox(t)
	x.Dirty = true
	box, _ := findProgram("busybox")
	if err := copyProgram(filepath.Join(x.Root, "bin", "sleep"), box); err != nil {
		t.Fatal(err)
	}
	x.service("plain", "[service]\nexec = \"sleep 1000\"\n")
	x.runs()
	x.await("the socket", func() error { return x.call("system.ping", nil, nil) })
	x.awaitState("plain", "running")
	if own, nice := statusField(x.init.Pid, "Umask"), statFields(x.init.Pid)[16]; own != "0077" || nice != "5" {
		t.Fatalf("PID 1 itself is clean: umask %s, nice %s", own, nice)
	}
	p := x.here(proc{pid: x.full("plain").State.PID})
	wantClean(t, p.pid, "0022", "1024:4096")
	var env []string
	x.await("its environment", func() error { // which is there a moment after the old memory is gone
		if env = strings.Split(readText(fmt.Sprintf("/proc/%d/environ", p.pid)), "\x00"); len(env) < 2 {
			return fmt.Errorf("it is %q", env)
		}
		return nil
	})
	slices.Sort(env)
	if got := strings.Join(env, " "); strings.Contains(got, "LISTEN_") || strings.Contains(got, "NOTIFY_") || !strings.Contains(got, "ZINIT_SERVICE=plain") {
		t.Errorf("its environment is %s", got)
	}
	x.terminates(0)
}

// dirtyServer is `zinit server` with signals ignored and blocked, nice 5, a
// narrow umask, low limits, fifty descriptors too many and other supervisors'
// variables.
func dirtyServer(t *testing.T, b *bed) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", `umask 077; ulimit -Sn 1024; ulimit -Hn 4096; exec "$@"`, "sh",
		"env", "--ignore-signal=HUP", "--ignore-signal=PIPE", "--block-signal=TERM", "nice", "-n", "5",
		filepath.Join(built, "zinit"), "server", "--config-dir", b.etc, "--socket", b.sock)
	cmd.Env = append(slices.Clone(b.env), "LISTEN_FDS=3", "LISTEN_PID=1", "NOTIFY_SOCKET="+b.dir+"/nobody", "ZINIT_LOG_LEVEL=debug")
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	for range 50 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, null)
	}
	return cmd
}

func wantClean(t *testing.T, pid int, umask, nofile string) {
	t.Helper()
	for name, want := range map[string]string{
		"SigBlk": "0000000000000000", "SigIgn": "0000000000000000", "SigCgt": "0000000000000000", "Umask": umask,
	} {
		if got := statusField(pid, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	open := fds(pid)
	if len(open) != 3 || !strings.HasSuffix(open["0"], "/dev/null") || !strings.HasPrefix(open["1"], "pipe:") || !strings.HasPrefix(open["2"], "pipe:") {
		t.Errorf("descriptors are %q, want 0 (/dev/null), 1 and 2 (pipes)", open)
	}
	cwd, err1 := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	top, err2 := os.Stat(fmt.Sprintf("/proc/%d/root", pid))
	if err1 != nil || err2 != nil || !os.SameFile(cwd, top) {
		t.Errorf("the working directory is %v: %v, %v", cwd, err1, err2)
	}
	f := statFields(pid)
	if len(f) < 20 {
		t.Fatalf("no stat of pid %d", pid)
	}
	if own := fmt.Sprint(pid); f[2] != own || f[3] != own {
		t.Errorf("process group %s, session %s; want its own, %s", f[2], f[3], own)
	}
	if f[4] != "0" {
		t.Errorf("it has a controlling terminal, %s", f[4])
	}
	own, _ := os.Readlink("/proc/self/ns/user")
	if theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid)); os.Getuid() == 0 && theirs == own && f[16] != "0" { // raising priority takes a privilege
		t.Errorf("nice is %s", f[16])
	}
	if got := limit(pid, "Max open files"); got != nofile {
		t.Errorf("nofile is %s, want %s", got, nofile)
	}
}

// limit reads soft:hard from /proc/PID/limits.
func limit(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			f := strings.Fields(rest)
			return f[0] + ":" + f[1]
		}
	}
	return ""
}
