package applets_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Scenario 39: what fails before the program runs is counted by the same budget
// as what fails after, with the same pauses.
func TestScenario039TheBudgetCoversFailuresBeforeTheSpawn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const life = "[lifecycle]\nmax_restarts = 2\nrestart_delay_ms = 100\n"
	b.service("absent", "[service]\nexec = \"/no/such/program\"\n"+life)
	b.service("nowhere", "[service]\nexec = \"wit\"\ndir = \"/no/such/dir\"\n"+life)
	b.service("nobody", "[service]\nexec = \"wit\"\nuser = \"nosuchuser\"\n"+life)
	b.service("novars", "[service]\nexec = \"wit\"\nenv_file = [\"/no/such/file\"]\n"+life)
	b.service("endless", "[service]\nexec = \"wit\"\nenv_file = [\"/dev/zero\"]\n"+life)
	b.serve()
	for name, want := range map[string]string{"endless": "/dev/zero is a device", "absent": "no directory /no", "nowhere": "/no/such/dir", "nobody": `user "nosuchuser"`, "novars": "/no/such/file"} {
		b.await(name+" to give up", func() error {
			if f := b.full(name); !strings.Contains(f.Reason, "gave up after 2 restarts") || f.Run != 3 {
				return fmt.Errorf("run %d, %s: %s", f.Run, f.State.State, f.Reason)
			}
			return nil
		})
		if f := b.full(name); !strings.Contains(f.Reason, want) || f.State.State != "failed" || f.State.Reason.Type != "spawn_error" {
			t.Errorf("%s: %+v, %s; want %q", name, f.State, f.Reason, want)
		}
	}
	if n := len(b.records()); n != 0 {
		t.Errorf("something ran: %q", b.records())
	}
}

// Scenario 40: each way in which an exec fails is told apart, with the path,
// and nothing is reported as running.
func TestScenario040EveryFailedExecNamesErrnoAndPath(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	put := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("data", "x", 0o644)
	put("text", "hello", 0o755)
	put("script", "#!"+b.dir+"/nointerpreter\n", 0o755)
	if err := os.Symlink("round", filepath.Join(b.dir, "round")); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]string{
		"absent":  {syscall.ENOENT.Error(), "there is no file " + b.dir + "/absent"},
		"script":  {syscall.ENOENT.Error(), "interpreter", b.dir + "/nointerpreter"},
		"data":    {syscall.EACCES.Error(), "not executable", b.dir + "/data"},
		"text":    {syscall.ENOEXEC.Error(), "no #! line", b.dir + "/text"},
		"text/in": {syscall.ENOTDIR.Error(), b.dir + "/text,", "no directory"},
		"round":   {syscall.ELOOP.Error(), b.dir + "/round", "circle"},
	}
	cmd := b.command("server", "--config-dir", b.etc, "--socket", b.sock)
	if mount := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", b.dir); mount.Run() == nil {
		cases["noexec/text"] = []string{syscall.EACCES.Error(), "mounted noexec", b.dir + "/noexec/text"}
		script := `mkdir noexec && mount -t tmpfs -o noexec none noexec && cp text noexec/ && exec "$@"`
		cmd = exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)...)
		cmd.Env, cmd.Dir = b.env, b.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		t.Log("no mount of our own: a noexec mount is not tried")
	}
	name := func(file string) string { return strings.ReplaceAll(file, "/", "-") }
	const never = "[lifecycle]\nrestart = \"never\"\n"
	for file := range cases {
		b.service(name(file), fmt.Sprintf("[service]\nexec = %q\n%s", b.dir+"/"+file, never))
	}
	cases["large"] = []string{syscall.E2BIG.Error(), "KiB"}
	b.service("large", fmt.Sprintf("[service]\nexec = [%q, %q]\n%s", "/bin/sh", strings.Repeat("x", 140<<10), never))
	if err := b.startCommand(cmd); err != nil {
		t.Fatalf("%v\n%s", err, b.said)
	}
	for file, want := range cases {
		b.awaitState(name(file), "failed")
		f := b.full(name(file))
		shown, _, _ := b.zinit("status", name(file))
		for _, part := range want {
			if !strings.Contains(f.Reason, part) || !strings.Contains(shown, part) {
				t.Errorf("%s: %q, want %q in it; status shows\n%s", file, f.Reason, part, shown)
			}
		}
		if f.State.Reason.Type != "spawn_error" || f.State.PID != 0 {
			t.Errorf("%s: %+v", file, f.State)
		}
	}
}

