package applets_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Scenario 153, and what F70 and B21 lost: fifty upgrades from one version to
// another while somebody connects every 5 ms.
func TestStormOfUpgrades(t *testing.T) {
	t.Parallel()
	notShort(t)
	n, whole := 6, false
	if _, whole = stormKills(0); whole {
		n = 50
	}
	s := newStorm(t, fifty(50))
	s.watch()
	s.drive()
	versions := []string{"0.4.1-test", "0.4.2-test"}
	var files []string
	for _, v := range versions {
		files = append(files, s.otherZinit(v))
	}
	for i := range n {
		if s.run("upgrade", files[i%2]) != nil {
			break
		}
		var v struct {
			Version string `json:"version"`
		}
		if err := s.ask("system.version", nil, &v); err != nil || v.Version != versions[i%2] {
			s.fault(notUpgraded, "%d: the server is %q, %v", i, v.Version, err)
		}
	}
	s.tellRow("upgrades", n)
	s.finish(fmt.Sprintf("storm of upgrades: %d services × 2 streams × 50 lines/s", len(s.cast)))
}

// A server that has said yes to an upgrade is killed before the keeper has heard
// of it. The next server sees to it that the upgrade comes, also one that is on
// trial itself: it used to take its own trial for the one that was asked for.
func TestAnUpgradeIsNotLostWithItsServer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "")
	b.fillers()
	b.serve()
	p := b.witnessed(1, "START a").proc
	var last version
	for _, other := range []string{"0.4.1-test", "0.4.2-test"} {
		ask := named{"path": b.otherZinit(other), "token": other}
		v := b.unheard("system.upgrade", ask)
		if last.PID != 0 && v.PID != last.PID {
			t.Errorf("asked again it was done again: %+v became %+v", last, v)
		}
		last = b.upgraded(other)
		if last.Generation != v.Generation+2 {
			t.Errorf("server %d became %d: the keeper has heard of the upgrade from the first, and nothing was tried", v.Generation, last.Generation)
		}
		b.mustCall("system.upgrade", ask, nil)
	}
	if v, _ := b.killServer(); v.PID != last.PID || !p.alive() {
		t.Errorf("asked again it was done again, or the service ended: %+v became %+v", last, v)
	}
}

// upgraded waits until an upgrade to a version is done.
func (b *bed) upgraded(to string) version {
	type upgraded struct {
		version
		Version   string `json:"version"`
		Upgrading string `json:"upgrading"`
	}
	var after upgraded
	b.await("version "+to, func() error {
		after = upgraded{} // what is not told is not what was told before
		if err := b.call("system.version", nil, &after); err != nil || after.Version != to || after.Upgrading != "" {
			return fmt.Errorf("%+v, %v", after, err)
		}
		return nil
	})
	return after.version
}

// fillers are services for unheard: a socket holds a thousand orders and more, and no
// service may have many signals that are not sent yet.
const fillers = 200

func (b *bed) fillers() {
	for i := range fillers {
		b.service(fmt.Sprint("filler", i), "[service]\nexec = \"sleep 1000\"\n")
	}
}

// unheard has a server that is killed decide something of which its keeper has not
// heard: that one stands still, and its socket is full of signals to the fillers.
func (b *bed) unheard(method string, params any) (before version) {
	b.mustCall("system.version", nil, &before)
	for i := range fillers {
		b.awaitState(fmt.Sprint("filler", i), "running")
	}
	c, err := net.Dial("unix", b.sock)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	defer c.Close()
	goOn := func() { _ = syscall.Kill(before.KeeperPID, syscall.SIGCONT) }
	if err := freeze(before.KeeperPID); err != nil {
		b.t.Fatalf("%v", err)
	}
	defer goOn()
	for i := range 20 * fillers {
		if err := callOn(c, "service.kill", named{"name": fmt.Sprint("filler", i%fillers), "signal": "SIGCONT"}, nil); err != nil {
			b.t.Fatalf("%v", err)
		}
	}
	if err := callOn(c, method, params, nil); err != nil {
		b.t.Fatalf("%v", err)
	}
	if err := b.kill(before.PID); err != nil {
		b.t.Fatalf("%v", err)
	}
	return before
}

