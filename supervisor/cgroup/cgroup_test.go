package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// files writes what a kernel would show.
func files(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fake is a tree in a directory of files; service "web" has all of them.
func fake(t *testing.T) *Tree {
	t.Helper()
	root := t.TempDir()
	tree := &Tree{own: root, dir: root + "/zinit.7", at: "/box/zinit.7"}
	for _, dir := range []string{tree.own, tree.dir} {
		files(t, dir, map[string]string{"cgroup.controllers": "cpuset cpu memory pids\n", "cgroup.subtree_control": ""})
	}
	files(t, tree.dir+"/self", map[string]string{"cgroup.procs": ""})
	files(t, tree.Path("web"), map[string]string{
		"memory.max": "", "memory.high": "", "pids.max": "", "cpu.max": "", "cpu.weight": "", "cgroup.kill": "", "cgroup.procs": "10\n11\n",
		"cgroup.events": "populated 1\nfrozen 0\n", "memory.current": "4096\n", "pids.current": "3\n",
		"cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\n", "memory.events": "low 0\noom 2\noom_kill 1\noom_group_kill 0\n",
	})
	files(t, tree.Path("web")+"/sub", map[string]string{"cgroup.procs": "12\n"})
	return tree
}

func TestTreeIsFoundWhereOurCgroupIsToBeSeen(t *testing.T) {
	root := t.TempDir()
	v2 := func(at, dir string) string {
		return "41 31 0:38 " + at + " " + dir + " rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
	}
	odd := root + "/with space"
	for name, c := range map[string]struct {
		mounts, cgroups string
		dir, at, err    string
	}{
		"a machine":           {v2("/", root+"/a"), "0::/\n", root + "/a/zinit.7", "/zinit.7", ""},
		"a slice":             {v2("/", root+"/b"), "0::/user.slice/x\n", root + "/b/user.slice/x/zinit.7", "/user.slice/x/zinit.7", ""},
		"beside version 1":    {"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" + v2("/", root+"/c"), "3:cpu:/x\n0::/\n", root + "/c/zinit.7", "/zinit.7", ""},
		"a part is mounted":   {v2("/box", root+"/d"), "0::/box/in\n", root + "/d/in/zinit.7", "/box/in/zinit.7", ""},
		"another part":        {v2("/bo", root+"/e"), "0::/box\n", "", "", "can be seen"},
		"a second mount":      {v2("/no", root+"/f") + v2("/", root+"/g"), "0::/\n", root + "/g/zinit.7", "/zinit.7", ""},
		"an odd place":        {v2("/", strings.ReplaceAll(odd, " ", `\040`)), "0::/\n", odd + "/zinit.7", "/zinit.7", ""},
		"a successor":         {v2("/", root+"/h"), "0::/box/zinit.7/self\n", root + "/h/box/zinit.7", "/box/zinit.7", ""},
		"a second one's":      {v2("/", root+"/m"), "0::/box/zinit.7-2/self\n", root + "/m/box/zinit.7-2", "/box/zinit.7-2", ""},
		"in another's self":   {v2("/", root+"/n"), "0::/zinit.77/self\n", root + "/n/zinit.77/self/zinit.7", "/zinit.77/self/zinit.7", ""},
		"a zinit in a zinit":  {v2("/", root+"/i"), "0::/zinit.1/vm.svc\n", root + "/i/zinit.1/vm.svc/zinit.7", "/zinit.1/vm.svc/zinit.7", ""},
		"out of sight":        {v2("/", root+"/j"), "0::/../x\n", "", "", "out of sight"},
		"out of sight, mount": {v2("/../..", root+"/k"), "0::/\n", "", "", "can be seen"},
		"removed":             {v2("/", root+"/l"), "0::/x (deleted)\n", "", "", "out of sight"},
		"only version 1":      {"", "3:cpu:/x\n", "", "", "none of version 2"},
		"nothing mounted":     {"", "0::/\n", "", "", "can be seen"},
		"not writable":        {v2("/", root+"/missing"), "0::/\n", "", "", "no such file"},
		"rubbish":             {"x - cgroup2 \n1 2 3 4 5 - cgroup2 x\n", "0::x\n", "", "", "out of sight"},
	} {
		if c.dir != "" {
			files(t, c.dir+"/self", map[string]string{"cgroup.procs": ""})
		}
		tree, err := find(c.mounts, c.cgroups, 7, func(string) bool { return true })
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %+v, %v; want %q", name, tree, err, c.err)
			}
		case err != nil || tree.dir != c.dir || tree.at != c.at || tree.own != filepath.Dir(c.dir) || tree.inside != (name == "a successor" || name == "a second one's"):
			t.Errorf("%s: %+v, %v; want %s as %s", name, tree, err, c.dir, c.at)
		}
	}
}

