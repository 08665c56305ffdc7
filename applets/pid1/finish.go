package pid1

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
)

// syncBy and umountBy bound what the end waits for; a dead disk must not keep
// a machine on.
const (
	syncBy   = 30 * time.Second
	umountBy = 5 * time.Second
)

// finish ends a machine: nothing runs any more but this process. It never
// returns.
func (c console) finish(how keeper.Asking) {
	c.bounded("sync", syncBy, func() error { unix.Sync(); return nil })
	for _, target := range mountPoints() {
		c.bounded("unmount "+target, umountBy, func() error { return unmount(target) })
	}
	c.bounded("root read-only", umountBy, func() error {
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	})
	c.bounded("sync", syncBy, func() error { unix.Sync(); return nil })
	c.line(how.String())
	for _, cmd := range commands(how) {
		if err := unix.Reboot(cmd); err != nil {
			c.line(fmt.Sprintf("reboot(%#x): %v", cmd, err))
		}
	}
	for { // process 1 must not end
		time.Sleep(time.Hour)
	}
}

// commands are the ways to end, each the fall-back of the one before.
func commands(how keeper.Asking) []int {
	switch how {
	case keeper.Reboot:
		return []int{unix.LINUX_REBOOT_CMD_RESTART, unix.LINUX_REBOOT_CMD_POWER_OFF, unix.LINUX_REBOOT_CMD_HALT}
	case keeper.Halt:
		return []int{unix.LINUX_REBOOT_CMD_HALT, unix.LINUX_REBOOT_CMD_POWER_OFF}
	}
	return []int{unix.LINUX_REBOOT_CMD_POWER_OFF, unix.LINUX_REBOOT_CMD_HALT, unix.LINUX_REBOOT_CMD_RESTART}
}

// bounded runs f on a thread of its own and goes on without it when it takes
// longer than limit.
func (c console) bounded(what string, limit time.Duration, f func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil && err != unix.EINVAL {
			c.line(fmt.Sprintf("%s: %v", what, err))
		}
	case <-time.After(limit):
		c.line(fmt.Sprintf("%s takes longer than %s; going on without it", what, limit))
	}
}

// unmount detaches what is busy, after making it read-only.
func unmount(target string) error {
	if unix.Unmount(target, 0) == nil {
		return nil
	}
	unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	return unix.Unmount(target, unix.MNT_DETACH)
}

// kept are the filesystems that hold nothing, and the console.
var kept = []string{"proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "cgroup", "rootfs"}

// mountPoints lists what is mounted, the latest first, without the root and
// what holds nothing of anybody's.
func mountPoints() []string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[1] != "/" && !slices.Contains(kept, f[2]) {
			list = append(list, strings.ReplaceAll(f[1], `\040`, " "))
		}
	}
	slices.Reverse(list)
	return list
}
