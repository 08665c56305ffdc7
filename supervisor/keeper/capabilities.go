package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// What a run may keep of our capabilities, in the order that capabilities(7)
// demands:
//
//  1. what is not kept leaves the bounding set, while we have CAP_SETPCAP; no
//     exec gives it back, setuid root or not;
//  2. PR_SET_KEEPCAPS, for the change of user would clear the permitted set;
//  3. groups, group, user;
//  4. capset: permitted and effective are what is kept, for others than root
//     inheritable too, without which there is no ambient one;
//  5. the ambient set, the only one that lasts over the exec of a plain
//     program by somebody else than root. Root needs none: it gets the
//     bounding set at every exec.
//
// The change of user has cleared the effective set, and what is asked for and
// cannot be given is EPERM of step 4.
//
// A user who has no capability at all, and is to keep none, cannot do step 1 and
// need not: what is still in the bounding set is there for programs with a setuid bit
// or capabilities of their own, and no_new_privileges keeps those from it.

// bound takes what is not kept out of the bounding set, as far as it is there.
func (j *job) bound(s *slot) {
	if j.spawn.Caps == nil || j.bare() {
		return
	}
	for n := range maxCap + 1 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil {
			break // the kernel knows no more
		}
		if has == 1 && *j.spawn.Caps&(1<<n) == 0 {
			s.add(stepCaps, mustNot, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0)
		}
	}
	s.add(stepCaps, mustNot, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
}

// bare reports whether nothing is to be kept by a user who has nothing.
func (j *job) bare() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return j.spawn.Caps != nil && *j.spawn.Caps == 0 && os.Geteuid() != 0 &&
		unix.Capget(&header, &data[0]) == nil && data[0].Permitted|data[1].Permitted == 0
}

// keepCaps makes the kept capabilities all that the child has.
func (j *job) keepCaps(s *slot) {
	if j.spawn.Caps == nil {
		return
	}
	keep, inherit := *j.spawn.Caps, *j.spawn.Caps
	root := os.Geteuid() == 0
	if c := j.spawn.Cred; c != nil {
		root = c.UID == 0
	}
	if root {
		inherit = 0
	}
	const low = 1<<32 - 1
	// struct __user_cap_data_struct[2]: effective, permitted, inheritable.
	data := s.words(keep&low|keep<<32, inherit&low|keep>>32<<32, keep>>32|inherit>>32<<32)
	s.add(stepCaps, mustNot, unix.SYS_CAPSET, s.words(unix.LINUX_CAPABILITY_VERSION_3), data)
	for n := range maxCap + 1 {
		if inherit&(1<<n) != 0 {
			s.add(stepCaps, mustNot, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0)
		}
	}
}

// confine keeps programs of the run from gaining what it has not got, by
// setuid bits or capabilities of files. It needs no privilege.
func (j *job) confine(s *slot) {
	if j.spawn.NoNewPrivs || j.bare() {
		s.add(stepNoNewPrivs, mustNot, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
}