func TestControllersAreHandedOutAsFarAsThereAre(t *testing.T) {
	tree := fake(t)
	missing := tree.Enable()
	if len(missing) != 1 || missing["io"] == nil {
		t.Errorf("missing are %v", missing)
	}
	if got := text(t, tree.own, "cgroup.subtree_control"); !strings.HasPrefix(got, "+pids") {
		t.Errorf("enabled with %q", got) // the last one written, in a file that is none
	}
	files(t, tree.own, map[string]string{"cgroup.subtree_control": "cpu memory pids\n"})
	files(t, tree.dir, map[string]string{"cgroup.subtree_control": "cpu memory pids\n"})
	if tree.Enable(); text(t, tree.dir, "cgroup.subtree_control") != "cpu memory pids\n" {
		t.Error("what is enabled was enabled again")
	}
}

func TestLimitsAreWrittenAndUndone(t *testing.T) {
	tree := fake(t)
	dir, err := tree.Make("web", Limits{MemoryMax: 1 << 29, MemoryHigh: 1000, PidsMax: 100, CPUMax: 1.5, CPUWeight: 50})
	if err != nil || dir != tree.Path("web") {
		t.Fatal(dir, err)
	}
	for file, want := range map[string]string{"memory.max": "536870912", "memory.high": "1000", "pids.max": "100", "cpu.max": "150000 100000", "cpu.weight": "50"} {
		if got := text(t, dir, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	files(t, dir, map[string]string{"memory.max": "", "cpu.max": "", "cpu.weight": ""})
	if _, err = tree.Make("web", Limits{}); err != nil {
		t.Error(err)
	}
	for file, want := range map[string]string{"memory.max": "max", "cpu.max": "max", "cpu.weight": "100"} {
		if got := text(t, dir, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	dir, err = tree.Make("web", Limits{IOWeight: 10, CPUMax: 0.001})
	if dir == "" || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "io.weight") {
		t.Errorf("without the controller: %q, %v", dir, err)
	}
	if got := text(t, dir, "cpu.max"); !strings.HasPrefix(got, "1000 100000") {
		t.Errorf("cpu.max is %q", got)
	}
	tree.dir += "/missing"
	if dir, err := tree.Make("web", Limits{}); dir != "" || err == nil {
		t.Errorf("without a tree: %q, %v", dir, err)
	}
}

func TestFactsAreReadAsFarAsTheyAreKnown(t *testing.T) {
	tree := fake(t)
	got, err := tree.Facts("web")
	if want := (Facts{true, 4096, 3, 30, 20, 10, 1}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	files(t, tree.Path("bare"), map[string]string{"cgroup.events": "populated 0\n", "cpu.stat": "rubbish\n", "pids.current": "x"})
	got, err = tree.Facts("bare")
	if want := (Facts{false, -1, -1, -1, -1, -1, -1}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := tree.Facts("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
	if list, err := tree.Pids("web"); err != nil || !slices.Equal(list, []int{10, 11, 12}) {
		t.Errorf("in it are %v, %v", list, err)
	}
	if err := tree.Kill("web"); err != nil || text(t, tree.Path("web"), "cgroup.kill") != "1" {
		t.Errorf("kill: %v", err)
	}
	if err := tree.Kill("missing"); err != nil {
		t.Errorf("kill of nobody: %v", err)
	}
	if err := tree.Enter(4711); err != nil || text(t, tree.dir, self, "cgroup.procs") != "4711" {
		t.Errorf("enter: %v", err)
	}
}

func TestOwnerIsTheServiceOfTheCgroup(t *testing.T) {
	tree := &Tree{at: "/box/zinit.7"}
	for at, want := range map[string]string{
		"/box/zinit.7/web.svc": "web", "/box/zinit.7/a.svc.svc/deep/er": "a.svc", "/box/zinit.7/self": "", "/box/zinit.7": "", "/box": "",
		"/box/zinit.77/web.svc": "", "/other/zinit.7/web.svc": "", "/": "",
	} {
		if got := tree.owner(at); got != want {
			t.Errorf("%s is of %q, want %q", at, got, want)
		}
	}
	if tree.OwnerOf(1<<30) != "" {
		t.Error("nobody is of a service")
	}
}

// realTree is a tree of this machine.
func realTree(t *testing.T) *Tree {
	t.Helper()
	tree, err := Find(os.Getpid())
	if err != nil {
		ring.Skip(t, "cgroups", err.Error(), "as root, run: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	t.Cleanup(func() {
		if err := tree.RemoveAll(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

// shell starts sh in a cgroup and returns when it is there.
func shell(t *testing.T, dir, script string) *exec.Cmd {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Start(); err != nil {
		ring.Skip(t, "cgroups", err.Error(), "as root, run: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	return cmd
}

func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

func TestAServiceIsSeenAndEndedWhole(t *testing.T) {
	tree := realTree(t)
	for _, how := range []string{"cgroup.kill", "freezer"} {
		t.Run(how, func(t *testing.T) {
			dir, err := tree.Make("web", Limits{})
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan string, 100)
			w, err := tree.Watch(func(service string) { told <- service })
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.Add("web"); err != nil {
				t.Fatal(err)
			}
			cmd := shell(t, dir, "setsid sh -c 'setsid sleep 1000 & sleep 1000' & wait")
			waitUntil(t, "four processes", func() bool { list, _ := tree.Pids("web"); return len(list) >= 4 })
			if owner := tree.OwnerOf(cmd.Process.Pid); owner != "web" {
				t.Errorf("it is of %q", owner)
			}
			if f, err := tree.Facts("web"); err != nil || !f.Populated || f.CPUUS < 0 {
				t.Errorf("%+v, %v", f, err)
			}
			if err := tree.Remove("web"); !errors.Is(err, unix.EBUSY) {
				t.Errorf("while it lives it is removed with %v", err)
			}
			if how == "freezer" {
				killOld(t, tree)
			} else if err := tree.Kill("web"); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			waitUntil(t, "nobody to be left", func() bool { p, err := tree.Populated("web"); return err == nil && !p })
			if got := <-told; got != "web" {
				t.Errorf("told of %q", got)
			}
			waitUntil(t, "the cgroup to be removed", func() bool { return tree.Remove("web") == nil })
			if _, err := tree.Populated("web"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("and then: %v", err)
			}
		})
	}
}

// killOld is Kill as it is without cgroup.kill.
func killOld(t *testing.T, tree *Tree) {
	t.Helper()
	if err := killFrozen(tree.Path("web")); err != nil {
		t.Fatal(err)
	}
}

// Two containers in one cgroup have a PID 1 each: a stop in one of them ended the
// service of that name in the other.
func TestKeepersOfOneNumberHaveTreesOfTheirOwn(t *testing.T) {
	tree := realTree(t)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if err := tree.Enter(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	second, err := Find(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.RemoveAll() }()
	if second.dir != tree.dir+"-2" || second.at != tree.at+"-2" {
		t.Errorf("it is %+v beside %+v", second, tree)
	}
}

func TestKeeperAndServerGoToTheLeaf(t *testing.T) {
	tree := realTree(t)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if err := tree.Enter(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if list, err := pids(filepath.Join(tree.dir, self)); err != nil || !slices.Equal(list, []int{cmd.Process.Pid}) {
		t.Errorf("in it are %v, %v", list, err)
	}
	if err := tree.Enter(1 << 30); err == nil {
		t.Error("nobody is moved")
	}
}

// A write to cgroup.procs waits 10 ms for the kernel even where nobody moves; it
// was half of a takeover.
func TestASuccessorIsNotMovedAgain(t *testing.T) {
	tree := fake(t)
	tree.inside = true
	if err := tree.Enter(4711); err != nil || text(t, tree.dir, self, "cgroup.procs") != "" {
		t.Errorf("moved, %v", err)
	}
}

// Whoever is started into a cgroup that was killed once is killed by newer kernels.
func TestAServiceThatWasKilledGetsANewCgroup(t *testing.T) {
	tree := realTree(t)
	for range 2 {
		dir, err := tree.Make("web", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		cmd := shell(t, dir, "exit 3")
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("it ended with %v", cmd.ProcessState)
		}
		if err := tree.Kill("web"); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "nobody to be left", func() bool { p, err := tree.Populated("web"); return err == nil && !p })
	}
}

// Waiting in a system call the watcher kept the one processor of a server from
// everybody else until the runtime noticed, 2 ms for each change of a cgroup.
func TestTheWatcherWaitsInNoSystemCall(t *testing.T) {
	w, err := realTree(t).Watch(func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stacks := make([]byte, 1<<20)
	waitUntil(t, "the watcher to wait as for a socket", func() bool {
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(g, "(*Watcher).run") && strings.Contains(g, "[IO wait") {
				return true
			}
		}
		return false
	})
}

// What a killed zinit has left is removed by the next one; what somebody is in, or
// whose keeper lives, is not, and nor is anything that is no tree.
func TestTreesOfDeadKeepersAreSwept(t *testing.T) {
	tree := realTree(t)
	dead := 1<<22 + 8*os.Getpid() // no process has such a number
	at := func(n int) string { return filepath.Join(tree.own, "zinit."+strconv.Itoa(dead+n)) }
	other := filepath.Join(tree.own, "zinit.x"+strconv.Itoa(os.Getpid()))
	empty, used, lives := at(1), at(2), at(3)
	for _, dir := range []string{empty, used, lives, other} {
		if err := os.MkdirAll(filepath.Join(dir, "web"+suffix), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { waitUntil(t, "a cgroup to be removed", func() bool { return remove(dir) == nil }) })
	}
	cmd := shell(t, filepath.Join(used, "web"+suffix), "exec sleep 1000")
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	n := tree.Sweep(func(pid int) bool { return pid != dead+1 && pid != dead+2 })
	there := func(dir string) bool { return unix.Access(dir, unix.F_OK) == nil }
	if n != 1 || there(empty) || !there(used) || !there(lives) || !there(other) || !there(tree.dir) {
		t.Errorf("%d removed; there are: the empty one %v, used %v, living %v, another %v, ours %v",
			n, there(empty), there(used), there(lives), there(other), there(tree.dir))
	}
}
