package applets_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// box is a container without a container engine: fresh namespaces and a root
// directory that holds zinit, the witness, service files and /proc, and
// nothing else: no shell, no /etc/passwd, no /tmp. zinit is PID 1 in it.
// The witness writes to /w, which is a mount of its own.
type box struct {
	*bed
	boxed
	files []*os.File // standard streams; nil is a closed one
	tty   bool       // the first of them is PID 1's controlling terminal, as of docker run -t
	init  *os.Process
	ended chan *os.ProcessState
}

// boxed is what the process that will be PID 1 does before it executes zinit.
type boxed struct {
	Root     string
	Path     string // what is executed, in the box
	Args     []string
	Env      []string
	Close    []int // descriptors
	ReadOnly bool
	NoProc   bool
	Dirty    bool // in the state that a careless parent leaves, see soil
}

// boxVar tells the test program to be the beginning of a box.
const boxVar = "ZINIT_TEST_BOX"

// enterBox makes the mounts, moves in and becomes zinit. It is called in the
// new namespaces, by TestMain, and does not return without an error.
func enterBox(text string) error {
	var x boxed
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		return err
	}
	if err := x.mount(); err != nil {
		return err
	}
	if err := errors.Join(unix.Chroot(x.Root), unix.Chdir("/")); err != nil {
		return err
	}
	for _, fd := range x.Close {
		unix.Close(fd)
	}
	if x.Dirty {
		runtime.LockOSThread()
		if err := soil(); err != nil {
			return err
		}
		x.Env = append(x.Env, "LISTEN_FDS=3", "LISTEN_PID=1", "NOTIFY_SOCKET=/w/nobody")
	}
	return unix.Exec(x.Path, x.Args, x.Env)
}

// soil puts this thread and process into the state of scenario 50.
func soil() error {
	for range 50 {
		fd, err := unix.Dup(2)
		if err != nil {
			return err
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	ignore := [4]uintptr{1}
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGPIPE} {
		if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0); errno != 0 {
			return errno
		}
	}
	blocked := unix.Sigset_t{}
	blocked.Val[0] = 1 << (unix.SIGTERM - 1)
	unix.Umask(0o077)
	return errors.Join(
		unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil),
		unix.Setpriority(unix.PRIO_PROCESS, 0, 5),
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 4096}),
	)
}

func (x *boxed) mount() error {
	in := func(name string) string { return filepath.Join(x.Root, name) }
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private: %w", err)
	}
	if err := unix.Mount(x.Root, x.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := unix.Mount(x.Root+".w", in("w"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /w: %w", err)
	}
	if !x.NoProc {
		if err := unix.Mount("proc", in("proc"), "proc", 0, ""); err != nil {
			return fmt.Errorf("/proc: %w", err)
		}
	}
	if !x.ReadOnly {
		return nil
	}
	return unix.Mount("", x.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func newBox(t *testing.T) *box {
	t.Helper()
	wantNamespaces(t)
	dir, err := os.MkdirTemp("", "zc")
	if err != nil {
		t.Fatal(err)
	}
	x := &box{boxed: boxed{
		Root: dir, Path: "/sbin/zinit", Args: []string{"/sbin/init"},
		Env: []string{"WIT=/w/wit.log", "PATH=/bin"},
	}}
	x.bed = &bed{
		t: t, dir: dir, etc: filepath.Join(dir, "etc", "zinit"), wit: filepath.Join(dir+".w", "wit.log"),
		sock: filepath.Join(dir, "run", "zinit.sock"), said: &said{},
	}
	if err := x.furnish(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.remove()
		if t.Failed() {
			x.tell(t)
		}
		os.RemoveAll(dir)
		os.RemoveAll(dir + ".w")
	})
	return x
}

// furnish fills the root directory. What holds for a container holds here:
// everybody may enter it.
func (x *box) furnish() error {
	for _, d := range []string{"", "etc/zinit/services", "etc/zinit/targets", "sbin", "bin", "dev", "proc", "w"} {
		if err := os.MkdirAll(filepath.Join(x.Root, d), 0o755); err != nil {
			return err
		}
	}
	for to, from := range map[string]string{"sbin/zinit": "zinit-static", "bin/wit": "wit"} {
		if err := copyProgram(filepath.Join(x.Root, to), filepath.Join(built, from)); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Mkdir(x.Root+".w", 0o777),
		os.Chmod(x.Root, 0o755), os.Chmod(x.Root+".w", 0o777), emptyWit(x.wit),
		// A device node takes a privilege that a user namespace does not have.
		os.WriteFile(filepath.Join(x.Root, "dev", "null"), nil, 0o666),
		os.Chmod(filepath.Join(x.Root, "dev", "null"), 0o666),
	)
}

// emptyWit makes a witness file that services of any user can append to.
func emptyWit(name string) error {
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		return err
	}
	return os.Chmod(name, 0o666)
}

func copyProgram(to, from string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// runs starts zinit as PID 1. Standard streams are x.files; where that is
// unset, output is collected in said.
func (x *box) runs() {
	if x.files == nil {
		x.files = x.collected()
	}
	files := slices.Clone(x.files)
	for fd, f := range files {
		if f == nil {
			x.Close = append(x.Close, fd)
		}
	}
	text, err := json.Marshal(x.boxed)
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	sys := namespaces()
	sys.Setctty = x.tty
	p, err := os.StartProcess("/proc/self/exe", []string{"box"}, &os.ProcAttr{
		Env: []string{boxVar + "=" + string(text)}, Files: files, Sys: sys,
	})
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	x.init, x.ended = p, make(chan *os.ProcessState, 1)
	go func() {
		st, _ := p.Wait()
		x.ended <- st
	}()
	x.await("zinit to be PID 1", func() error {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid)); !strings.HasSuffix(exe, x.Path) {
			if len(x.ended) > 0 {
				return nil // it was
			}
			return fmt.Errorf("it is %q", exe)
		}
		return nil
	})
	x.ns, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.Pid))
}

