package keeper

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// result is what became of one child of the spawn primitive.
type result struct {
	step   string
	errno  syscall.Errno
	status unix.WaitStatus
	out    string
	ready  string
}

// ways are the two ways to start a child; both must do the same.
var ways = map[string]func(t *testing.T, j *job) result{"clone": cloneWay, "clone3": clone3Way, "exec-steps": forkWay}

func bothWays(t *testing.T, s Spawn, check func(t *testing.T, r result)) {
	t.Helper()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) { check(t, runJob(t, s, way)) })
	}
}

// runJob runs s to its end by the way given.
func runJob(t *testing.T, s Spawn, way func(*testing.T, *job) result) result {
	t.Helper()
	null, err := openNull()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	var e entry
	var lender slot
	write, errno := e.makePipes(&s, &lender)
	if errno != 0 {
		t.Fatal(errno)
	}
	if s.Tag == "" {
		s.Tag = "t"
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	j := &job{spawn: &s, stdio: [3]int{null, write[0], write[1]}, extra: write[2], exe: -1, keep: -1, nofileHard: limit.Max, oom: ownOOMScore()}
	if s.TTY != "" {
		j.stdio[1], j.stdio[2] = null, null
	}
	var out [len(ends)]string
	r := way(t, j)
	closeAll(lender.lent)
	for end, fd := range e.pipes {
		if fd == 0 {
			continue
		}
		_ = unix.SetNonblock(int(fd), true)
		f := os.NewFile(uintptr(fd), "pipe")
		b, _ := io.ReadAll(f)
		out[end] = string(b)
		f.Close()
	}
	r.out, r.ready = out[0]+out[1], out[2]
	return r
}

func testArena(t *testing.T) *arena {
	t.Helper()
	a, err := newArena()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func cloneWay(t *testing.T, j *job) result {
	t.Helper()
	s := testArena(t).take()
	var errno syscall.Errno
	if s.cgroup, errno = j.openCgroup(); errno != 0 {
		return result{step: stepCgroup, errno: errno}
	}
	defer unix.Close(s.cgroup)
	j.forks = j.ownMemory()
	if errno := j.prepare(s); errno != 0 {
		return result{step: stepMessage, errno: errno}
	}
	pid, errno := j.clone(s)
	if errno == syscall.ENOSYS {
		ring.Skip(t, "keeper", "clone is not written for this processor", "run it on amd64 or arm64")
	}
	if errno != 0 {
		t.Fatal(errno)
	}
	var r result
	if _, err := wait4(pid, &r.status); err != nil {
		t.Fatal(err)
	}
	if !s.left() {
		t.Error("the child has ended and its word is not cleared")
	}
	r.step, r.errno = s.verdict()
	if j.ignored != nil && j.spawn.Cgroup != "" && r.errno == 0 && s.cgroup < 0 {
		t.Error("the child moved itself into a cgroup that the kernel could have started it in")
	}
	return r
}

// clone3Way is cloneWay where the kernel undoes the handlers of signals.
func clone3Way(t *testing.T, j *job) result {
	t.Helper()
	if j.ignored = ignoredSignals(); j.ignored == nil {
		ring.Skip(t, "kernel", "it, or a filter before it, has no clone3", "run the tests on Linux 5.5 or newer")
	}
	return cloneWay(t, j)
}

func forkWay(t *testing.T, j *job) result {
	t.Helper()
	a := testArena(t).take()
	if errno := j.prepare(a); errno != 0 {
		return result{step: stepMessage, errno: errno}
	}
	pid, report, errno := forkSteps(j)
	if errno != 0 {
		t.Fatal(errno)
	}
	var r result
	if _, err := wait4(pid, &r.status); err != nil {
		t.Fatal(err)
	}
	k := &keeper{}
	e := &entry{report: int32(report), pid: pid}
	k.readReport(e)
	unix.Close(report)
	r.step, r.errno = e.step, e.errno
	return r
}

func wait4(pid int, status *unix.WaitStatus) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, 0, nil)
		if err != unix.EINTR {
			return got, err
		}
	}
}

