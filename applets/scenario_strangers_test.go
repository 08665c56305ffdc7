package applets_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Scenario 51: requests by the thousand, finished and broken off, from many
// clients, in whatever threads of whatever age. No service gets a signal from that.
func TestScenario051NoSignalComesFromRequests(t *testing.T) {
	t.Parallel()
	const services = 50
	each := 2500
	if testing.Short() {
		each = 250
	}
	b := newBed(t)
	for i := range services {
		b.service(fmt.Sprintf("s%02d", i), "[service]\nexec = \"wit\"\n")
	}
	b.service("spare", "[service]\nexec = \"true\"\noneshot = true\nstatus = \"stop\"\n")
	b.serve()
	b.witnessed(services, "START s..")
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() { b.mixedRequests(t, n, each) })
	}
	clients.Wait()
	for _, r := range b.matching("START s..") {
		if !r.proc.alive() {
			t.Errorf("%s, pid %d, is gone", r.name, r.proc.pid)
		}
	}
	if n := len(b.records()); n != services {
		t.Errorf("services were told something: %q", b.records()[services:])
	}
}

// mixedRequests asks and orders, breaks off in the middle of a request and before
// the answer, and goes on with another connection.
func (b *bed) mixedRequests(t *testing.T, n, count int) {
	var c net.Conn
	for i := range count {
		var err error
		if c == nil {
			if c, err = net.Dial("unix", b.sock); err != nil {
				t.Error(err)
				return
			}
		}
		switch i % 50 {
		case 7:
			_, _ = c.Write([]byte(`{"jsonrpc":"2.0","id":1,"method":"service.list_fu`))
			c.Close()
			c = nil
			continue
		case 19:
			_, _ = c.Write([]byte(`{"jsonrpc":"2.0","id":1,"method":"service.list_full"}` + "\n"))
			c.Close()
			c = nil
			continue
		case 31:
			err = callOn(c, "service.start", named{"name": "spare", "wait": i%100 == 31}, nil)
		default:
			method := []string{"system.ping", "service.list", "service.status_full", "service.why", "service.stats"}[i%5]
			err = callOn(c, method, named{"name": fmt.Sprintf("s%02d", (n+i)%50)}, nil)
			if _, refused := err.(*rpcError); refused && i%5 < 2 { // they take no name
				err = nil
			}
		}
		if err != nil {
			t.Errorf("request %d of client %d: %v", i, n, err)
			return
		}
	}
	if c != nil {
		c.Close()
	}
}

// Scenario 56: somebody traces the main process and lets it go, again and again.
// That is no exit, whatever wait(2) tells of it.
func TestScenario056ATracedProcessHasNotEnded(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n[lifecycle]\nrestart = \"always\"\nrestart_delay_ms = 1\n")
	b.serve()
	p := b.running("a")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range 50 {
		if err := syscall.PtraceAttach(p.pid); err != nil {
			skipRing(t, "real", "no process can be traced: "+err.Error(), "run make test as root")
		}
		var st syscall.WaitStatus
		if _, err := syscall.Wait4(p.pid, &st, syscall.WALL, nil); err != nil || !st.Stopped() {
			t.Fatalf("round %d: %v, %v", i, st, err)
		}
		if i%10 == 0 {
			if f := b.full("a"); f.State.State != "running" || f.State.PID != p.pid {
				t.Fatalf("traced it is %s, pid %d", f.State.State, f.State.PID)
			}
		}
		if err := syscall.PtraceDetach(p.pid); err != nil {
			t.Fatal(err)
		}
	}
	b.never(200*time.Millisecond, 1, "START a")
	if f := b.full("a"); f.Run != 1 || f.State.PID != p.pid || !p.alive() {
		t.Errorf("run %d, pid %d", f.Run, f.State.PID)
	}
	b.stopped("a")
	b.witnessed(1, "EXIT a 0")
}

// Scenario 181: descriptors that come along with requests are closed at once, also
// those of a request that never ends, and no service has one of them.
func TestScenario181DescriptorsSentAlongGoNowhere(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"sleep 1000\"\nstatus = \"stop\"\n")
	b.serve()
	var v version
	b.mustCall("system.version", nil, &v)
	before := len(fds(v.PID))
	null, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	many := make([]int, 253)
	for i := range many {
		many[i] = int(null.Fd())
	}
	for i := range 40 {
		c, err := net.Dial("unix", b.sock)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := `{"jsonrpc":"2.0","id":1,"method":"system.ping"}` + "\n"
		if i%2 == 1 {
			text = text[:9]
		}
		if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte(text), unix.UnixRights(many...), nil); err != nil {
			t.Fatal(err)
		}
		if i%4 == 3 {
			c.Close()
		}
		if i%2 == 0 {
			var answer struct{ Result any }
			if err := json.NewDecoder(c).Decode(&answer); err != nil || answer.Result == nil {
				t.Errorf("no answer beside the descriptors: %v", err)
			}
		}
	}
	b.must("start", "a")
	b.await("the descriptors to be closed", func() error {
		for _, pid := range []int{v.PID, v.KeeperPID} {
			for fd, to := range fds(pid) {
				if to == "/dev/zero" {
					return fmt.Errorf("pid %d has descriptor %s", pid, fd)
				}
			}
		}
		return nil
	})
	if n := len(fds(v.PID)); n > before+40 {
		t.Errorf("%d descriptors became %d, with 30 connections", before, n)
	}
	if open := fds(b.full("a").State.PID); len(open) != 3 {
		t.Errorf("the service has %q", open)
	}
}