// collected are /dev/null and a pipe that said reads.
func (x *box) collected() []*os.File {
	null, err := os.Open(os.DevNull)
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		x.t.Fatalf("%v", err)
	}
	go func() {
		defer r.Close()
		_, _ = x.said.readFrom(r)
	}()
	x.t.(*testing.T).Cleanup(func() { null.Close(); w.Close() })
	return []*os.File{null, w, w}
}

// remove ends PID 1, and with it everything in its namespace.
func (x *box) remove() {
	if x.init == nil {
		return
	}
	_ = x.init.Kill()
	select {
	case st := <-x.ended:
		x.ended <- st
	case <-time.After(10 * time.Second):
	}
}

// ends waits for the end of PID 1.
func (x *box) ends(within time.Duration) *os.ProcessState {
	select {
	case st := <-x.ended:
		x.ended <- st
		return st
	case <-time.After(within):
		x.t.Fatalf("PID 1 did not end within %v", within)
		return nil
	}
}

// terminates sends TERM and wants a normal exit with this status.
func (x *box) terminates(status int) {
	if err := x.init.Signal(syscall.SIGTERM); err != nil {
		x.t.Fatalf("%v", err)
	}
	st := x.ends(patience * 15 * time.Second)
	if !st.Exited() || st.ExitCode() != status {
		x.t.Fatalf("PID 1 ended with %v, want exit status %d", st, status)
	}
}

func (s *said) readFrom(f *os.File) (int64, error) {
	buf := make([]byte, 32<<10)
	var total int64
	for {
		n, err := f.Read(buf)
		_, _ = s.Write(buf[:n])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// The ring itself is tried with the witness as PID 1: should this fail, the
// trouble is the kernel or the box, and not zinit.
func TestTheBoxRunsAnyStaticProgram(t *testing.T) {
	t.Parallel()
	x := newBox(t)
	x.Path, x.Args, x.ReadOnly = "/bin/wit", []string{"wit", "-n", "trivial"}, true
	x.runs()
	if r := x.witnessed(1, "START trivial"); r.proc.pid != 1 || r.proc.start == "-" {
		t.Errorf("it runs as pid %d, started at %s", r.proc.pid, r.proc.start)
	}
	if p := x.running("trivial"); p.pid != x.init.Pid {
		t.Errorf("pid 1 in the box is %d here, not %d", x.init.Pid, p.pid)
	}
	x.terminates(0)
}
