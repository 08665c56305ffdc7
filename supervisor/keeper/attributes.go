package keeper

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attributes are what a run is started with besides program, directory and
// user. Each is a step or some steps of the child, so none costs a second exec.

// Bounds of the attributes, as the kernel has them.
const (
	maxCPUWords = 128 // 8192 processors, the most Linux can be built for
	maxCap      = 63  // capabilities are bits of 64
	maxPath     = unix.PathMax - 1
)

// attributesPossible judges what the kernel would bend or misread in place of
// refusing it: setpriority(2) clamps, ioprio_set(2) takes any bits.
func (s *Spawn) attributesPossible() bool {
	io := s.IONice
	return s.Nice >= -20 && s.Nice <= 19 && io.Class >= 0 && io.Class <= 3 && io.Level >= 0 && io.Level <= 7 &&
		(s.OOMScoreAdj == nil || *s.OOMScoreAdj >= -1000 && *s.OOMScoreAdj <= 1000) && len(s.CPUs) <= maxCPUWords &&
		len(s.TTY) <= maxPath && len(s.Cgroup) <= maxPath-len("/cgroup.procs")
}

// spare returns the lowest number that no descriptor has after the step files:
// 0, 1, 2 and what is kept are open, so the next one opened gets this number
// once it has been closed, whether or not close_range(2) did its work. A later
// step can therefore name what an earlier one has opened.
func (j *job) spare() int {
	fd := 3
	for fd == j.exe || fd == j.keep || j.extra >= 0 && fd == j.spawn.ReadyFD {
		fd++
	}
	return fd
}

// open opens a file, which becomes descriptor fd, the spare one.
func (s *slot) open(name, path string, flags, fd int) {
	cwd := unix.AT_FDCWD
	s.add(name, may, unix.SYS_CLOSE, uintptr(fd))
	s.add(name, mustNot, unix.SYS_OPENAT, uintptr(cwd), s.str(path), uintptr(flags|unix.O_CLOEXEC), 0)
}

// write writes text to a file of the kernel's, in one call.
func (s *slot) write(name, path, text string, fd int) {
	s.open(name, path, unix.O_WRONLY, fd)
	s.add(name, mustNot, unix.SYS_WRITE, uintptr(fd), s.str(text), uintptr(len(text)))
	s.add(name, may, unix.SYS_CLOSE, uintptr(fd))
}

// cgroup moves the child into its cgroup before it has cost anything, where
// the kernel has not started it there (clone3 with CLONE_INTO_CGROUP, since
// Linux 5.7). Source: cgroups(7).
func (j *job) cgroup(s *slot) {
	if j.spawn.Cgroup != "" && s.cgroup < 0 {
		s.write(stepCgroup, j.spawn.Cgroup+"/cgroup.procs", "0", j.spare())
	}
}

// openCgroup opens the cgroup of a run for clone3. It asks a file system of
// the kernel's only, which cannot hang. -1: there is none, or clone3 is not to
// be had and the child moves itself.
func (j *job) openCgroup() (fd int, errno syscall.Errno) {
	if j.spawn.Cgroup == "" || j.ignored == nil {
		return -1, 0
	}
	fd, err := unix.Open(j.spawn.Cgroup, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errnoOf(err)
	}
	return fd, 0
}

// terminal makes a terminal descriptors 0, 1 and 2 and the controlling one of
// the session that the child leads. It is opened without waiting for a carrier
// and then waits as usual. Another session that has it loses it, if we may do
// that: what the file says holds, as with every init. Source: ioctl_tty(2).
func (j *job) terminal(s *slot) {
	switch j.spawn.TTY {
	case "":
		return
	case OwnTTY: // it is in place
		s.add(stepTTY, may, unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
		return
	}
	fd := j.spare()
	s.open(stepTTY, j.spawn.TTY, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, fd)
	s.add(stepTTY, mustNot, unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL, unix.O_RDWR)
	for target := range uintptr(3) {
		s.add(stepTTY, mustNot, unix.SYS_DUP3, uintptr(fd), target, 0)
	}
	s.add(stepTTY, may, unix.SYS_CLOSE, uintptr(fd))
	s.add(stepTTY, mustNot, unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 1)
}

// priority is how much of processor and disk the child gets. A niceness of 0
// is ours to give whatever we have; where it is refused, ours is no other.
func (j *job) priority(s *slot) {
	p := j.spawn
	pass := mustNot
	if p.Nice == 0 {
		pass = may
	}
	s.add(stepNice, pass, unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(p.Nice))
	if p.IONice.Class != 0 { // IOPRIO_WHO_PROCESS; the class is above bit 13
		s.add(stepIONice, mustNot, unix.SYS_IOPRIO_SET, 1, 0, uintptr(p.IONice.Class<<13|p.IONice.Level))
	}
	if len(p.CPUs) > 0 {
		s.add(stepCPUs, mustNot, unix.SYS_SCHED_SETAFFINITY, 0, uintptr(8*len(p.CPUs)), s.words(p.CPUs...))
	}
}

// oomScore writes oom_score_adj, in a child whose memory is its own. Meanwhile that
// is dumpable, or only root could open the file. Source: proc(5).
func (j *job) oomScore(s *slot) {
	if j.ownMemory() {
		s.add(stepOOM, mustNot, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)
		s.write(stepOOM, "/proc/self/oom_score_adj", strconv.Itoa(j.spawn.oomScore(j.oom)), j.spare())
		s.add(stepOOM, mustNot, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	}
}

// unkillable is the oom_score_adj of those whom the kernel never ends for want
// of memory.
const unkillable = -1000

// oomScore is what a run is to have when the keeper has own. Any other value
// than unkillable is the container's wish for all that is in it (Kubernetes:
// -997 to 1000); that one protects a supervisor, and no service inherits it.
func (s *Spawn) oomScore(own int) int {
	switch {
	case s.OOMScoreAdj != nil:
		return *s.OOMScoreAdj
	case own == unkillable:
		return 0
	}
	return own
}

// ownMemory reports whether the run must not be started in our memory. The
// kernel keeps oom_score_adj the same for all processes that share memory: a
// child that writes its own before its exec writes ours, and that of every
// other child on its way (measured; __set_oom_adj in fs/proc/base.c spares
// only a vfork, which waits). Such a child is forked.
func (j *job) ownMemory() bool { return j.spawn.oomScore(j.oom) != j.oom }

// forked has the kernel tell when a child leaves that does not share our memory,
// for which it does not clear a word as for others: the word is, to the kernel, a
// robust futex that the child has locked, since it was born (CLONE_PARENT_SETTID)
// and with somebody waiting. It is unlocked by exec as by death. Source: robust_list(2).
func (j *job) forked(s *slot) {
	if s.forked = j.forks; !s.forked {
		return
	}
	_, entry := s.room(8)
	word := uintptr(unsafe.Pointer(&s.head.alive))
	head := s.words(uint64(entry), uint64(word-entry), 0)
	if entry != 0 {
		*(*uintptr)(unsafe.Pointer(&s.mem[entry-uintptr(unsafe.Pointer(&s.head))])) = head
	}
	s.add(stepOOM, mustNot, unix.SYS_SET_ROBUST_LIST, head, 24)
	s.add(stepOOM, mustNot, unix.SYS_FUTEX, word, futexOp, 0, 0, word, futexWaiters)
}

// ownOOMScore is the oom_score_adj of this process; 0 where it cannot be read.
func ownOOMScore() int {
	text, _ := os.ReadFile("/proc/self/oom_score_adj")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