func sh(script string) Spawn {
	return Spawn{Tag: "t", Run: 1, Paths: []string{"/bin/sh"}, Argv: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Umask: -1}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		ring.Skip(t, "root", "changes user, group or root directory", "run the tests as root")
	}
}

func TestChildHasExactlyWhatItWasGiven(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `echo "$0|$1|$A|$(pwd)|$(umask)|$(ulimit -n)|$(ulimit -Hn)|$(ulimit -c)"
		read -r stat </proc/$$/stat; set -- ${stat##*) }; echo "pgrp=$3 sess=$4 tty=$5 nice=${17} pid=$$"
		grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/$$/fd; readlink /proc/$$/fd/0; echo >&2 err`
	s := sh(script)
	s.Argv = append(s.Argv, "zero", "one two")
	s.Env = append(s.Env, "A=b c")
	s.Dir = dir
	s.Umask = 0o027
	s.Limits = []Limit{{unix.RLIMIT_NOFILE, 512, 768}, {unix.RLIMIT_CORE, 0, 0}}
	bothWays(t, s, func(t *testing.T, r result) {
		if r.errno != 0 || r.status != 0 {
			t.Fatalf("%s: %v, status %x, output %s", r.step, r.errno, r.status, r.out)
		}
		pid := r.out[strings.Index(r.out, "pid=")+4:]
		pid = pid[:strings.IndexByte(pid, '\n')]
		want := "zero|one two|b c|" + dir + "|0027|512|768|0\n" +
			fmt.Sprintf("pgrp=%s sess=%s tty=0 nice=0 pid=%s\n", pid, pid, pid) +
			"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n1\n2\n/dev/null\nerr\n"
		if r.out != want {
			t.Errorf("the child says\n%s\nwant\n%s", r.out, want)
		}
	})
}

func TestDefaultsOfAChild(t *testing.T) {
	bothWays(t, sh("umask; ulimit -n; pwd"), func(t *testing.T, r result) {
		if r.out != "0022\n1024\n/\n" {
			t.Errorf("umask, descriptors, directory are %q", r.out)
		}
	})
}

func TestReadyDescriptorIsInPlaceWhateverItsNumber(t *testing.T) {
	for _, fd := range []int{3, 4, 5, 6, 7, 9} { // the lower ones are also sources
		s := sh(fmt.Sprintf("echo yes >&%d; ls /proc/$$/fd", fd))
		s.ReadyFD = fd
		bothWays(t, s, func(t *testing.T, r result) {
			if r.ready != "yes\n" || r.out != fmt.Sprintf("0\n1\n2\n%d\n", fd) {
				t.Errorf("on descriptor %d came %q, open are %q", fd, r.ready, r.out)
			}
		})
	}
}

func TestCredentialsAreExactlyThoseAsked(t *testing.T) {
	needRoot(t)
	s := sh("grep -E '^(Uid|Gid|Groups):' /proc/self/status; echo reopened >/dev/stdout")
	s.Cred = &Cred{UID: 65534, GID: 65533, Groups: []uint32{7, 65532}}
	bothWays(t, s, func(t *testing.T, r result) {
		want := "Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\nGroups:\t7 65532 \nreopened\n"
		if r.out != want {
			t.Errorf("the child says %q, want %q", r.out, want)
		}
	})
	if os.Getuid() != 0 || os.Getgid() != 0 {
		t.Error("the parent changed with its child")
	}
}

func TestChrootComesBeforeDirectoryAndProgram(t *testing.T) {
	needRoot(t)
	root := t.TempDir()
	for _, d := range []string{root, root + "/in"} {
		_ = os.Mkdir(d, 0o755)
	}
	if err := os.WriteFile(root+"/in/prog", smallest(t), 0o755); err != nil {
		t.Fatal(err)
	}
	s := Spawn{Paths: []string{"/in/prog"}, Argv: []string{"prog"}, Chroot: root, Dir: "/in"}
	bothWays(t, s, func(t *testing.T, r result) {
		if r.errno != 0 || r.status.ExitStatus() != 2 {
			t.Errorf("%s: %v, status %x, %s", r.step, r.errno, r.status, r.out)
		}
	})
}

