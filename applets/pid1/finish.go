package pid1

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
)

// syncBy and umountBy bound what the end waits for; a dead disk must not keep
// a machine on.
const (
	syncBy    = 30 * time.Second
	swapoffBy = 10 * time.Second
	umountBy  = 5 * time.Second
)

// finish ends a machine: nothing runs any more but this process. It never
// returns.
func (c console) finish(how keeper.Asking) {
	sync := func() error { unix.Sync(); return nil }
	c.bounded("sync", syncBy, sync)
	for _, area := range swapAreas() {
		c.bounded("swapoff "+area, swapoffBy, func() error { return swapoff(area) })
	}
	c.unmountAll()
	c.bounded("root read-only", umountBy, func() error {
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	})
	c.bounded("sync", syncBy, sync)
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

// bounded does a step and tells when it fails.
func (c console) bounded(what string, limit time.Duration, f func() error) {
	if err := within(limit, f); err != nil && err != unix.EINVAL { // the root of an initramfs has no other mode
		c.line(fmt.Sprintf("%s: %v", what, err))
	}
}

// errSlow is the outcome of what is still under way.
var errSlow = errors.New("takes too long; going on without it")

// within runs f on a thread of its own and does not wait longer than limit.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errSlow
	}
}

// unmountAll unmounts the latest first, and again as long as that frees others:
// a file that is mounted keeps the filesystem it lies on. What stays busy, or
// lies on a dead disk, becomes read-only and is detached.
func (c console) unmountAll() {
	slow := map[string]bool{}
	for again := true; again; {
		again = false
		for _, target := range mountPoints() {
			if slow[target] {
				continue
			}
			switch within(umountBy, func() error { return unix.Unmount(target, unix.UMOUNT_NOFOLLOW) }) {
			case nil:
				again = true
			case errSlow:
				slow[target] = true
				c.line(fmt.Sprintf("unmount %s: %v", target, errSlow))
			}
		}
	}
	for _, target := range mountPoints() {
		if !slow[target] {
			c.bounded(target+" read-only", umountBy, func() error {
				var st unix.Statfs_t
				if unix.Statfs(target, &st) == nil && st.Type == unix.TMPFS_MAGIC {
					return nil // nothing of it stays
				}
				return unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			})
		}
		c.bounded("detach "+target, umountBy, func() error { return unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
	}
}

// kept are filesystems that hold nothing of anybody's, and the console.
var kept = []string{"proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "cgroup", "rootfs"}

// mountPoints lists what is mounted, the latest first, without the root and
// what is kept.
func mountPoints() (list []string) {
	for _, f := range table("/proc/self/mounts") {
		if len(f) > 2 && f[1] != "/" && !slices.Contains(kept, f[2]) {
			list = append(list, unescape(f[1]))
		}
	}
	slices.Reverse(list)
	return list
}

// swapAreas lists the files and devices that are swapped to.
func swapAreas() (list []string) {
	for i, f := range table("/proc/swaps") {
		if i > 0 && len(f) > 0 { // after the line of titles
			list = append(list, unescape(f[0]))
		}
	}
	return list
}

func swapoff(area string) error {
	path, err := unix.BytePtrFromString(area)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(path)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// table reads a file of the kernel's: lines of fields.
func table(path string) (rows [][]string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

// unescape undoes what the kernel does to space, tab, newline and backslash in
// a name: \040.
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+3 < len(name) {
			if n, err := strconv.ParseUint(name[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
