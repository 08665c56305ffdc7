package supervisor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Upgrade replaces this server by the binary in a file: the keeper holds it, ends
// this process and starts that one, which takes over. When it does not come up the
// keeper goes back by itself. What can be seen beforehand is refused.
//
// What was decided is done: should this process end before the keeper has heard of
// it, its successor reads the path in the journal and gives the order.
func (s *Supervisor) Upgrade(path string, by Cause) error {
	by.Text = "upgrade"
	if s.decided(by) {
		return nil
	}
	fd, err := openUpgrade(path)
	if err != nil {
		return err
	}
	given := false
	err = s.decideBy(by, func(t *turn) error {
		if s.ending != nil {
			return refuse(ShuttingDown, "", "", "cannot upgrade: zinit is shutting down")
		}
		s.say(LevelInfo, "upgrading to %s (%s)", path, by)
		t.upgradeTo(path)
		t.act(func() {
			given, s.holding["upgrade"] = true, fd
			s.keeper.Upgrade(fd)
		})
		return nil
	})
	if !given {
		unix.Close(fd)
	}
	return err
}

// upgradeTo notes an upgrade under way, or with "" that none is any more.
func (t *turn) upgradeTo(path string) {
	s, was := t.s, t.s.upgrading
	t.undoes = append(t.undoes, func() { s.upgrading = was })
	s.upgrading = path
}

// upgradeAgain gives the order of an upgrade that a server before this one had
// decided and could not give.
func (s *Supervisor) upgradeAgain() {
	if err := s.Upgrade(s.Version().Upgrading, Cause{Kind: "takeover"}); err != nil {
		s.upgradeFailed(err.Error())
	}
}

// upgradeFailed ends an upgrade that has come to nothing while this server lives.
func (s *Supervisor) upgradeFailed(why string) {
	s.say(LevelError, "the upgrade was given up: %s", why)
	err := s.decide("the upgrade was given up", func(t *turn) error {
		s.upgrade = why
		if fd, ok := s.holding["upgrade"]; ok {
			unix.Close(fd)
			delete(s.holding, "upgrade")
		}
		t.upgradeTo("")
		return nil
	})
	if err != nil {
		s.soon(time.Second, func() { s.upgradeFailed(why) })
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
