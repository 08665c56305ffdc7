// Package frozen makes programs whose exec waits, as on a mount that does not answer.
package frozen

import (
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// Program writes a program to path whose execs are held until thaw is called. It
// must be no link, or whatever it is linked to is held too. A machine that cannot
// hold an exec leaves the test out.
func Program(t testing.TB, path string, text []byte) (thaw func()) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	fan, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err == nil {
		err = unix.FanotifyMark(fan, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, path)
	}
	if err != nil {
		ring.Skip(t, "frozen", "fanotify cannot hold an exec here: "+err.Error(), "run the tests as root, on a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS")
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done); unix.Close(fan) })
	return func() {
		// Closing would not do: a child before its exec has the descriptor too.
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
					allowAll(fan)
				}
			}
		}()
	}
}

// allowAll lets go of the execs that are held.
func allowAll(fan int) {
	var events [4096]byte
	n, _ := unix.Read(fan, events[:])
	const size = int(unsafe.Sizeof(unix.FanotifyEventMetadata{}))
	for at := 0; at+size <= n; at += size {
		ev := (*unix.FanotifyEventMetadata)(unsafe.Pointer(&events[at]))
		answer := unix.FanotifyResponse{Fd: ev.Fd, Response: unix.FAN_ALLOW}
		_, _ = unix.Write(fan, unsafe.Slice((*byte)(unsafe.Pointer(&answer)), unsafe.Sizeof(answer)))
		unix.Close(int(ev.Fd))
	}
}