// otherZinit makes a zinit that says it is of another version.
func (b *bed) otherZinit(version string) string {
	text, err := os.ReadFile(filepath.Join(built, "zinit"))
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	if !bytes.Contains(text, []byte("0.4.0-test")) {
		b.t.Fatalf("the binary does not hold its version")
	}
	name := filepath.Join(b.dir, "zinit-"+version)
	if err := os.WriteFile(name, bytes.ReplaceAll(text, []byte("0.4.0-test"), []byte(version)), 0o755); err != nil {
		b.t.Fatalf("%v", err)
	}
	return name
}

// Scenario 154: whatever is wrong with the new binary, the old one serves
// again, says so once, and services feel nothing.
func TestScenario154ABadBinaryIsRefusedOrGivenUp(t *testing.T) {
	t.Parallel()
	notShort(t)
	_, whole := stormKills(0)
	b := newBed(t)
	mode := filepath.Join(b.dir, "mode")
	b.env = append(b.env, "WIT_SERVER="+mode)
	b.needs("web", "wit", "")
	b.serve()
	p := b.witnessed(1, "START web").proc
	good, err := os.ReadFile(filepath.Join(built, "zinit"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := os.ReadFile(filepath.Join(built, "wit"))
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(good)
	other[18] ^= 0xff // e_machine
	const refused, givenUp = 8, 1
	for _, c := range []struct {
		name, mode string
		text       []byte
		perm       os.FileMode
		code       int
		says       string
		slow       bool
	}{
		{"exits", "exit", bad, 0o755, givenUp, "exit 1", false},
		{"crashes", "die 50ms", bad, 0o755, givenUp, "segmentation fault", false},
		{"crashes after 3 s", "die 3s", bad, 0o755, givenUp, "segmentation fault", true},
		{"hangs before it is ready", "hang", bad, 0o755, givenUp, "hung|not ready", true},
		{"another machine", "", other, 0o755, refused, "another machine", false},
		{"not executable", "", good, 0o644, refused, "not executable", false},
		{"truncated", "", good[:len(good)/2], 0o755, givenUp, "", false},
		{"its head only", "", good[:64], 0o755, givenUp, "cannot run", false},
		{"empty", "", nil, 0o755, refused, "no ELF", false},
		{"a directory", "", nil, 0, refused, "no file", false},
	} {
		if c.slow && !whole {
			continue
		}
		file := filepath.Join(b.dir, "new-"+strings.ReplaceAll(c.name, " ", "-"))
		if c.perm == 0 {
			err = os.Mkdir(file, 0o755)
		} else {
			err = os.WriteFile(file, c.text, c.perm)
		}
		if err == nil {
			err = os.WriteFile(mode, []byte(c.mode), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.giveUp(t, c.name, file, c.code, c.says)
		if !p.alive() || len(b.matching("START web|TERM web|EXIT web.*")) != 1 {
			t.Fatalf("%s: the service felt it: %q", c.name, b.records())
		}
	}
}

// giveUp upgrades to a bad file and wants the old server back.
func (b *bed) giveUp(t *testing.T, what, file string, code int, says string) {
	var before, after version
	b.mustCall("system.version", nil, &before)
	messages, begin := b.givenUp(), time.Now()
	out, errs, got := b.zinit("upgrade", file)
	took := time.Since(begin)
	b.mustCall("system.version", nil, &after)
	if got != code || !matches(says, out+errs) {
		t.Errorf("%s: exit %d, want %d and %q\n%s%s", what, got, code, says, out, errs)
	}
	if code == 8 && after.PID != before.PID {
		t.Errorf("%s: it was refused, and the server has changed", what)
	}
	if took > patience*20*time.Second {
		t.Errorf("%s: the old server was back after %v", what, took)
	}
	if n := int(after.Generation - before.Generation); n > 3 {
		t.Errorf("%s: %d servers were started", what, n)
	}
	want := 0
	if code == 1 {
		want = 1
	}
	if n := b.givenUp() - messages; n != want {
		t.Errorf("%s: %d messages that an upgrade was given up, want %d", what, n, want)
	}
}

// givenUp counts the messages of upgrades that were given up.
func (b *bed) givenUp() int {
	return strings.Count(b.must("logs", "zinit", "-n", "100000"), "the upgrade was given up")
}

// matches reports whether an expression is somewhere in a text.
func matches(expr, text string) bool { return regexp.MustCompile(expr).MatchString(text) }
