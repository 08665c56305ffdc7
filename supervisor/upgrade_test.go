package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
)

// ordered is a sim that counts the upgrades its keeper was asked for.
type ordered struct {
	*sim
	upgrades int
}

func (o *ordered) Upgrade(int) { o.upgrades++ }

// next is a server that takes over what this one has left.
func (o *ordered) next(told func(*keeper.Welcome)) {
	o.t.Helper()
	w := o.welcome()
	told(w)
	o.s = New(o.options(), o, quiet{})
	if err := o.s.Begin(w); err != nil {
		o.t.Fatal(err)
	}
}

// A server may end after it has recorded that it is replaced and before the
// keeper has heard of it. It used to count as done, to whoever asked again too,
// and nothing was upgraded. Now each server after it gives the order, until the
// keeper has had it.
func TestAnUpgradeThatTheKeeperHasNotHadIsOrderedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "zinit-new")
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	plain := func(*keeper.Welcome) {}
	trial := func(w *keeper.Welcome) { w.Probation = true }
	for name, c := range map[string]struct {
		lost  int // servers that end before the keeper has heard of it
		after func(*keeper.Welcome)
		want  int
	}{
		"had at once":            {0, trial, 1},
		"had and given up":       {0, func(w *keeper.Welcome) { w.UpgradeFailed = "exit 1" }, 1},
		"had from the successor": {1, trial, 2},
		"had at the third time":  {2, trial, 3},
	} {
		t.Run(name, func(t *testing.T) {
			o := &ordered{sim: newSim(t, files{})}
			defer o.close()
			o.s.keeper = o
			by := Cause{Kind: "operator", Token: "once"}
			ask := func() {
				t.Helper()
				if err := o.s.Upgrade(file, by); err != nil {
					t.Fatal(err)
				}
			}
			ask()
			for range c.lost {
				o.next(plain)
				if got := o.s.Version().Upgrading; got != file {
					t.Errorf("while it is under way to %q the version tells of %q", file, got)
				}
				ask() // who has had no answer asks again, and moves nothing
				o.s.rewriteJournal()
				o.run()
			}
			o.next(c.after)
			ask()
			o.next(plain)
			if got := o.s.Version().Upgrading; got != "" || o.upgrades != c.want {
				t.Errorf("%d orders, want %d; the version tells of an upgrade to %q", o.upgrades, c.want, got)
			}
		})
	}
}

// An upgrade that comes to nothing while its server lives is told, and over: the
// file is gone when the order would be given again, or the keeper refuses it.
func TestAnUpgradeThatCannotBeOrderedIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zinit-new")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"gone", "refused"} {
		if err := os.Symlink(self, file); err != nil {
			t.Fatal(err)
		}
		o := &ordered{sim: newSim(t, files{})}
		o.s.keeper = o
		if err := o.s.Upgrade(file, Cause{Kind: "operator"}); err != nil {
			t.Fatal(err)
		}
		os.Remove(file)
		if how == "refused" {
			o.s.take(news{event: keeper.Event{Kind: keeper.Refused, Errno: unix.EMFILE}})
		} else {
			o.next(func(*keeper.Welcome) {})
		}
		if v := o.s.Version(); v.Upgrading != "" || v.UpgradeFailed == "" {
			t.Errorf("%s: the version tells of an upgrade to %q, given up: %q", how, v.Upgrading, v.UpgradeFailed)
		}
		o.next(func(*keeper.Welcome) {})
		if o.upgrades != 1 {
			t.Errorf("%s: ordered %d times", how, o.upgrades)
		}
		o.close()
	}
}
