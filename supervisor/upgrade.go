package supervisor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Upgrade replaces this server by the binary in a file: the keeper holds it, ends
// this process and starts that one, which takes over. When it does not come up the
// keeper goes back by itself. What can be seen beforehand is refused.
func (s *Supervisor) Upgrade(path string, by Cause) error {
	by.Text = "upgrade"
	if s.decided(by) {
		return nil
	}
	if !filepath.IsAbs(path) {
		return refuse(Invalid, "", "", "cannot upgrade to %q: give an absolute path", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return refuse(Invalid, "", "the running server goes on", "cannot upgrade: %v", err)
	}
	defer f.Close()
	if err := executable(f); err != nil {
		return refuse(Invalid, "", "the running server goes on", "cannot upgrade to %s: %v", path, err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return refuse(Unrecorded, "", "", "cannot upgrade: %v", err)
	}
	given := false
	err = s.decideBy(by, func(t *turn) error {
		if s.ending != nil {
			return refuse(ShuttingDown, "", "", "cannot upgrade: zinit is shutting down")
		}
		s.say(LevelInfo, "upgrading to %s (%s)", path, by)
		t.act(func() {
			given = true
			s.keeper.Upgrade(fd)
		})
		return nil
	})
	if !given {
		unix.Close(fd)
	}
	return err
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
