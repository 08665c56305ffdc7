package keeper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// attributes is what a process has of all that a Spawn can give it, a line
// each. The test binary under the name "attributes" prints its own.
func attributes() string {
	var b strings.Builder
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	io, _, _ := syscall.RawSyscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	var cpus [maxCPUWords]uint64
	n, _, _ := syscall.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(cpus), uintptr(unsafe.Pointer(&cpus)))
	fmt.Fprintf(&b, "nice %d\nionice %d:%d\ncpus %x\noom %d\n", 20-nice, io>>13, io&7, cpus[:n/8], ownOOMScore())
	for _, line := range strings.Split(read("/proc/self/status"), "\n") {
		if name, value, _ := strings.Cut(line, ":\t"); strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" {
			fmt.Fprintln(&b, name, value)
		}
	}
	return b.String() + cgroup2()
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

// cgroup2 is our place in the tree of version 2, as a line.
func cgroup2() string {
	_, rest, _ := strings.Cut("\n"+read("/proc/self/cgroup"), "\n0::")
	own, _, _ := strings.Cut(rest, "\n")
	return "cgroup " + own + "\n"
}

func show() Spawn {
	return Spawn{Tag: "t", Run: 1, Paths: []string{"/proc/self/exe"}, Argv: []string{"attributes"}, Umask: -1}
}

// changed lists the lines of after that are not in before.
func changed(before, after string) (list []string) {
	old := strings.Split(before, "\n")
	for _, line := range strings.Split(after, "\n") {
		if !slices.Contains(old, line) {
			list = append(list, line)
		}
	}
	return list
}

func pointer[T any](v T) *T { return &v }

// mine is the mask of the first processor that we may use.
func mine(t *testing.T) []uint64 {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	mask := make([]uint64, 16)
	for n := range 64 * len(mask) {
		if set.IsSet(n) {
			mask[n/64] = 1 << (n % 64)
			break
		}
	}
	return mask
}

// What the child is given it has, it has nothing else, and its parent, whose
// memory it shared, has what it had.
func TestAttributesAreRightInTheChildAndAsBeforeInTheParent(t *testing.T) {
	cpu := mine(t)
	var all unix.CPUSet
	_ = unix.SchedGetaffinity(0, &all)
	before := attributes()
	for name, c := range map[string]struct {
		change func(*Spawn)
		root   bool
		want   string
	}{
		"nothing":           {func(*Spawn) {}, false, ""},
		"nice":              {func(s *Spawn) { s.Nice = 5 }, false, "nice 5"},
		"nice below zero":   {func(s *Spawn) { s.Nice = -7 }, true, "nice -7"},
		"ionice":            {func(s *Spawn) { s.IONice = IONice{2, 6} }, false, "ionice 2:6"},
		"idle":              {func(s *Spawn) { s.IONice.Class = 3 }, false, "ionice 3:0"},
		"real time":         {func(s *Spawn) { s.IONice = IONice{1, 2} }, true, "ionice 1:2"},
		"no new privileges": {func(s *Spawn) { s.NoNewPrivs = true }, false, "NoNewPrivs 1"},
		"one processor":     {func(s *Spawn) { s.CPUs = cpu }, false, fmt.Sprintf("cpus %x", cpu[:len(firstWords(before))])},
		"oom_score_adj":     {func(s *Spawn) { s.OOMScoreAdj = pointer(ownOOMScore() + 5) }, false, fmt.Sprintf("oom %d", ownOOMScore()+5)},
		"the same score":    {func(s *Spawn) { s.OOMScoreAdj = pointer(ownOOMScore()) }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			if name == "one processor" && all.Count() == 1 {
				ring.Skip(t, "keeper", "this machine has one processor to give", "run it with two or more")
			}
			s := show()
			c.change(&s)
			bothWays(t, s, func(t *testing.T, r result) {
				if got := strings.Join(changed(before, r.out), "; "); got != c.want || r.errno != 0 {
					t.Errorf("%s %v: the child has of its own %q, want %q", r.step, r.errno, got, c.want)
				}
				if list := changed(before, attributes()); list != nil {
					t.Errorf("the parent has changed too: %q", list)
				}
			})
		})
	}
}

