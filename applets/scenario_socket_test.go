package applets_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Scenario 139: the control socket is swept away, or something else stands in
// its place. A signal to the keeper brings it back, nothing is written through a
// link, and what others put there is left alone.
func TestScenario139TheSocketIsSweptAway(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.needs("a", "wit", "")
	b.serve()
	p := b.witnessed(1, "START a").proc
	var v version
	b.mustCall("system.version", nil, &v)
	precious := b.dir + "/precious"
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	back := func(how string, sig syscall.Signal) {
		t.Helper()
		if _, err := os.Lstat(b.sock); err == nil && b.call("system.ping", nil, nil) == nil {
			t.Fatalf("%s: the socket still answers", how)
		}
		_ = syscall.Kill(v.KeeperPID, sig)
		b.await("the socket to come back: "+how, func() error { return b.call("system.ping", nil, nil) })
	}
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGUSR1} {
		os.Remove(b.sock)
		back("removed", sig)
		os.Remove(b.sock)
		if err := os.Symlink(precious, b.sock); err != nil {
			t.Fatal(err)
		}
		back("a link", sig)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("written through the link: %q, %v", text, err)
	}
	os.Remove(b.sock)
	if err := os.Mkdir(b.sock, 0o700); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(v.KeeperPID, unix.SIGHUP)
	b.await("a word about the directory", func() error {
		if !strings.Contains(b.said.String(), "a directory in the way") {
			return errors.New("there is none")
		}
		return nil
	})
	os.Remove(b.sock)
	back("a directory that is gone again", unix.SIGHUP)
	if !p.alive() {
		t.Error("the service ended")
	}
}
