package keeper

import (
	"encoding/binary"
	"math"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The names of the steps, as Event.Step tells them.
const (
	stepMessage = "message" // what is asked for cannot be: refused before any process existed
	stepPipe    = "pipe"
	stepClone   = "clone"
	stepSignals = "signals"
	stepSession = "setsid"
	stepFiles   = "files"
	stepLimit   = "limit"
	stepUmask   = "umask"
	stepNice    = "nice"
	stepIONice  = "ionice"
	stepCPUs    = "cpus"
	stepOOM     = "oom_score_adj"
	stepCgroup  = "cgroup"
	stepTTY     = "tty"
	stepCaps    = "capabilities"
	stepChroot  = "chroot"
	stepGroups  = "setgroups"
	stepGID     = "setgid"
	stepUID     = "setuid"
	stepDir     = "chdir"
	stepExec    = "exec"

	stepNoNewPrivs = "no_new_privileges"
)

const (
	mustNot = uint64(0)  // pass: no errno does
	may     = ^uint64(0) // pass: every errno does
	// next passes what sends execve(2) on to the next candidate.
	next = 1<<unix.ENOENT | 1<<unix.ENOTDIR | 1<<unix.EACCES
)

// job is a spawn with all it needs from the keeper: the descriptors that the
// child finds as its 0, 1, 2 and ReadyFD, and for a server the binary.
type job struct {
	spawn *Spawn
	stdio [3]int
	extra int // becomes descriptor spawn.ReadyFD; -1: none
	exe   int // executed before spawn.Paths are tried; -1: none; a server's
	keep  int // stays open until the exec; -1: none

	nofileHard uint64    // the keeper's
	room       int       // descriptors that a server is about to be given; 0: none
	ignored    []uintptr // signals that the keeper ignores; nil: clone3 is not to be had
	oom        int       // the keeper's oom_score_adj
	forks      bool      // the child gets memory of its own: see forked
}

// possible says whether the job can be put into words at all.
func (j *job) possible() bool {
	s := j.spawn
	return s.Tag != "" && len(s.Argv) > 0 && (len(s.Paths) > 0 || j.exe >= 0) &&
		(s.ReadyFD == 0 || s.ReadyFD > 2 && s.ReadyFD < 1<<20) && s.AtExit >= 0 && s.AtExit <= 64 && s.Umask <= 0o777 &&
		s.attributesPossible()
}

// prepare writes the job into the slot: all that happens between clone and
// exec, in this order. It reports EINVAL or E2BIG for what cannot be said.
func (j *job) prepare(s *slot) syscall.Errno {
	if !j.possible() {
		return syscall.EINVAL
	}
	j.ownTable(s)
	j.forked(s)
	j.files(s)
	j.signalsToDefault(s)
	s.add(stepSession, mustNot, unix.SYS_SETSID)
	// What opens files comes before limits, another root and another user.
	j.cgroup(s)
	j.terminal(s)
	j.oomScore(s)
	j.limits(s)
	j.priority(s)
	j.surroundings(s)
	j.bound(s)
	j.credentials(s)
	j.keepCaps(s)
	// The directory is entered by who will work in it.
	dir := j.spawn.Dir
	if dir == "" {
		dir = "/"
	}
	s.add(stepDir, mustNot, unix.SYS_CHDIR, s.str(dir))
	j.confine(s)
	s.add(stepSignals, mustNot, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, s.words(0), 0, 8)
	j.makeRoom(s)
	j.execs(s)
	if s.full {
		return syscall.E2BIG
	}
	return 0
}

// signalsToDefault undoes Go's handlers, which must not run in the child, and
// what the keeper was told to ignore. With clone3 the kernel does the former.
func (j *job) signalsToDefault(s *slot) {
	zero := s.words(0, 0, 0, 0)
	s.clears = j.ignored != nil
	list := j.ignored
	if !s.clears {
		list = catchable()
	}
	for _, sig := range list {
		s.add(stepSignals, mustNot, unix.SYS_RT_SIGACTION, sig, zero, 0, 8)
	}
}

// catchable lists all signals but KILL and STOP, which have nothing to undo.
func catchable() (list []uintptr) {
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig != uintptr(unix.SIGKILL) && sig != uintptr(unix.SIGSTOP) {
			list = append(list, sig)
		}
	}
	return list
}

// ignoredSignals lists what this process ignores, never nil; nil where
// clone3 with CLONE_CLEAR_SIGHAND, since Linux 5.5, is not to be had.
func ignoredSignals() []uintptr {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); errno != syscall.EINVAL {
		return nil
	}
	list := []uintptr{}
	for _, sig := range catchable() {
		var action [4]uintptr
		_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&action)), 8, 0, 0)
		if errno != 0 || action[0] == 1 { // SIG_IGN
			list = append(list, sig)
		}
	}
	return list
}