// Scenario 184: a service of another user, taken over by an attacker, can do
// nothing to zinit: no signal, no look into it, no limit, no descriptor, no cgroup.
func TestScenario184AnotherUsersServiceIsPowerless(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		skipRing(t, "real", "a service of another user takes root", "run make test as root")
	}
	b := newBed(t)
	for _, d := range []string{b.dir, b.etc} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.service("good", "[service]\nexec = \"wit\"\n")
	b.service("evil", fmt.Sprintf(`[service]
user = "nobody"
oneshot = true
exec = '''
try() { if eval "$2" >/dev/null 2>&1; then echo "CAN $1"; else echo "cannot $1"; fi; }
for p in $(cat %[1]s/pids); do
	for s in TERM KILL STOP USR1; do try "signal $p $s" "kill -$s $p"; done
	try "read $p" "head -c1 /proc/$p/mem"
	try "see its descriptors $p" "ls /proc/$p/fd/"
	try "write its descriptors $p" "echo x >/proc/$p/fd/2"
	try "see its environment $p" "cat /proc/$p/environ"
	try "limit $p" "prlimit --pid $p --nofile=3"
	try "raise $p" "renice -n 5 -p $p"
	try "have it killed first $p" "echo 1000 >/proc/$p/oom_score_adj"
	try "go where it is $p" "echo $$ >%[2]s/cgroup.procs"
done
try "call" "zinit --socket %[1]s/z.sock ping"
try "change a file" "echo >>%[1]s/etc/services/good.toml"
try "add a file" "echo >%[1]s/etc/services/new.toml"
echo DONE
'''
[dependencies]
requires = ["pids"]
`, b.dir, cgroupRoot()))
	b.service("pids", "[service]\nexec = \"while ! test -s $DIR/pids; do sleep 0.05; done\"\noneshot = true\n")
	b.serve()
	good := b.witnessed(1, "START good").proc
	var v version
	b.mustCall("system.version", nil, &v)
	list := fmt.Sprintln(v.PID, v.KeeperPID, good.pid)
	if err := os.WriteFile(filepath.Join(b.dir, "pids.new"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(b.dir, "pids.new"), filepath.Join(b.dir, "pids")); err != nil {
		t.Fatal(err)
	}
	b.awaitState("evil", "exited")
	said := b.must("logs", "evil", "-n", "1000")
	if !strings.Contains(said, "DONE") || strings.Count(said, "cannot") < 3*12 || strings.Contains(said, "CAN ") {
		t.Errorf("it says\n%s", said)
	}
	var after version
	b.mustCall("system.version", nil, &after)
	if after != v || !good.alive() {
		t.Errorf("%+v became %+v", v, after)
	}
}

// cgroupRoot is where cgroups of version 2 are, or of any.
func cgroupRoot() string {
	if found := glob("/sys/fs/cgroup/unified"); len(found) == 1 {
		return found[0]
	}
	return "/sys/fs/cgroup"
}

// Scenario 186: a service that forks away and leaves a pid file, in which somebody
// writes other numbers. zinit reads no pid file: what it does not know of cannot
// be signalled, and who forks away has ended.
func TestScenario186NoPidFileIsBelieved(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	stranger := exec.Command("sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	file := filepath.Join(b.dir, "a.pid")
	b.service("a", fmt.Sprintf("[service]\nexec = \"echo %d >%s; exec wit -fork 1 -fork-mode double -exit 0 -after 200ms\"\n", stranger.Process.Pid, file))
	b.serve()
	b.witnessed(1, "START a.child")
	b.witnessed(1, "EXIT a 0")
	b.await("its end to be told", func() error {
		if f := b.full("a"); f.State.State != "exited" && f.State.State != "stopping" || f.State.PID != 0 || !strings.Contains(f.Reason, "ended by itself") {
			return fmt.Errorf("%s, pid %d: %s", f.State.State, f.State.PID, f.Reason)
		}
		return nil
	})
	if p := processOf(stranger.Process.Pid); !p.alive() {
		t.Error("the process of the pid file was ended")
	}
	for _, key := range []string{"pid_file", "pidfile"} {
		name := filepath.Join(b.dir, key+".toml")
		if err := os.WriteFile(name, fmt.Appendf(nil, "[service]\nexec = \"wit\"\n%s = \"/run/a.pid\"\n", key), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := b.zinit("check", name); code != 1 || !strings.Contains(out+errs, "unknown key") {
			t.Errorf("%s passes: %d %s%s", key, code, out, errs)
		}
	}
}
