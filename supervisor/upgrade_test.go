package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
)

// ordered is a sim whose keeper is asked for upgrades, and hears of some.
type ordered struct {
	*sim
	upgrades int    // orders
	lost     int    // of them that are still to be lost
	had      uint64 // number of the last that was not
}

func newOrdered(t *testing.T, lost int) *ordered {
	o := &ordered{sim: newSim(t, files{}), lost: lost, had: 1}
	o.s.keeper = o
	return o
}

func (o *ordered) Upgrade(number uint64, _ int) {
	o.upgrades++
	if o.lost--; o.lost < 0 {
		o.had = number
	}
}

// next is a server that takes over what this one has left.
func (o *ordered) next(told func(*keeper.Welcome)) {
	o.t.Helper()
	w := o.welcome()
	w.Upgrade = o.had
	told(w)
	o.now++
	o.s = New(o.options(), o, quiet{})
	if err := o.s.Begin(w); err != nil {
		o.t.Fatal(err)
	}
}

// wants holds how often the keeper was asked, and what the version tells.
func (o *ordered) wants(orders int, upgrading, failed string) {
	o.t.Helper()
	if v := o.s.Version(); o.upgrades != orders || v.Upgrading != upgrading || v.UpgradeFailed != failed {
		o.t.Errorf("%d orders, want %d; the version tells of an upgrade to %q, want %q; given up: %q, want %q",
			o.upgrades, orders, v.Upgrading, upgrading, v.UpgradeFailed, failed)
	}
}

// serverFile is a file that can be a server.
func serverFile(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func plain(*keeper.Welcome) {}
func trial(w *keeper.Welcome) {
	w.Probation = true
}
func gaveUp(w *keeper.Welcome) { w.UpgradeFailed = "exit 1" }

// A server may end after it has recorded that it is replaced and before the
// keeper has heard of it. It used to count as done, to whoever asked again too,
// and nothing was upgraded. Now each server after it gives the order, until the
// keeper has had it. Whether it has is told by the upgrade's number: a server may be
// on trial because of an earlier upgrade, or because two before it failed and it is
// what the path leads to; that used to count as done, too.
func TestAnUpgradeThatTheKeeperHasNotHadIsOrderedAgain(t *testing.T) {
	unnumbered := func(f func(*keeper.Welcome)) func(*keeper.Welcome) {
		return func(w *keeper.Welcome) { f(w); w.Upgrade = 0 }
	}
	for name, c := range map[string]struct {
		lost   int                   // orders that the keeper does not hear of
		told   func(*keeper.Welcome) // to the servers after that
		after  func(*keeper.Welcome)
		want   int
		failed string
	}{
		"had at once":                           {0, nil, trial, 1, ""},
		"had and given up":                      {0, nil, gaveUp, 1, "exit 1"},
		"had from the successor":                {1, plain, trial, 2, ""},
		"had at the third time":                 {2, plain, trial, 3, ""},
		"had from a successor on trial":         {2, trial, trial, 3, ""},
		"had after one before it was given up":  {1, gaveUp, trial, 2, ""},
		"a keeper without numbers":              {0, nil, unnumbered(trial), 1, ""},
		"a keeper without numbers that gave up": {0, nil, unnumbered(gaveUp), 1, "exit 1"},
		"a keeper without numbers has not had":  {1, unnumbered(plain), unnumbered(trial), 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file, o := serverFile(t, "zinit-new"), newOrdered(t, c.lost)
			defer o.close()
			ask := func(failed string) {
				t.Helper()
				err := o.s.Upgrade(file, Cause{Kind: "operator", Token: "once"})
				if err == nil != (failed == "") || err != nil && !strings.Contains(err.Error(), failed) {
					t.Errorf("who asks again is told %v, want %q", err, failed)
				}
			}
			ask("")
			for n := range c.lost {
				o.next(c.told)
				o.wants(n+2, file, "")
				ask("") // who has had no answer asks again, and moves nothing
				o.s.rewriteJournal()
				o.run()
			}
			o.next(c.after)
			ask(c.failed)
			o.wants(c.want, "", c.failed)
			o.next(plain) // who was not there hears of it, too
			if err := o.s.Start([]string{"nobody"}, Cause{}, StartOptions{}); err == nil {
				t.Error("who is not there was started")
			}
			ask(c.failed)
			o.wants(c.want, "", c.failed)
			o.s.rewriteJournal()
			o.run()
			o.next(plain)
			o.wants(c.want, "", c.failed)
			if err := o.s.Upgrade(file, Cause{Kind: "operator", Token: "once more"}); err != nil {
				t.Error(err)
			}
			o.wants(c.want+1, file, "")
		})
	}
}