// smallest is a program that needs nothing around it and exits with 2.
func smallest(t *testing.T) []byte {
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	code := map[elf.Machine][]byte{
		elf.EM_X86_64:  {0xbf, 2, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 5},               // mov edi,2; mov eax,60; syscall
		elf.EM_AARCH64: {0x40, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4}, // mov x0,2; mov x8,93; svc 0
	}[machine]
	if code == nil {
		ring.Skip(t, "keeper", "no program is written for this processor", "run it on amd64 or arm64")
	}
	const base, headers = 0x400000, 64 + 56
	var b bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}
	for _, part := range []any{
		elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Filesz: headers + uint64(len(code)), Memsz: headers + uint64(len(code)), Align: 0x1000},
		code,
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestEachFailingStepIsNamedWithItsErrno(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "x", 0o644)
	noexec := file("noexec", "\x01\x02 no program", 0o755)
	lost := file("lost", "#!/no/such/interpreter\n", 0o755)
	missing := filepath.Join(dir, "missing")
	with := func(change func(*Spawn)) Spawn { s := sh("exit 0"); change(&s); return s }
	paths := func(p ...string) Spawn { return with(func(s *Spawn) { s.Paths = p }) }
	for name, c := range map[string]struct {
		spawn Spawn
		root  bool
		step  string
		errno syscall.Errno
	}{
		"no file":                 {paths(missing), false, stepExec, syscall.ENOENT},
		"no interpreter":          {paths(lost), false, stepExec, syscall.ENOENT},
		"not executable":          {paths(plain), false, stepExec, syscall.EACCES},
		"a directory":             {paths(dir), false, stepExec, syscall.EACCES},
		"under a file":            {paths(plain + "/x"), false, stepExec, syscall.ENOTDIR},
		"no program":              {paths(noexec), false, stepExec, syscall.ENOEXEC},
		"the most telling":        {paths(missing, plain, plain+"/x", missing), false, stepExec, syscall.EACCES},
		"a broken one stops":      {paths(noexec, "/bin/true"), false, stepExec, syscall.ENOEXEC},
		"too long a name":         {paths("/" + strings.Repeat("x", 300)), false, stepExec, syscall.ENAMETOOLONG},
		"no directory":            {with(func(s *Spawn) { s.Dir = missing }), false, stepDir, syscall.ENOENT},
		"directory is a file":     {with(func(s *Spawn) { s.Dir = plain }), false, stepDir, syscall.ENOTDIR},
		"no root":                 {with(func(s *Spawn) { s.Chroot = missing }), true, stepChroot, syscall.ENOENT},
		"limits the wrong way":    {with(func(s *Spawn) { s.Limits = []Limit{{unix.RLIMIT_CPU, 9, 5}} }), false, stepLimit, syscall.EINVAL},
		"no such limit":           {with(func(s *Spawn) { s.Limits = []Limit{{99, 1, 1}} }), false, stepLimit, syscall.EINVAL},
		"descriptor out of range": {with(func(s *Spawn) { s.ReadyFD = 1<<20 - 1 }), false, stepFiles, syscall.EBADF},
		"a NUL in an argument":    {with(func(s *Spawn) { s.Argv[1] = "a\x00b" }), false, stepMessage, syscall.E2BIG},
		"nothing to run":          {with(func(s *Spawn) { s.Paths = nil }), false, stepMessage, syscall.EINVAL},
		"no arguments":            {with(func(s *Spawn) { s.Argv = nil }), false, stepMessage, syscall.EINVAL},
		"stdin as ready":          {with(func(s *Spawn) { s.ReadyFD = 2 }), false, stepMessage, syscall.EINVAL},
		"more than a slot":        {with(func(s *Spawn) { s.Env = []string{"A=" + strings.Repeat("x", slotSize)} }), false, stepMessage, syscall.E2BIG},
		"more than the kernel":    {with(func(s *Spawn) { s.Env = []string{"A=" + strings.Repeat("x", 140<<10)} }), false, stepExec, syscall.E2BIG},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			bothWays(t, c.spawn, func(t *testing.T, r result) {
				if r.step != c.step || r.errno != c.errno {
					t.Errorf("failed at %q with %v, want %q with %v", r.step, r.errno, c.step, c.errno)
				}
				if c.step != stepMessage && r.status.ExitStatus() != 127 {
					t.Errorf("status is %x, want exit 127", r.status)
				}
			})
		})
	}
}