// firstWords is as long as the mask of processors that the kernel returns.
func firstWords(attributes string) []string {
	_, rest, _ := strings.Cut(attributes, "cpus [")
	words, _, _ := strings.Cut(rest, "]")
	return strings.Fields(words)
}

func TestOnlyTheCapabilitiesToKeepAreLeft(t *testing.T) {
	needRoot(t)
	if has, _ := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_NET_BIND_SERVICE, 0, 0, 0); has != 1 {
		ring.Skip(t, "root", "net_bind_service is not ours to give", "run the tests as root")
	}
	before := attributes()
	const bind, setuid = 1 << unix.CAP_NET_BIND_SERVICE, 1 << unix.CAP_SETUID
	set := func(inh, prm, eff, bnd, amb uint64) string {
		return fmt.Sprintf("CapInh %016x\nCapPrm %016x\nCapEff %016x\nCapBnd %016x\nCapAmb %016x\n", inh, prm, eff, bnd, amb)
	}
	for name, c := range map[string]struct {
		keep uint64
		uid  uint32
		nnp  bool
		want string
	}{
		"root keeps one":       {bind, 0, false, set(0, bind, bind, bind, 0)},
		"root keeps two":       {bind | setuid, 0, true, set(0, bind|setuid, bind|setuid, bind|setuid, 0)},
		"root keeps none":      {0, 0, false, set(0, 0, 0, 0, 0)},
		"a user is given one":  {bind, 65534, false, set(bind, bind, bind, bind, bind)},
		"also when confined":   {bind, 65534, true, set(bind, bind, bind, bind, bind)},
		"a user is given none": {0, 65534, false, set(0, 0, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			s := show()
			s.Caps, s.NoNewPrivs = &c.keep, c.nnp
			s.Cred = &Cred{UID: c.uid, GID: c.uid}
			bothWays(t, s, func(t *testing.T, r result) {
				if !strings.Contains(r.out, c.want) || r.errno != 0 {
					t.Errorf("%s %v: the child has\n%s\nwant\n%s", r.step, r.errno, r.out, c.want)
				}
				if list := changed(before, attributes()); list != nil {
					t.Errorf("the parent has changed too: %q", list)
				}
			})
		})
	}
}

func TestEachAttributeThatFailsIsNamedWithItsErrno(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	far := make([]uint64, maxCPUWords)
	far[maxCPUWords-1] = 1 << 63
	for name, c := range map[string]struct {
		change func(*Spawn)
		step   string
		errno  syscall.Errno
	}{
		"nicer than nice":        {func(s *Spawn) { s.Nice = 20 }, stepMessage, syscall.EINVAL},
		"no such class":          {func(s *Spawn) { s.IONice.Class = 4 }, stepMessage, syscall.EINVAL},
		"no such level":          {func(s *Spawn) { s.IONice = IONice{2, 8} }, stepMessage, syscall.EINVAL},
		"a score out of range":   {func(s *Spawn) { s.OOMScoreAdj = pointer(1001) }, stepMessage, syscall.EINVAL},
		"no such processor":      {func(s *Spawn) { s.CPUs = far }, stepCPUs, syscall.EINVAL},
		"no terminal there":      {func(s *Spawn) { s.TTY = missing }, stepTTY, syscall.ENOENT},
		"not a terminal":         {func(s *Spawn) { s.TTY = "/dev/null" }, stepTTY, syscall.ENOTTY},
		"no cgroup there":        {func(s *Spawn) { s.Cgroup = missing }, stepCgroup, syscall.ENOENT},
		"a directory, no cgroup": {func(s *Spawn) { s.Cgroup = dir }, stepCgroup, syscall.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			s := sh("exit 0")
			c.change(&s)
			bothWays(t, s, func(t *testing.T, r result) {
				if r.step != c.step || r.errno != c.errno {
					t.Errorf("failed at %q with %v, want %q with %v", r.step, r.errno, c.step, c.errno)
				}
			})
		})
	}
}

