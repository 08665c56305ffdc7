package applets_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// engine is a Docker daemon of the test's own: no bridge, no firewall rules,
// everything in one directory.
type engine struct {
	t      *testing.T
	dir    string
	docker string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	notShort(t)
	if os.Getuid() != 0 {
		skipRing(t, "container", "a Docker daemon needs root", "run make test as root")
	}
	wantPrograms(t, "container", "dockerd", "docker")
	dir, err := os.MkdirTemp("", "zd")
	if err != nil {
		t.Fatal(err)
	}
	daemon, _ := findProgram("dockerd")
	docker, _ := findProgram("docker")
	e := &engine{t: t, dir: dir, docker: docker}
	out := &said{}
	cmd := exec.Command(daemon, "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
		"--data-root", dir+"/root", "--exec-root", dir+"/run", "--pidfile", dir+"/pid", "-H", e.host())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-gone
		os.RemoveAll(dir)
	})
	err = until(60*time.Second, "the Docker daemon", func() error {
		if closed(gone) {
			return final{fmt.Errorf("it ended: %v", cmd.ProcessState)}
		}
		return exec.Command(docker, "-H", e.host(), "version").Run()
	})
	if err != nil {
		skipRing(t, "container", "dockerd does not run here: "+err.Error()+"\n"+tail(out.String(), 5), "see what dockerd says")
	}
	return e
}

func (e *engine) host() string { return "unix://" + e.dir + "/d.sock" }

