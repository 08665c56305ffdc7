//go:build !amd64 && !arm64

package keeper

import "syscall"

// clone is not written for this processor; the keeper uses the exec-steps
// applet.
func clone(*slot) (pid int, errno syscall.Errno) { return 0, syscall.ENOSYS }
