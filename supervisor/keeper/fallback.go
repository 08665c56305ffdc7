package keeper

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where clone with shared memory is refused, and for a processor it is not written
// for, a child is forked by Go's own means and becomes the exec-steps applet: our
// binary again, which makes the same steps and reports through a pipe that its last
// exec closes.

// What exec-steps finds: 0, 1 and 2 are in place already.
const (
	stepsFD  = 3 // the encoded Spawn
	reportFD = 4
	extraFD  = 5
	exeFD    = 6 // a server's binary
)

// forkSteps starts a child on the job and returns where it reports.
func forkSteps(j *job) (pid, report int, errno syscall.Errno) {
	steps, err := unix.MemfdCreate("steps", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, 0, errnoOf(err)
	}
	defer unix.Close(steps)
	var e encoder
	e.spawn(j.spawn)
	if _, err := unix.Pwrite(steps, e.b, 0); err != nil {
		return 0, 0, errnoOf(err)
	}
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_CLOEXEC); err != nil {
		return 0, 0, errnoOf(err)
	}
	defer unix.Close(pair[1])
	// -1 is closed there.
	files := []uintptr{uintptr(j.stdio[0]), uintptr(j.stdio[1]), uintptr(j.stdio[2]), uintptr(steps), uintptr(pair[1]), uintptr(j.extra), uintptr(j.exe)}
	argv := []string{"zinit", "exec-steps", strconv.FormatUint(j.nofileHard, 10)}
	if j.exe >= 0 {
		argv = append(argv, "binary")
	}
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Files: files})
	if err != nil {
		unix.Close(pair[0])
		return 0, 0, errnoOf(err)
	}
	_ = unix.SetNonblock(pair[0], true)
	return pid, pair[0], 0
}

// watchReport waits for the end of e's exec, without a thread.
func (k *keeper) watchReport(e *entry, fd int) {
	file := os.NewFile(uintptr(fd), "report")
	defer file.Close()
	conn, _ := file.SyscallConn()
	_ = conn.Read(func(uintptr) (over bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		over = k.readReport(e)
		k.flush()
		return over
	})
}

// readReport notes what e's child reported: nothing but the end, when its
// program runs. It reports false when the child is still on its way. Lock held.
func (k *keeper) readReport(e *entry) (over bool) {
	if e.report == 0 {
		return true
	}
	var text [64]byte
	n, err := unix.Read(int(e.report), text[:])
	if err == unix.EAGAIN {
		return false
	}
	e.report = 0
	number, step, _ := strings.Cut(string(text[:max(n, 0)]), " ")
	errno, _ := strconv.Atoi(number)
	k.decide(e, step, syscall.Errno(errno))
	return true
}

// ExecSteps is the exec-steps applet. It returns only when a step has failed.
// args begin with its name. It is nothing to be called by hand.
func ExecSteps(args []string) int {
	runtime.LockOSThread()
	report := reportFD
	step, errno := execSteps(args, &report)
	text := strconv.Itoa(int(errno)) + " " + step
	_, _ = unix.Write(report, []byte(text))
	return 127
}

// execSteps prepares the steps that it finds and makes them. It moves the
// report out of the way of ReadyFD.
func execSteps(args []string, report *int) (step string, errno syscall.Errno) {
	for fd := stepsFD; fd <= exeFD; fd++ {
		unix.CloseOnExec(fd)
	}
	text := make([]byte, maxSpawn)
	n, err := unix.Pread(stepsFD, text, 0)
	d := decoder{b: text[:max(n, 0)]}
	var s Spawn
	d.spawn(&s)
	if err != nil || d.bad || len(args) < 2 {
		return stepMessage, syscall.EINVAL
	}
	for *report == reportFD || *report == s.ReadyFD {
		if *report, err = unix.FcntlInt(reportFD, unix.F_DUPFD_CLOEXEC, exeFD+1); err != nil {
			*report = reportFD
			return stepFiles, errnoOf(err)
		}
	}
	hard, _ := strconv.ParseUint(args[1], 10, 64)
	j := job{spawn: &s, stdio: [3]int{0, 1, 2}, extra: -1, exe: -1, keep: *report, nofileHard: hard,
		oom: ownOOMScore()}
	if s.ReadyFD > 0 {
		j.extra = extraFD
	}
	if len(args) > 2 {
		j.exe = exeFD
	}
	arena, err := newArena()
	if err != nil {
		return stepMessage, errnoOf(err)
	}
	slot := arena.take()
	if errno := j.prepare(slot); errno != 0 {
		return stepMessage, errno
	}
	return slot.walk()
}

// walk makes the steps as the assembly does. The thread must be locked.
func (s *slot) walk() (step string, errno syscall.Errno) {
	for i := range s.n {
		st := &s.steps[i]
		a := &st.args
		s.head.at = uint32(i)
		_, _, errno := syscall.RawSyscall6(st.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno == 0 {
			continue
		}
		st.got = uintptr(errno)
		s.head.errno = uint32(errno)
		if st.pass&(1<<(uint64(errno)&63)) == 0 {
			break
		}
	}
	return s.verdict()
}