// ownTable gives the child a table of descriptors of its own, without the
// thousands that the keeper holds above heldFrom: copying and closing those
// would cost more than all else. Where close_range(2) does not exist (before
// Linux 5.9) or is not allowed, clone makes a copy and that is the price.
func (j *job) ownTable(s *slot) {
	if s.sharing = unix.CloseRange(math.MaxUint32, math.MaxUint32, 0) == nil; !s.sharing {
		return
	}
	above := max(heldFrom, j.stdio[0]+1, j.stdio[1]+1, j.stdio[2]+1, j.extra+1, j.exe+1, j.keep+1)
	s.add(stepFiles, mustNot, unix.SYS_CLOSE_RANGE, uintptr(above), math.MaxUint32, unix.CLOSE_RANGE_UNSHARE)
}

// files puts the descriptors into place, lowest first. A target never
// overwrites what a later one needs: the keeper's own are above 2, and the
// only target above 2 comes last. The rest is closed at once, because an exec
// may hang, and what it held would look open to those who wait for its end.
func (j *job) files(s *slot) {
	for target, fd := range j.stdio {
		s.file(fd, target)
	}
	kept := []int{j.exe, j.keep}
	if j.extra >= 0 && j.spawn.ReadyFD > 0 {
		s.file(j.extra, j.spawn.ReadyFD)
		kept = append(kept, j.spawn.ReadyFD)
	}
	slices.Sort(kept)
	from := 3
	for _, fd := range kept {
		if fd > from {
			s.add(stepFiles, may, unix.SYS_CLOSE_RANGE, uintptr(from), uintptr(fd-1), 0)
		}
		from = max(from, fd+1)
	}
	s.add(stepFiles, may, unix.SYS_CLOSE_RANGE, uintptr(from), math.MaxUint32, 0)
}

func (s *slot) file(fd, target int) {
	if fd == target { // dup3 refuses this
		s.add(stepFiles, mustNot, unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, 0)
		return
	}
	s.add(stepFiles, mustNot, unix.SYS_DUP3, uintptr(fd), uintptr(target), 0)
}

// makeRoom widens a server's table of descriptors while its process has one
// thread: with more, each doubling waits for a grace period of the kernel,
// together half of the time of a takeover (measured).
func (j *job) makeRoom(s *slot) {
	if j.room > 0 {
		s.add(stepFiles, may, unix.SYS_DUP3, 0, uintptr(j.room), unix.O_CLOEXEC)
	}
}

// limits sets the resource limits. Go has raised the keeper's soft number of
// descriptors; a program that never asked for many must not be given them,
// because select(2) takes 1024.
func (j *job) limits(s *slot) {
	list := j.spawn.Limits
	if !slices.ContainsFunc(list, func(l Limit) bool { return l.Resource == unix.RLIMIT_NOFILE }) {
		s.limit(Limit{unix.RLIMIT_NOFILE, min(1024, j.nofileHard), j.nofileHard})
	}
	for _, l := range list {
		s.limit(l)
	}
}

func (s *slot) limit(l Limit) {
	s.add(stepLimit, mustNot, unix.SYS_PRLIMIT64, 0, uintptr(l.Resource), s.words(l.Soft, l.Hard), 0)
}

// surroundings undoes what the keeper inherited and confines the child.
func (j *job) surroundings(s *slot) {
	mask := j.spawn.Umask
	if mask < 0 {
		mask = 0o022
	}
	s.add(stepUmask, mustNot, unix.SYS_UMASK, uintptr(mask))
	if j.exe >= 0 { // see calmMonitor; what is to be precise there is no sleep
		s.add(stepNice, may, unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, slack)
	}
	if root := j.spawn.Chroot; root != "" {
		s.add(stepChroot, mustNot, unix.SYS_CHROOT, s.str(root))
		s.add(stepChroot, mustNot, unix.SYS_CHDIR, s.str("/"))
	}
}

// credentials go last of what needs privilege: groups, group, user.
func (j *job) credentials(s *slot) {
	c := j.spawn.Cred
	if c == nil {
		return
	}
	p, at := s.room(4 * len(c.Groups))
	for i, g := range c.Groups[:len(p)/4] { // without room it is all in vain
		binary.NativeEndian.PutUint32(p[4*i:], g)
	}
	gid, uid := uintptr(c.GID), uintptr(c.UID)
	s.add(stepGroups, mustNot, unix.SYS_SETGROUPS, uintptr(len(c.Groups)), at)
	s.add(stepGID, mustNot, unix.SYS_SETRESGID, gid, gid, gid)
	s.add(stepUID, mustNot, unix.SYS_SETRESUID, uid, uid, uid)
}

// execs tries the binary, then each path.
func (j *job) execs(s *slot) {
	argv, env := s.strs(j.spawn.Argv), s.strs(j.spawn.Env)
	if j.exe >= 0 {
		s.add(stepExec, next, unix.SYS_EXECVEAT, uintptr(j.exe), s.str(""), argv, env, unix.AT_EMPTY_PATH)
	}
	for _, path := range j.spawn.Paths {
		s.add(stepExec, next, unix.SYS_EXECVE, s.str(path), argv, env)
	}
}
