package applets_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestRealSoftware runs testdata/real/real.txtar: servers from Debian, under the
// service files beside it. Among them are one that drops to a user of its own, one
// that says when it is ready, and one that forks away.
func TestRealSoftware(t *testing.T) {
	t.Parallel()
	notShort(t)
	if os.Getuid() != 0 {
		skipRing(t, "real", "postgresql runs as a user of its own, which takes root", "run make test as root")
	}
	wantPrograms(t, "real", "redis-server", "redis-cli", "nginx", "psql", "pg_isready", "sshd", "cron", "memcached")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) == 0 {
		skipRing(t, "real", "no postgresql server", "as root, run: testdata/setup.sh real")
	}
	dir := filepath.Join(root, "testdata", "real")
	cmds := commands()
	for name, f := range map[string]command{
		"eventually": cmdEventually, "get": cmdGet, "killed": cmdKilled, "owner": cmdOwner, "nothing": cmdNothing, "greets": cmdGreets,
	} {
		cmds[name] = asScriptCommand(f)
	}
	cmds["server"] = asScriptCommand(func(b *bed, ts *testscript.TestScript, neg bool, args []string) {
		b.etc = dir
		b.env = append(b.env, "REAL="+ts.Getenv("REAL"), "HERE="+dir)
		cmdServer(b, ts, neg, args)
	})
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REALDIR", dir)
			// others than root run here: they must be able to come in
			for d := env.WorkDir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
				if err := os.Chmod(d, 0o755); err != nil {
					return err
				}
			}
			return setUpScript(env)
		},
		Cmds:                cmds,
		RequireExplicitExec: true,
	})
}

// eventually REGEXP PROGRAM ARG...: runs it until it succeeds and what it
// prints matches.
func cmdEventually(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "eventually REGEXP PROGRAM ARG...")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(until(60*time.Second, strings.Join(args[1:], " "), func() error {
		out, err := exec.Command(args[1], args[2:]...).CombinedOutput()
		if err == nil && !re.Match(out) {
			err = fmt.Errorf("it does not match %q", args[0])
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))
}

// get REGEXP URL: an HTTP GET until the body matches.
func cmdGet(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "get REGEXP URL")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	client := http.Client{Timeout: 5 * time.Second}
	ts.Check(until(60*time.Second, args[1], func() error {
		resp, err := client.Get(args[1])
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !re.Match(body) {
			err = fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
		}
		return err
	}))
}

// greets REGEXP PORT [LINE]: who listens there says it, at once or to a line; with !
// nobody listens.
func cmdGreets(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 2 || len(args) == 3, "greets REGEXP PORT [LINE]")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	ts.Check(until(90*time.Second, "the greeting of port "+args[1], func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[1], 5*time.Second)
		if err != nil || neg {
			if (err != nil) == neg {
				return nil
			}
			return fmt.Errorf("somebody listens, or nobody: %v", err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if len(args) == 3 {
			fmt.Fprintf(c, "%s\r\n", args[2])
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if !re.MatchString(line) {
			return fmt.Errorf("it says %q, %v", line, err)
		}
		return nil
	}))
}

// killed NAME: SIGKILL to its main process; returns when it runs again, with
// another pid.
func cmdKilled(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "killed NAME")
	before := processOf(b.full(args[0]).State.PID)
	ts.Check(b.kill(before.pid))
	b.ended(before)
	b.await(args[0]+" to return", func() error {
		f := b.full(args[0])
		if f.State.State != "running" || processOf(f.State.PID) == before {
			return fmt.Errorf("it is %s, pid %d", f.State.State, f.State.PID)
		}
		return nil
	})
}

// owner NAME USER: the main process runs as this user.
func cmdOwner(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "owner NAME USER")
	u, err := user.Lookup(args[1])
	ts.Check(err)
	pid := b.full(args[0]).State.PID
	for _, field := range []string{"Uid", "Gid"} {
		ids := strings.Fields(statusField(pid, field))
		own := map[string]string{"Uid": u.Uid, "Gid": u.Gid}[field]
		if len(ids) != 4 || ids[0] != own || ids[1] != own || ids[2] != own {
			ts.Fatalf("%s of pid %d is %q, want %s", field, pid, ids, own)
		}
	}
}

// nothing PATH: no process has it in its command line or works in it.
func cmdNothing(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "nothing PATH")
	for _, pid := range allPids() {
		cwd, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
		if line := processOf(pid).cmdline(); strings.Contains(line, args[0]) || strings.HasPrefix(cwd, args[0]) {
			ts.Fatalf("left behind: pid %d %s", pid, line)
		}
	}
}