// An upgrade that comes to nothing while its server lives is told, and over: the
// file is gone when the order would be given again, or the keeper refuses it.
func TestAnUpgradeThatCannotBeOrderedIsGivenUp(t *testing.T) {
	for _, how := range []string{"gone", "refused"} {
		file, o := serverFile(t, "zinit-new"), newOrdered(t, 1)
		if err := o.s.Upgrade(file, Cause{Kind: "operator"}); err != nil {
			t.Fatal(err)
		}
		os.Remove(file)
		if how == "refused" {
			o.s.take(news{event: keeper.Event{Kind: keeper.Refused, Errno: unix.EMFILE}})
		} else {
			o.next(plain)
		}
		why := o.s.Version().UpgradeFailed
		if why == "" {
			t.Errorf("%s: nobody is told", how)
		}
		o.next(plain)
		o.next(func(w *keeper.Welcome) { w.Failures = poisonDecision })
		o.wants(1, "", why)
		o.close()
	}
}

// An upgrade that cannot be recorded is none, and takes nothing from the one before.
func TestAnUpgradeThatCannotBeRecordedIsRefused(t *testing.T) {
	file, o := serverFile(t, "zinit-new"), newOrdered(t, 0)
	defer o.close()
	ask := func() error { return o.s.Upgrade(file, Cause{Kind: "operator"}) }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	o.next(gaveUp)
	whole := o.s.journal
	o.s.journal = full
	if err := ask(); err == nil {
		t.Error("it was accepted")
	}
	o.s.journal = whole
	o.wants(1, "", "exit 1")
}

// Whose upgrade was had is not told that a later one was given up.
func TestAnUpgradeThatWasHadStaysHad(t *testing.T) {
	file, o := serverFile(t, "zinit-new"), newOrdered(t, 0)
	defer o.close()
	for _, c := range []struct {
		token string
		after func(*keeper.Welcome)
		told  bool
	}{{"first", trial, false}, {"second", gaveUp, true}} {
		by := Cause{Kind: "operator", Token: c.token}
		if err := o.s.Upgrade(file, by); err != nil {
			t.Fatal(err)
		}
		o.next(c.after)
		if err := o.s.Upgrade(file, by); (err != nil) != c.told {
			t.Errorf("who asked for the %s is told %v", c.token, err)
		}
	}
	if err := o.s.Upgrade(file, Cause{Kind: "operator", Token: "first"}); err != nil {
		t.Errorf("who asked for the first is told %v", err)
	}
	o.wants(2, "", "exit 1")
}

// An upgrade that is no use any more, or that was decided right before servers could
// not start any more, is not done; who waits for it hears that.
func TestAnUpgradeThatIsNotDoneIsTold(t *testing.T) {
	for why, c := range map[string]struct {
		failures int
		again    bool // the token is known no more
	}{
		"zinit is shutting down":                          {0, false},
		"5 servers in a row ended before they were ready": {5, true},
		"6 servers in a row ended before they were ready": {6, true},
	} {
		file, o := serverFile(t, "zinit-new"), newOrdered(t, 1)
		by := Cause{Kind: "operator", Token: "once"}
		if err := o.s.Upgrade(file, by); err != nil {
			t.Fatal(err)
		}
		if c.failures == 0 {
			if err := o.s.Shutdown("shutdown", Cause{Kind: "operator"}); err != nil {
				t.Fatal(err)
			}
		}
		o.next(func(w *keeper.Welcome) { w.Failures = c.failures })
		o.wants(1, "", why)
		if err := o.s.Upgrade(file, by); (err == nil) != c.again {
			t.Errorf("%s: who asks again is told %v", why, err)
		}
		if c.again {
			o.wants(2, file, "")
		}
		o.close()
	}
}

// While an upgrade is about to be ordered again another one is asked for: that one
// is the last word, whatever becomes of the first.
func TestAnUpgradeIsNotOrderedAgainAfterAnother(t *testing.T) {
	for _, gone := range []bool{false, true} {
		first, second := serverFile(t, "first"), serverFile(t, "second")
		o := newOrdered(t, 1)
		if err := o.s.Upgrade(first, Cause{Kind: "operator"}); err != nil {
			t.Fatal(err)
		}
		var aside []func()
		o.change = func(opt *Options) { opt.Aside = func(f func()) { aside = append(aside, f) } }
		o.next(plain)
		if err := o.s.Upgrade(second, Cause{Kind: "operator"}); err != nil {
			t.Fatal(err)
		}
		if gone {
			os.Remove(first)
		}
		for _, f := range aside {
			f()
		}
		o.wants(2, second, "")
		o.next(trial)
		o.wants(2, "", "")
		o.close()
	}
}