func TestStepsThatNeedRightsFailWithoutThem(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		change func(*Spawn)
		step   string
	}{
		"groups": {func(s *Spawn) { s.Cred = &Cred{UID: 1, GID: 1} }, stepGroups},
		"limit":  {func(s *Spawn) { s.Limits = []Limit{{unix.RLIMIT_CORE, 1 << 40, 1 << 41}} }, stepLimit},
		"chroot": {func(s *Spawn) { s.Chroot = "/" }, stepChroot},
	} {
		t.Run(name, func(t *testing.T) {
			s := sh("true")
			c.change(&s)
			if got, errno := unprivileged(t, &s); got != c.step || errno != syscall.EPERM {
				t.Errorf("failed at %q with %v, want %q with EPERM", got, errno, c.step)
			}
		})
	}
}

// unprivileged runs s in a child that gives its rights up before its first
// step, and returns where it failed.
func unprivileged(t *testing.T, s *Spawn) (step string, errno syscall.Errno) {
	t.Helper()
	a := testArena(t).take()
	j := &job{spawn: s, stdio: [3]int{0, 1, 2}, extra: -1, exe: -1, keep: -1, nofileHard: 1024, oom: ownOOMScore()}
	j.forks = j.ownMemory()
	if errno := j.prepare(a); errno != 0 {
		t.Fatal(errno)
	}
	a.prepend(giveUp(a)...)
	pid, errno := clone(a)
	if errno != 0 {
		ring.Skip(t, "kernel", "it refuses clone: "+errno.Error(), "run the tests on Linux itself")
	}
	var status unix.WaitStatus
	if _, err := wait4(pid, &status); err != nil {
		t.Fatal(err)
	}
	return a.verdict()
}

func giveUp(a *slot) []step {
	return []step{
		{nr: unix.SYS_PRLIMIT64, args: [6]uintptr{0, unix.RLIMIT_CORE, a.words(0, 0)}},
		{nr: unix.SYS_SETRESUID, args: [6]uintptr{65534, 65534, 65534}},
	}
}

// prepend puts steps before all others.
func (s *slot) prepend(first ...step) {
	n := len(first)
	copy(s.steps[n:s.n+n+1], s.steps[:s.n+1])
	copy(s.names[n:], s.names[:s.n])
	copy(s.steps[:], first)
	s.n += n
}

func TestStepThatMayFailDoesNotStopTheRest(t *testing.T) {
	a := testArena(t).take()
	s := sh("exit 7")
	j := &job{spawn: &s, stdio: [3]int{0, 1, 2}, extra: -1, exe: -1, keep: -1, nofileHard: 1024}
	if errno := j.prepare(a); errno != 0 {
		t.Fatal(errno)
	}
	a.prepend(step{nr: unix.SYS_CLOSE, args: [6]uintptr{1 << 30}, pass: may})
	pid, errno := clone(a)
	if errno != 0 {
		ring.Skip(t, "kernel", "it refuses clone: "+errno.Error(), "run the tests on Linux itself")
	}
	var status unix.WaitStatus
	if _, err := wait4(pid, &status); err != nil || status.ExitStatus() != 7 {
		t.Errorf("status %x, %v, want exit 7", status, err)
	}
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		<-tick.C
	}
}