// Scenario 40, the last of them: a program that is still being written is tried
// again at once, and that costs nothing of its restart budget.
func TestScenario040AProgramBeingWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	program := filepath.Join(b.dir, "program")
	src, err := os.ReadFile(filepath.Join(built, "wit"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, src, 0o755); err != nil {
		t.Fatal(err)
	}
	open, err := os.OpenFile(program, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	b.service("late", fmt.Sprintf("[service]\nexec = %q\n[lifecycle]\nrestart = \"never\"\n", program))
	b.service("never", fmt.Sprintf("[service]\nexec = %q\n[lifecycle]\nrestart = \"never\"\n", program+"2"))
	if err := os.WriteFile(program+"2", src, 0o755); err != nil {
		t.Fatal(err)
	}
	always, err := os.OpenFile(program+"2", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer always.Close()
	b.serve()
	b.await("a second try", func() error {
		if f := b.full("late"); f.Run < 2 || f.State.State != "starting" {
			return fmt.Errorf("run %d, %s", f.Run, f.State.State)
		}
		return nil
	})
	open.Close()
	b.awaitState("late", "running")
	b.witnessed(1, "START late")
	if f := b.full("late"); f.Attempts != 0 {
		t.Errorf("it cost %d restarts", f.Attempts)
	}
	b.awaitState("never", "failed")
	if f := b.full("never"); f.Run < 5 || !strings.Contains(f.Reason, syscall.ETXTBSY.Error()) {
		t.Errorf("run %d: %s", f.Run, f.Reason)
	}
}

// What a file says of a process is true of it.
func TestAttributesReachTheProcess(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", `[service]
exec = "sleep 1000"
nice = 7
ionice = "idle"
oom_score_adj = 900
cpus = "0"
no_new_privileges = true
umask = "027"
`)
	b.serve()
	b.awaitState("a", "running")
	pid := b.full("a").State.PID
	text := func(name string) string {
		src, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(src)
	}
	if f := strings.Fields(text("stat")); f[18] != "7" {
		t.Errorf("nice is %s", f[18])
	}
	if got := strings.TrimSpace(text("oom_score_adj")); got != "900" {
		t.Errorf("oom_score_adj is %s", got)
	}
	for _, want := range []string{"Umask:\t0027", "NoNewPrivs:\t1", "Cpus_allowed_list:\t0\n"} {
		if !strings.Contains(text("status"), want) {
			t.Errorf("status lacks %q", want)
		}
	}
	if prio, _, _ := syscall.Syscall(syscall.SYS_IOPRIO_GET, 1, uintptr(pid), 0); prio>>13 != 3 {
		t.Errorf("ionice is %#x", prio)
	}
	if got := b.must("get", "a"); !strings.Contains(got, "idle") || !strings.Contains(got, "900") {
		t.Errorf("get shows %s", got)
	}
}

// Scenario 183: whoever a service is to be, it is that or it does not run. A
// number that no file knows is a user without a name; what is no number and no
// name is refused.
func TestScenario183OddUsers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for i, odd := range []string{"0day", "0x0", "1e3", "-1", "4294967295", "+5", " 5"} {
		b.service(fmt.Sprintf("odd%d", i), fmt.Sprintf("[service]\nexec = \"wit\"\nuser = %q\n[lifecycle]\nrestart = \"never\"\n", odd))
	}
	root := os.Geteuid() == 0
	if root {
		b.service("nobody", `[service]
exec = '''sh -c 'echo "$(id -u) $(id -g) $(id -G) $HOME $USER"' '''
user = "nobody"
oneshot = true
`)
		b.service("number", `[service]
exec = '''sh -c 'echo "$(id -u) $(id -g) $(id -G)"' '''
user = "12345"
oneshot = true
`)
	}
	b.serve()
	for i := range 7 {
		b.awaitState(fmt.Sprintf("odd%d", i), "failed")
	}
	if n := len(b.records()); n != 0 {
		t.Errorf("something ran: %q", b.records())
	}
	if !root {
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"nobody": strings.Join([]string{u.Uid, u.Gid, u.Gid, u.HomeDir, "nobody"}, " "), "number": "12345 12345 12345",
	} {
		b.awaitState(name, "exited")
		if got := b.must("logs", name); !strings.Contains(got, want+"\n") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A port that somebody listens on blocks the service, which names pid, command and
// service of the holder, and starts by itself when the port is free.
func TestAHeldPortBlocksUntilItIsFree(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	b.service("a", fmt.Sprintf("[service]\nexec = \"wit\"\nports = [%d]\n", port))
	b.serve()
	want := fmt.Sprintf("port %d (held by pid %d ", port, os.Getpid())
	b.await("the holder to be named", func() error {
		if f := b.full("a"); f.State.State != "blocked" || !strings.Contains(f.Reason, want) {
			return fmt.Errorf("%s: %s", f.State.State, f.Reason)
		}
		return nil
	})
	for _, verb := range [][]string{{"why", "a"}, {"list"}, {"status", "a"}} {
		if shown, _, _ := b.zinit(verb...); !strings.Contains(shown, want) {
			t.Errorf("%q shows\n%s", verb, shown)
		}
	}
	if out, errs, code := b.zinit("start", "a"); code != 1 || !strings.Contains(out+errs, want) {
		t.Errorf("start ends with %d: %s%s", code, out, errs)
	}
	l.Close()
	b.awaitState("a", "running")
}