// run is one docker command; its output without the last newline.
func (e *engine) run(args ...string) string {
	e.t.Helper()
	cmd := exec.Command(e.docker, append([]string{"-H", e.host()}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.t.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// container is a bed whose zinit runs in a container from scratch.
type container struct {
	*bed
	engine *engine
	id     string
	pid    int // of its PID 1, as we see it
}

// newContainer imports the image that `make image` makes, with the witness and
// these services in it, and more entries as testdata/initramfs takes them.
func (e *engine) newContainer(t *testing.T, image string, services map[string]string, entries ...string) *container {
	t.Helper()
	dir, err := os.MkdirTemp("", "zi")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c := &container{engine: e, bed: &bed{t: t, dir: dir, wit: filepath.Join(dir, "wit.log"), said: &said{}}}
	if err := emptyWit(c.wit); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "image.tar")
	args := []string{"-format", "tar", "-zinit", filepath.Join(built, "zinit-static"), "-o", file, "bin/wit=" + filepath.Join(built, "wit"), "w/"}
	args = append(args, entries...)
	for name, text := range services {
		src := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "etc/zinit/services/"+name+".toml="+src)
	}
	if out, err := exec.Command(filepath.Join(built, "initramfs"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e.run("import", "--change", `ENTRYPOINT ["/sbin/init"]`, file, image)
	t.Cleanup(func() {
		if c.id != "" {
			if t.Failed() {
				t.Logf("docker logs:\n%s", c.logs())
				c.tell(t)
			}
			e.run("rm", "-f", c.id)
		}
		os.RemoveAll(dir)
	})
	return c
}

// starts runs it, with more flags for docker and arguments for zinit.
func (c *container) starts(image string, flags []string, args ...string) {
	all := append([]string{"run", "-d", "--network", "none", "-v", c.dir + ":/w", "-e", "WIT=/w/wit.log", "-e", "PATH=/bin"}, flags...)
	out := c.engine.run(append(append(all, image), args...)...)
	c.id = out[strings.LastIndexByte(out, '\n')+1:]
	c.pid, _ = strconv.Atoi(c.engine.run("inspect", "-f", "{{.State.Pid}}", c.id))
	c.ns, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.pid))
	c.sock = fmt.Sprintf("/proc/%d/root/run/zinit.sock", c.pid)
}

func (c *container) logs() string { return c.engine.run("logs", c.id) }

// stops is `docker stop`; it returns the status.
func (c *container) stops() string {
	c.engine.run("stop", "-t", "30", c.id)
	return c.engine.run("inspect", "-f", "{{.State.ExitCode}}", c.id)
}

func TestContainers(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	web := map[string]string{
		"db":  "[service]\nexec = \"wit -ready-fd 3 -ready-after 200ms\"\nready = \"fd:3\"\n",
		"web": "[service]\nexec = \"wit -lines 2 -last-words 3\"\nuser = \"1000\"\n[dependencies]\nrequires = [\"db\"]\n",
	}
	t.Run("one file in an empty image", func(t *testing.T) {
		c := e.newContainer(t, "plain", web)
		c.starts("plain", nil)
		c.witnessed(1, "START web")
		c.ordered("READY db", "START web")
		if status := c.stops(); status != "0" {
			t.Errorf("status %s after an orderly stop", status)
		}
		c.ordered("EXIT web 0", "TERM db")
		for _, want := range []string{"web | line 00000002", "web | line 00000003"} {
			if !strings.Contains(c.logs(), want) {
				t.Errorf("stdout lacks %q", want)
			}
		}
	})
	t.Run("Scenario027 read-only", func(t *testing.T) {
		c := e.newContainer(t, "readonly", web)
		c.starts("readonly", []string{"--read-only"})
		c.witnessed(1, "START web")
		if status := c.stops(); status != "0" {
			t.Errorf("status %s after an orderly stop", status)
		}
		if n := strings.Count(c.logs(), "zinit.sock"); n != 1 {
			t.Errorf("the socket is spoken of %d times", n)
		}
	})
	t.Run("Scenario028 a random user without capabilities", func(t *testing.T) { powerless(t, e) })
	t.Run("Scenario031 out of memory", func(t *testing.T) { hungry(t, e) })
	t.Run("Scenario159 a server out of memory", func(t *testing.T) { talkative(t, e) })
	t.Run("Scenario029 below another init", func(t *testing.T) {
		c := e.newContainer(t, "below", map[string]string{"a": "[service]\nexec = \"wit -fork 3 -fork-mode double\"\n"})
		c.starts("below", []string{"--init"}, "-c")
		c.witnessed(3, "START a.child")
		c.await("the socket", func() error { return c.call("system.ping", nil, nil) })
		var v version
		c.mustCall("system.version", nil, &v)
		keeper := c.here(proc{pid: v.KeeperPID})
		c.adopts(keeper.pid)
		if status := c.stops(); status != "0" {
			t.Errorf("status %s after an orderly stop", status)
		}
	})
}

// powerless: zinit is a user that no file knows and may do nothing special. It starts,
// stops and reaps; what it cannot give a service is that service's error.
func powerless(t *testing.T, e *engine) {
	c := e.newContainer(t, "powerless", map[string]string{
		"plain":   "[service]\nexec = \"wit -fork 1 -fork-mode double\"\n",
		"other":   "[service]\nexec = \"wit\"\nuser = \"1000\"\n[lifecycle]\nrestart = \"never\"\n",
		"eager":   "[service]\nexec = \"wit\"\nnice = -5\n[lifecycle]\nrestart = \"never\"\n",
		"patient": "[service]\nexec = \"wit\"\nnice = 5\n",
	})
	c.starts("powerless", []string{"--user", "1000730000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "-e", "ZINIT_SOCKET=/w/z.sock"})
	c.sock = filepath.Join(c.dir, "z.sock")
	p := c.here(c.witnessed(1, "START plain").proc)
	c.witnessed(1, "START patient")
	c.await("the socket", func() error { return c.call("system.ping", nil, nil) })
	for name, want := range map[string]string{"other": "user", "eager": "nice"} {
		c.awaitState(name, "failed")
		if f := c.full(name); f.State.Reason.Type != "spawn_error" || !strings.Contains(f.Reason, want) || !strings.Contains(f.Reason, "not permitted") && !strings.Contains(f.Reason, "permission denied") {
			t.Errorf("%s: %+v, %s", name, f.State, f.Reason)
		}
	}
	if len(c.matching("START (other|eager)")) != 0 {
		t.Errorf("it ran all the same: %q", c.records())
	}
	if uid := strings.Fields(statusField(p.pid, "Uid")); len(uid) != 4 || uid[1] != "1000730000" {
		t.Errorf("the service is user %q", uid)
	}
	child := c.here(c.witnessed(1, "START plain.child").proc)
	if err := c.kill(child.pid); err != nil {
		t.Fatal(err)
	}
	c.await("the orphan to be reaped", func() error {
		if statFields(child.pid) != nil && processOf(child.pid).start == child.start {
			return fmt.Errorf("pid %d is there", child.pid)
		}
		return nil
	})
	if status := c.stops(); status != "0" {
		t.Errorf("status %s after an orderly stop", status)
	}
	c.witnessed(1, "EXIT plain 0")
}

// hungry: the container has little memory and one service takes all of it. It
// is killed; the keeper and the other services stay. So does the server, or another
// takes over: the kernel may see a second shortage before it has freed what it
// took, and in a container nobody can be better protected than others. Then that one
// says why.
func hungry(t *testing.T, e *engine) {
	busybox, err := findProgram("busybox")
	if err != nil {
		skipRing(t, "container", "no busybox", "as root, run: testdata/setup.sh vm")
	}
	c := e.newContainer(t, "hungry", map[string]string{
		"good": "[service]\nexec = \"wit\"\n",
		"eats": "[service]\nexec = \"tail /dev/zero\"\n[lifecycle]\nrestart = \"never\"\n[dependencies]\nrequires = [\"good\"]\n",
	}, "bin/tail="+busybox)
	c.starts("hungry", []string{"--memory", "48m"})
	c.await("the socket", func() error { return c.call("system.ping", nil, nil) })
	var before, after version
	c.mustCall("system.version", nil, &before)
	var f full
	c.await("the end of it", func() error {
		if err := c.call("service.status_full", named{"name": "eats"}, &f); err != nil || f.State.State != "failed" {
			return fmt.Errorf("%v, %s", err, f.State.State)
		}
		return c.call("system.version", nil, &after)
	})
	if f.LastExit == nil || f.LastExit.Signal != 9 || f.LastExit.Killed || !strings.Contains(f.Reason, "KILL") && !strings.Contains(f.Reason, "want of memory") {
		t.Errorf("%s, last exit %+v", f.Reason, f.LastExit)
	}
	if after.KeeperPID != before.KeeperPID || after.Generation > before.Generation+1 || len(c.matching("START good")) != 1 || c.full("good").State.State != "running" {
		t.Errorf("%+v became %+v, and good is %s", before, after, c.full("good").State.State)
	}
	var own []logLine
	c.mustCall("logs.tail", named{"name": "zinit", "grep": "the server was killed for want of memory"}, &own)
	if len(own) != int(after.Generation-before.Generation) {
		t.Errorf("%+v became %+v; of a shortage it says %+v", before, after, own)
	}
	if status := c.stops(); status != "0" {
		t.Errorf("status %s after an orderly stop", status)
	}
	c.witnessed(1, "EXIT good 0")
}

// talkative: one service prints nearly as much as the container has memory, and all
// of that may be kept. What is kept is charged to the container, so the kernel kills
// the server. The next drops most of it, counted, and lives; services feel nothing
// and no byte is missing that is not told.
func talkative(t *testing.T, e *engine) {
	const numbers = 60_000
	const total = numbers * 1000
	busybox, err := findProgram("busybox")
	if err != nil {
		skipRing(t, "container", "no busybox", "as root, run: testdata/setup.sh vm")
	}
	settings := filepath.Join(t.TempDir(), "zinit.toml")
	if err := os.WriteFile(settings, []byte("[logging]\ntotal_bytes = \"1GiB\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := e.newContainer(t, "talkative", map[string]string{
		"good": "[service]\nexec = \"wit\"\n",
		"loud": fmt.Sprintf("[service]\nexec = ['awk', 'BEGIN { for (i = 1; i <= %d; i++) printf \"%%08d %%0990d\\n\", i, 0 }']\nstatus = \"stop\"\noneshot = true\n[logging]\nbuffer_bytes = \"1GiB\"\n", numbers),
	}, "bin/awk="+busybox, "etc/zinit/zinit.toml="+settings)
	c.starts("talkative", []string{"--memory", "64m", "--memory-swap", "64m"})
	c.await("the socket", func() error { return c.call("system.ping", nil, nil) })
	good := c.witnessed(1, "START good")
	var before, after version
	c.mustCall("system.version", nil, &before)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", c.here(proc{pid: before.PID}).pid), []byte("500"), 0); err != nil {
		t.Fatal(err)
	}
	c.mustCall("service.start", named{"name": "loud"}, nil)
	var f struct {
		State   struct{ State string }
		Kept    int64 `json:"log_bytes"`
		Dropped int64 `json:"log_dropped"`
	}
	c.await("the last word", func() error {
		if err := c.call("service.status_full", named{"name": "loud"}, &f); err != nil || f.State.State != "exited" {
			return fmt.Errorf("%v, %+v", err, f)
		}
		return c.call("system.version", nil, &after)
	})
	if after.Generation != before.Generation+1 || after.KeeperPID != before.KeeperPID {
		t.Errorf("%+v became %+v; want one other server", before, after)
	}
	var own, last []logLine
	c.mustCall("logs.tail", named{"name": "zinit", "grep": "want of memory"}, &own)
	want := fmt.Sprintf("warning: the server was killed for want of memory; %d bytes of logs were dropped so that it does not happen again", f.Dropped)
	if len(own) != 1 || own[0].Content != want || f.Dropped < total/4 || f.Kept+f.Dropped != total {
		t.Errorf("of %d bytes %d are kept and %d dropped; it says %+v", total, f.Kept, f.Dropped, own)
	}
	c.mustCall("logs.tail", named{"name": "loud", "lines": 1000}, &last)
	for i, l := range last {
		if want := fmt.Sprintf("%08d %0990d", numbers-len(last)+1+i, 0); l.Content != want || l.Dropped != 0 {
			t.Fatalf("of the last %d lines number %d is %.20q, want %.20q; %d bytes are missing before it", len(last), i, l.Content, want, l.Dropped)
		}
	}
	if r := c.witnessed(1, "START good"); r.proc != good.proc || c.full("good").State.State != "running" {
		t.Errorf("good was %+v and is %+v, %s", good.proc, r.proc, c.full("good").State.State)
	}
	if status := c.stops(); status != "0" {
		t.Errorf("status %s after an orderly stop", status)
	}
	c.witnessed(1, "EXIT good 0")
}

// adopts wants the keeper to be the parent of the three orphans of service a,
// to reap the one that is killed, and to have no zombies.
func (b *bed) adopts(keeper int) {
	orphans := b.matching("START a.child")
	for _, r := range orphans {
		p := b.here(r.proc)
		b.await("an orphan to be adopted", func() error {
			if parent := parentOf(p.pid); parent != keeper {
				return fmt.Errorf("the parent of %d is %d, the keeper is %d", p.pid, parent, keeper)
			}
			return nil
		})
	}
	dead := b.here(orphans[0].proc)
	if err := b.kill(dead.pid); err != nil {
		b.t.Fatalf("%v", err)
	}
	if err := until(2*time.Second, "the orphan to be reaped", func() error {
		if statFields(dead.pid) != nil && processOf(dead.pid).start == dead.start {
			return fmt.Errorf("pid %d is still there", dead.pid)
		}
		return nil
	}); err != nil {
		b.t.Fatalf("%v", err)
	}
}

// Scenario 29, in user mode: some other program is PID 1, and the keeper
// adopts what its services orphan.
func TestScenario029TheKeeperAdoptsOrphans(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit -fork 3 -fork-mode double\"\n")
	b.serve()
	b.witnessed(3, "START a.child")
	var v version
	b.mustCall("system.version", nil, &v)
	b.adopts(v.KeeperPID)
}