// ptm opens a new terminal and returns its master and the slave's path.
func ptm(t *testing.T) (*os.File, string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		ring.Skip(t, "terminals", err.Error(), "mount devpts on /dev/pts")
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	if _, err2 := os.Stat(path); err != nil || err2 != nil {
		unix.Close(fd)
		ring.Skip(t, "terminals", fmt.Sprint(err, ", ", err2), "mount devpts on /dev/pts")
	}
	master := os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { master.Close() })
	return master, path
}

// The child has the terminal as 0, 1, 2 and as controlling one, nothing else
// is open, and no pipe was made but the one for readiness.
func TestTerminalIsStdinStdoutStderrAndControls(t *testing.T) {
	for _, fd := range []int{0, 3, 4} {
		master, path := ptm(t)
		s := sh("exec 9</dev/tty 9<&-; ls -1 /proc/$$/fd; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2; echo end >/dev/tty")
		s.TTY, s.ReadyFD = path, fd
		ready := ""
		if fd > 0 {
			ready = fmt.Sprintf("%d\n", fd)
		}
		want := "0\n1\n2\n" + ready + strings.Repeat(path+"\n", 3) + "end\n"
		bothWays(t, s, func(t *testing.T, r result) {
			if r.errno != 0 || r.status != 0 {
				t.Fatalf("%s: %v, status %x, %s", r.step, r.errno, r.status, r.out)
			}
			if got := screen(t, master, len(want)+8); got != want {
				t.Errorf("on the terminal is %q, want %q", got, want)
			}
		})
	}
}

// screen reads what was written to a terminal up to the line "end".
func screen(t *testing.T, master *os.File, most int) string {
	t.Helper()
	var all []byte
	b := make([]byte, 256)
	for !bytes.HasSuffix(all, []byte("end\r\n")) && len(all) < 2*most {
		n, err := master.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, b[:n]...)
	}
	return strings.ReplaceAll(string(all), "\r", "")
}

// newCgroup makes a cgroup of version 2 below our own.
func newCgroup(t *testing.T) (dir, name string) {
	t.Helper()
	own := strings.TrimSuffix(strings.TrimPrefix(cgroup2(), "cgroup "), "\n")
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(mount, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(filepath.Join(mount, own), "zinit-test.")
		if err == nil {
			t.Cleanup(func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			})
			return dir, strings.TrimPrefix(dir, mount)
		}
	}
	ring.Skip(t, "cgroups", "no writable tree of cgroups v2", "as root, run: mount -t cgroup2 none /sys/fs/cgroup/unified")
	return "", ""
}

func TestRunStartsInItsCgroup(t *testing.T) {
	dir, name := newCgroup(t)
	before := attributes()
	s := show()
	s.Cgroup = dir
	bothWays(t, s, func(t *testing.T, r result) {
		if want := "cgroup " + name; r.errno != 0 || strings.Join(changed(before, r.out), ";") != want {
			t.Errorf("%s %v: the child has %q of its own, want %q", r.step, r.errno, changed(before, r.out), want)
		}
		if list := changed(before, attributes()); list != nil {
			t.Errorf("the parent has changed too: %q", list)
		}
	})
}

func TestAttributesThatNeedRightsFailWithoutThem(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		change func(*Spawn)
		step   string
		errno  syscall.Errno
	}{
		"nice":      {func(s *Spawn) { s.Nice = -1 }, stepNice, syscall.EACCES},
		"real time": {func(s *Spawn) { s.IONice = IONice{1, 0} }, stepIONice, syscall.EPERM},
		"to drop":   {func(s *Spawn) { s.Caps = pointer(uint64(0)) }, stepCaps, syscall.EPERM},
		"to keep":   {func(s *Spawn) { s.Caps = pointer(^uint64(0)) }, stepCaps, syscall.EPERM},
		"less":      {func(s *Spawn) { s.OOMScoreAdj = pointer(ownOOMScore() - 1) }, stepOOM, syscall.EACCES},
		"more":      {func(s *Spawn) { s.OOMScoreAdj = pointer(ownOOMScore() + 1) }, "", 0}, // anybody may
	} {
		t.Run(name, func(t *testing.T) {
			s := sh("true")
			c.change(&s)
			if got, errno := unprivileged(t, &s); got != c.step || errno != c.errno {
				t.Errorf("failed at %q with %v, want %q with %v", got, errno, c.step, c.errno)
			}
		})
	}
}

