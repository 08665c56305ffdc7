package applets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// freeze returns a witness whose exec is held until thaw is called, as on a mount
// that does not answer.
func (b *bed) freeze(t *testing.T) (path string, thaw func()) {
	t.Helper()
	if os.Getuid() != 0 {
		skipRing(t, "frozen", "only root can hold an exec", "run the tests as root")
	}
	fan, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	path = filepath.Join(b.dir, "frozen")
	var text []byte // no link: that would hold every witness
	if err == nil {
		text, err = os.ReadFile(filepath.Join(built, "wit"))
	}
	if err == nil {
		err = os.WriteFile(path, text, 0o755)
	}
	if err == nil {
		err = unix.FanotifyMark(fan, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, path)
	}
	if err != nil {
		skipRing(t, "frozen", "fanotify cannot hold an exec here: "+err.Error(), "run the tests as root, on a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS")
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done); unix.Close(fan) })
	return path, func() {
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

// The programs of two services lie where nobody answers. They wait in their exec;
// everything else goes on: others start, print, crash, come back and stop, servers
// are killed and replaced. One of the two can be stopped; the other runs, once, when
// the mount answers.
func TestAFrozenBinaryDelaysItsServiceOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	path, thaw := b.freeze(t)
	for _, name := range []string{"frozen", "given-up"} {
		b.service(name, fmt.Sprintf("[service]\nexec = %q\n[lifecycle]\nstart_timeout_ms = 3600000\nstop_timeout_ms = 1000\n", path))
	}
	b.needs("steady", "wit -lines -1 -rate 100", "")
	b.service("crash", "[service]\nexec = \"wit -after 50ms -exit 3\"\n[lifecycle]\nrestart_delay_ms = 1\nrestart_delay_max_ms = 1\nmax_restarts = 0\n")
	b.needs("again", "wit", "")
	b.needs("waits", "wit", "", "requires frozen")
	b.serve("--shutdown-timeout", "20s")
	steady := b.witnessed(1, "START steady").proc
	b.awaitState("frozen", "starting")
	b.awaitState("waits", "blocked")
	for range 5 {
		crashes := len(b.matching("START crash"))
		b.killServer()
		begin := time.Now()
		b.mustCall("service.restart", named{"name": "again", "wait": true}, nil)
		b.must("logs", "steady", "-n", "3")
		if took := time.Since(begin); took > patience*10*time.Second {
			t.Errorf("a restart of another service and a look at a log took %v", took)
		}
		b.witnessed(crashes+2, "START crash")
		b.awaitState("frozen", "starting")
	}
	b.mustCall("service.stop", named{"name": "given-up", "wait": true}, nil)
	if n := len(b.matching("START (frozen|given-up|waits)")); n != 0 {
		t.Fatalf("%d of what is held have started", n)
	}
	thaw()
	b.witnessed(1, "START frozen")
	b.awaitState("frozen", "running")
	b.awaitState("waits", "running")
	b.killServer()
	b.awaitState("given-up", "exited")
	if n := len(b.matching("START (frozen|given-up)")); n != 1 {
		t.Errorf("%d starts of what was held, want 1: %q", n, b.matching("START (frozen|given-up)"))
	}
	if !steady.alive() || len(b.matching("(START|TERM) steady")) != 1 {
		t.Errorf("another service felt it: %q", b.matching(".* steady.*"))
	}
	b.mustCall("service.stop", named{"name": "steady", "wait": true}, nil)
	var lines []logLine
	b.mustCall("logs.filter", named{"name": "steady", "stream": "stdout"}, &lines)
	for i, l := range lines {
		if want := fmt.Sprintf("line %08d", i+1); l.Content != want || l.Dropped != 0 {
			t.Fatalf("line %d is %+v, want %q", i+1, l, want)
		}
	}
}
