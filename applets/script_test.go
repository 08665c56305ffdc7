package applets_test

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script/*.txtar, which do what a user does. A
// script's files are laid out in $WORK; etc/ there is the root of the
// service files. Beside testscript's own commands it has those of commands
// below; testdata/script/README tells what each does.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join(root, "testdata", "script"),
		Setup:               setUpScript,
		Cmds:                commands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

type bedKey struct{}

func setUpScript(env *testscript.Env) error {
	t := env.T()
	b := layBed(scriptFailer{t}, env.WorkDir)
	for _, v := range b.env {
		k, val, _ := strings.Cut(v, "=")
		env.Setenv(k, val)
	}
	env.Values[bedKey{}] = b
	env.Defer(func() {
		if err := b.end(); err != nil {
			t.Fatal(err)
		}
	})
	return nil
}

// scriptFailer is a script's T as a failer.
type scriptFailer struct{ testscript.T }

func (f scriptFailer) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }
func (f scriptFailer) Logf(format string, args ...any)   { f.Log(fmt.Sprintf(format, args...)) }

type command func(b *bed, ts *testscript.TestScript, neg bool, args []string)

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]command{
		"server": cmdServer, "zinit": cmdZinit, "code": cmdCode, "until": cmdUntil, "within": cmdWithin,
		"witness": cmdWitness, "never": cmdNever, "order": cmdOrder, "gap": cmdGap,
		"crash": cmdCrash, "alive": cmdAlive, "kill-server": cmdKillServer,
		"stop-server": cmdStopServer, "kill-keeper": cmdKillKeeper, "no-cgroups": cmdNoCgroups, "said": cmdSaid,
	}
	out := map[string]func(*testscript.TestScript, bool, []string){}
	for name, f := range all {
		out[name] = asScriptCommand(f)
	}
	return out
}

// asScriptCommand gives f the bed of its script.
func asScriptCommand(f command) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		b := ts.Value(bedKey{}).(*bed)
		b.t = ts
		f(b, ts, neg, args)
	}
}

// want ends a script whose command line is wrong.
func want(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

func duration(ts *testscript.TestScript, s string) time.Duration {
	d, err := time.ParseDuration(s)
	ts.Check(err)
	return d
}

// server [ARG...]: starts zinit on etc/ and waits until it answers.
func cmdServer(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	err := b.start(args...)
	if neg && err == nil {
		ts.Fatalf("the server runs, it should not")
	}
	if !neg && err != nil {
		ts.Fatalf("%v\n%s", err, b.said)
	}
}

// no-cgroups: the server that is started next makes none.
func cmdNoCgroups(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "no-cgroups")
	b.env = append(b.env, "ZINIT_CGROUPS=0")
}

// zinit ARG...: the client; with ! any status but 0.
func cmdZinit(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(filepath.Join(built, "zinit"), args...)
	if (err != nil) != neg {
		ts.Fatalf("zinit %s: %v", strings.Join(args, " "), err)
	}
}

// code N ARG...: the client, which must end with status N.
func cmdCode(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 0, "code N ARG...")
	err := ts.Exec(filepath.Join(built, "zinit"), args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != number(ts, args[0]) {
		ts.Fatalf("zinit %s: exit %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// until REGEXP ARG...: runs the client again and again until what it prints
// matches; with ! until it does not.
func cmdUntil(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) > 1, "until REGEXP ARG...")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(until(90*time.Second, strconv.Quote(args[0]), func() error {
		out, errs, code := b.zinit(args[1:]...)
		if re.MatchString(out) == neg {
			return fmt.Errorf("zinit printed, with status %d:\n%s%s", code, out, errs)
		}
		return nil
	}))
}

// within DURATION ARG...: the client, which must succeed so quickly; ! fail.
func cmdWithin(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) > 1, "within DURATION ARG...")
	begin := time.Now()
	cmdZinit(b, ts, neg, args[1:])
	if took := time.Since(begin); took > patience*duration(ts, args[0]) {
		ts.Fatalf("zinit %s took %v", strings.Join(args[1:], " "), took)
	}
}

// witness N REGEXP: waits for N such records; with ! fails when there are N
// now.
func cmdWitness(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 2, "witness N REGEXP")
	n := number(ts, args[0])
	if !neg {
		b.witnessed(n, args[1])
		return
	}
	if found := b.matching(args[1]); len(found) >= n {
		ts.Fatalf("%d × %q in the witness file", len(found), args[1])
	}
}

// never DURATION N REGEXP: no more than N such records for so long.
func cmdNever(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 3, "never DURATION N REGEXP")
	b.never(duration(ts, args[0]), number(ts, args[1]), args[2])
}

// order FIRST SECOND...: every record of FIRST stands before any of SECOND,
// and so on.
func cmdOrder(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 1, "order FIRST SECOND...")
	for i := range args[1:] {
		b.ordered(args[i], args[i+1])
	}
}

// gap MIN MAX FIRST SECOND: the time from the first record of one kind to the
// next of another.
func cmdGap(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 4, "gap MIN MAX FIRST SECOND")
	gap := b.gap(args[2], args[3])
	if gap < duration(ts, args[0]) || gap > duration(ts, args[1]) {
		ts.Fatalf("%v lie between %q and %q", gap, args[2], args[3])
	}
}

// crash NAME: SIGKILL to the process of its last START.
func cmdCrash(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "crash NAME")
	b.ended(b.crash(args[0]))
}

// alive NAME: the process of its last START runs; with ! waits until it is
// gone.
func cmdAlive(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 1, "alive NAME")
	if !neg {
		b.running(args[0])
		return
	}
	b.ended(b.witnessed(1, "START "+regexp.QuoteMeta(args[0])).proc)
}

// kill-server: SIGKILL to the server; returns when its successor answers.
func cmdKillServer(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "kill-server")
	before, after := b.killServer()
	if before.KeeperPID != after.KeeperPID {
		ts.Fatalf("keeper %d became %d", before.KeeperPID, after.KeeperPID)
	}
}

// kill-keeper [alone]: SIGKILL to keeper and server, as a power cut would; what
// they ran is ended by the script's end. alone: the server lives on.
func cmdKillKeeper(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) < 2, "kill-keeper [alone]")
	var v version
	b.mustCall("system.version", nil, &v)
	if len(args) == 1 {
		ts.Check(b.kill(v.KeeperPID))
		<-b.gone
		return
	}
	ts.Check(freeze(v.PID)) // or it would still end in order
	ts.Check(b.kill(v.KeeperPID))
	ts.Check(b.kill(v.PID))
	<-b.gone
}

// stop-server [STATUS]: SIGTERM to zinit, which must end with STATUS (0).
func cmdStopServer(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) < 2, "stop-server [STATUS]")
	status := 0
	if len(args) == 1 {
		status = number(ts, args[0])
	}
	got, err := b.stop(90 * time.Second)
	ts.Check(err)
	if got != status {
		ts.Fatalf("zinit ended with %d, want %d\n%s", got, status, b.said)
	}
}

// said REGEXP: what keeper and server print matches, in a moment if not yet; with !
// it does not by now.
func cmdSaid(b *bed, ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 1, "said REGEXP")
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	look := func() error {
		if neg == re.MatchString(b.said.String()) {
			return fmt.Errorf("zinit printed:\n%s", b.said)
		}
		return nil
	}
	if neg {
		ts.Check(look())
		return
	}
	ts.Check(until(90*time.Second, strconv.Quote(args[0]), look))
}