// A keeper starts runs of every kind side by side and stays as it was.
func TestKeeperGivesAttributesAndKeepsItsOwn(t *testing.T) {
	w := newWorld(t)
	own := func() string { return read(fmt.Sprintf("/proc/%d/oom_score_adj", w.cmd.Process.Pid)) }
	before := own()
	s := w.server()
	for n := range 6 {
		sp := show()
		sp.Run = uint64(n + 1)
		want := before
		if n%2 == 1 {
			sp.OOMScoreAdj = pointer(ownOOMScore() + 10*n)
			want = fmt.Sprintf("%d\n", *sp.OOMScoreAdj)
		}
		s.alive(sp)
		s.next(Exited)
		s.next(Gone)
		if out := s.ask(order{Op: "read", Name: pipeName(runKey{"t", sp.Run}, 0)}); !strings.Contains(out, "\noom "+want) {
			t.Errorf("run %d has\n%s\nwant oom %s", sp.Run, out, want)
		}
		if now := own(); now != before {
			t.Fatalf("the keeper's own score went from %q to %q", before, now)
		}
	}
	s.end(0)
}

func TestKeeperMakesNoPipesForATerminal(t *testing.T) {
	master, path := ptm(t)
	w := newWorld(t)
	s := w.server()
	sp := run(1, "echo end; read line; exit 4")
	sp.TTY, sp.ReadyFD = path, 3
	s.spawn(sp)
	if ev := s.next(Spawned); len(ev.FDs) != 1 || ev.FDs[0].Name != "pipe/t/1/ready" {
		t.Errorf("its pipes are %+v", ev.FDs)
	}
	s.next(Execed)
	if got := screen(t, master, 5); got != "end\n" {
		t.Errorf("on the terminal is %q", got)
	}
	if _, err := master.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if x := s.next(Exited); x.Status.ExitStatus() != 4 {
		t.Errorf("it ended with %x", x.Status)
	}
	s.end(0)
}

func TestKeeperStartsARunInItsCgroup(t *testing.T) {
	dir, name := newCgroup(t)
	s := newWorld(t).server()
	sp := show()
	sp.Cgroup = dir
	s.alive(sp)
	s.next(Exited)
	s.next(Gone)
	if out := s.ask(order{Op: "read", Name: "pipe/t/1/out"}); !strings.Contains(out, "cgroup "+name+"\n") {
		t.Errorf("the run says\n%s", out)
	}
	sp.Run, sp.Cgroup = 2, dir+"/missing"
	s.spawn(sp)
	if ev := s.next(Failed); ev.Step != stepCgroup || ev.Errno != syscall.ENOENT {
		t.Errorf("failed with %+v", ev)
	}
	s.end(0)
}

func TestNobodyInheritsTheProtectionOfAKeeper(t *testing.T) {
	for _, c := range []struct {
		own  int
		asks *int
		want int
	}{
		{0, nil, 0}, {0, pointer(-500), -500}, {500, nil, 500}, {500, pointer(0), 0}, {-997, nil, -997}, {-1000, nil, 0}, {-1000, pointer(-1000), -1000},
	} {
		s := &Spawn{OOMScoreAdj: c.asks}
		j := &job{spawn: s, oom: c.own}
		if got := s.oomScore(c.own); got != c.want || j.ownMemory() != (got != c.own) {
			t.Errorf("of a keeper with %d it gets %d, want %d", c.own, got, c.want)
		}
	}
}
