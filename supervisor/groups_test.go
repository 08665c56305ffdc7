package supervisor

import (
	"os"
	"os/exec"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/cgroup"
	"zinit/testdata/ring"
)

// Somebody left in a cgroup is waited for by a watch, and where the kernel gives no
// more of them (fs.inotify.max_user_watches) by looking again.
func TestWhoCannotBeWatchedIsLookedForAgain(t *testing.T) {
	tree, err := cgroup.Find(os.Getpid())
	if err != nil {
		ring.Skip(t, "cgroups", err.Error(), "as root, run: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	defer func() { _ = tree.RemoveAll() }()
	watch, err := tree.Watch(func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	watch.Close() // it refuses everybody
	var soon []func()
	sm := newSimWith(t, files{"a": never}, func(o *Options) {
		o.After = func(_ time.Duration, f func()) { soon = append(soon, f) }
	})
	sm.s.groups = groups{tree: tree, watch: watch}
	sm.run()
	dir, err := tree.Make("a", cgroup.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	left := exec.Command("sleep", "1000")
	left.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	signal.Ignore(unix.SIGTERM) // which it inherits, and gets when its service has ended
	err = left.Start()
	signal.Reset(unix.SIGTERM)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = left.Process.Kill()
		_ = left.Wait()
	}()
	sm.die("a", 0, 0)
	for range 2 {
		sm.run()
		if a := sm.s.services["a"]; !a.rt.MainGone || !a.rt.Left || len(soon) != 1 {
			t.Fatalf("%+v, looked for %d times", a.rt, len(soon))
		}
		again := soon[0]
		soon = nil
		again()
	}
	_ = left.Process.Kill()
	_ = left.Wait()
	for populated := true; populated; {
		populated, _ = tree.Populated("a")
	}
	sm.run()
	for len(soon) > 0 {
		again := soon[0]
		soon = nil
		again()
		sm.run()
	}
	if a := sm.s.services["a"]; a.rt.MainGone || a.rt.Left {
		t.Errorf("nobody is left, and it is %+v", a.rt)
	}
}
