package supervisor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
)

// upgrade is the last one that was decided.
type upgrade struct {
	path   string // of the binary, while it is under way; "": it is over
	number uint64 // by which the keeper knows it: when it was decided, as its token says too; 0: there was none
	failed string // why it was given up; "": it was not
}

func (u upgrade) encode(e *journal.Encoder) {
	e.String(frameUpgrade, u.path)
	e.Uint(frameNumber, u.number)
	e.String(frameFailed, u.failed)
}

// Upgrade replaces this server by the binary in a file: the keeper holds it, ends
// this process and starts that one, which takes over. When it does not come up the
// keeper goes back by itself. What can be seen beforehand is refused, and so is who
// asks again for what was given up.
//
// What was decided is done: should this process end before the keeper has heard of
// it, its successor reads the path in the journal and gives the order.
func (s *Supervisor) Upgrade(path string, by Cause) error {
	by.Text = "upgrade"
	if s.decided(by) {
		return s.givenUp(by.Token)
	}
	return s.orderUpgrade(upgrade{path: path}, by)
}

// givenUp is the refusal of an upgrade that came to nothing.
func (s *Supervisor) givenUp(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.upgrade; u.failed != "" && u.number == uint64(s.tokens.at[token]) {
		return refuse(GivenUp, "", "the server before it runs again, and services felt nothing", "the upgrade was given up: %s", u.failed)
	}
	return nil
}

// orderUpgrade decides an upgrade, or with a number gives the order of one that was
// decided and is still the last.
func (s *Supervisor) orderUpgrade(u upgrade, by Cause) error {
	fd, err := openUpgrade(u.path)
	if err != nil {
		return err
	}
	given := false
	err = s.decideBy(by, func(t *turn) error {
		switch {
		case s.ending != nil:
			return refuse(ShuttingDown, "", "", "cannot upgrade: zinit is shutting down")
		case u.number == 0:
			u.number = uint64(t.mono)
		case u != s.upgrade:
			return errKnown
		}
		s.say(LevelInfo, "upgrading to %s (%s)", u.path, by)
		s.upgrade = u
		t.act(func() {
			given, s.holding["upgrade"] = true, fd
			s.keeper.Upgrade(u.number, fd)
		})
		return nil
	})
	if !given {
		unix.Close(fd)
	}
	return err
}

// reconcileUpgrade notes what became of an upgrade while there was no server to see
// it: it is had, or given up, or still to be ordered.
func (t *turn) reconcileUpgrade(w *keeper.Welcome) {
	u := t.s.upgrade
	had := w.Upgrade >= u.number
	if w.Upgrade == 0 || u.number == 0 { // a keeper, or a server, before there were numbers
		had = w.Probation || w.UpgradeFailed != ""
	}
	why := w.UpgradeFailed
	switch {
	case u.path == "" || had:
	case t.s.ending != nil:
		why = "zinit is shutting down"
	case w.Failures >= poisonDecision:
		why = fmt.Sprintf("%d servers in a row ended before they were ready", w.Failures)
	default:
		return
	}
	if u.path = ""; why != "" {
		u.failed = why
		t.act(func() { t.s.say(LevelError, "the upgrade was given up: %s", why) })
	}
	t.s.upgrade = u
}

// upgradeAgain gives the order of an upgrade that a server before this one had
// decided and could not give.
func (s *Supervisor) upgradeAgain(u upgrade) {
	if err := s.orderUpgrade(u, Cause{Kind: "takeover", Text: "upgrade"}); err != nil {
		s.upgradeFailed(err.Error(), u.number)
	}
}

// upgradeFailed ends an upgrade that has come to nothing while this server lives, if
// it is still the last; number 0 is the last.
func (s *Supervisor) upgradeFailed(why string, number uint64) {
	s.say(LevelError, "the upgrade was given up: %s", why)
	err := s.decide("the upgrade was given up", func(t *turn) error {
		last := s.upgrade.number
		if number != 0 && number != last {
			return nil
		}
		if fd, ok := s.holding["upgrade"]; ok {
			unix.Close(fd)
			delete(s.holding, "upgrade")
		}
		s.upgrade = upgrade{number: last, failed: why}
		return nil
	})
	if err != nil {
		s.soon(time.Second, func() { s.upgradeFailed(why, number) })
	}
}

// openUpgrade opens a binary that can be a server on this machine.
func openUpgrade(path string) (fd int, err error) {
	if !filepath.IsAbs(path) {
		return -1, refuse(Invalid, "", "", "cannot upgrade to %q: give an absolute path", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, refuse(Invalid, "", "the running server goes on", "cannot upgrade: %v", err)
	}
	defer f.Close()
	if err := executable(f); err != nil {
		return -1, refuse(Invalid, "", "the running server goes on", "cannot upgrade to %s: %v", path, err)
	}
	if fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return -1, refuse(Unrecorded, "", "", "cannot upgrade: %v", err)
	}
	return fd, nil
}

// executable refuses a file that cannot be a server on this machine.
func executable(f *os.File) error {
	st, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("it is no file")
	case st.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("it is not executable; chmod +x it")
	}
	head := make([]byte, 20)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	if string(head[:4]) != elfMagic {
		return fmt.Errorf("it is no ELF program")
	}
	if machine := elfMachine(uint16(head[18]) | uint16(head[19])<<8); machine != machines[runtime.GOARCH] {
		return fmt.Errorf("it is for another machine (%s)", machine)
	}
	return nil
}
