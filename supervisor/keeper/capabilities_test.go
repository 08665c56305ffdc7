package keeper

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asUser runs the test again as a user with these capabilities; it reports whether
// this is not yet the one.
func asUser(t *testing.T, caps ...uintptr) (again bool) {
	if os.Getuid() != 0 {
		return false
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env, cmd.Dir = append(os.Environ(), "TMPDIR=/tmp", "GOCOVERDIR="), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "PASS") {
		t.Errorf("as a user: %v\n%s", err, out)
	}
	return true
}

// A user who has no capability has nothing to drop: what is to keep none starts, and
// no program of it gains any. To keep one that the user has not is refused.
func TestWhoHasNoCapabilityKeepsNone(t *testing.T) {
	if asUser(t) {
		return
	}
	s := show()
	s.Caps = pointer(uint64(0))
	bothWays(t, s, func(t *testing.T, r result) {
		for _, want := range []string{"CapInh 0000000000000000\nCapPrm 0000000000000000\nCapEff 0000000000000000\n", "NoNewPrivs 1\n"} {
			if r.errno != 0 || !strings.Contains(r.out, want) {
				t.Errorf("%s %v: the child has\n%s\nwant %s", r.step, r.errno, r.out, want)
			}
		}
	})
	s.Caps = pointer(uint64(1 << unix.CAP_NET_BIND_SERVICE))
	bothWays(t, s, refusedCaps)
}

// A user who has one and cannot take it out of the bounding set is refused still.
func TestWhoHasACapabilityCannotDropItWithoutSetpcap(t *testing.T) {
	if os.Getenv("KEEPER_TEST_CAPABLE") == "" {
		needRoot(t)
		t.Setenv("KEEPER_TEST_CAPABLE", "1")
		asUser(t, unix.CAP_NET_BIND_SERVICE)
		return
	}
	s := show()
	s.Caps = pointer(uint64(0))
	bothWays(t, s, refusedCaps)
}

func refusedCaps(t *testing.T, r result) {
	if r.step != stepCaps || r.errno != unix.EPERM {
		t.Errorf("failed at %q with %v, want %q with EPERM; it says %s", r.step, r.errno, stepCaps, r.out)
	}
}
