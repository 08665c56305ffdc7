package rpc

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pointer is a value's address as a system call takes it.
func pointer[T any](v *T) uintptr { return uintptr(unsafe.Pointer(v)) }

// stale makes a socket that nobody listens on any more.
func stale(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

// Scenario 141 is among them: a path that is longer than a socket's may be.
func TestWhatIsVacant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	_, live := begin(t, table(), Options{Policy: mine()}, nil)
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("precious"), 0o600), os.Mkdir(at("dir"), 0o700), unix.Mkfifo(at("fifo"), 0o600),
		os.Symlink(at("file"), at("link")), os.Symlink(live, at("livelink")), os.Symlink(at("nowhere"), at("dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	long := at(strings.Repeat("x", 120))
	for path, want := range map[string]string{
		at("none"):     "",
		stale(t):       "",
		live:           fmt.Sprintf("zinit is already running there (pid %d); zinit --socket %s shutdown ends it", os.Getpid(), live),
		at("file"):     "there is a file in the way; move it, or choose another path with --socket",
		at("dir"):      "there is a directory in the way",
		at("fifo"):     "there is a special file in the way",
		at("link"):     "there is a symbolic link in the way",
		at("livelink"): "there is a symbolic link in the way",
		at("dangling"): "there is a symbolic link in the way",
		long:           fmt.Sprintf("the path has %d bytes and a socket's may have 107; choose a shorter one with --socket", len(long)),
	} {
		err := Vacant(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot listen on "+path)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if l, err := Listen(path); want != "" && err == nil {
			l.Close()
			t.Errorf("%s: listened on it", path)
		}
	}
	if b, err := os.ReadFile(at("file")); string(b) != "precious" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if _, err := os.Lstat(at("nowhere")); err == nil {
		t.Error("written through a symbolic link")
	}
	connect(t, live).exchange()
}

// The socket is there only with its mode, and nothing else is left beside it.
func TestASocketIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "for it")
	path := filepath.Join(dir, "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := os.ModeSocket | 0o600
	if _, ok := zinitGroup(); ok && os.Geteuid() == 0 {
		want = os.ModeSocket | 0o660
	}
	if st.Mode() != want {
		t.Errorf("its mode is %v, want %v", st.Mode(), want)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
}

// A stale socket is replaced in one step: at no moment is there none.
func TestAStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := stale(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A path as long as the kernel takes is usable, though there is no room beside
// it for a longer name.
func TestTheLongestPathIsUsable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := filepath.Join(dir, strings.Repeat("d", maxPath-len(dir)-3)) // leaves one letter
	for _, path := range []string{deep + "/s", deep + "/~", filepath.Join(dir, strings.Repeat("n", maxPath-len(dir)-1))} {
		if len(path) != maxPath {
			t.Fatalf("%s has %d bytes", path, len(path))
		}
		l, err := Listen(path)
		if err != nil {
			t.Error(err)
			continue
		}
		l.Close()
	}
}

// What stands under the temporary name and is no socket stays.
func TestTheTemporaryNameSweepsSocketsOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	tmp := temporary(path)
	if err := os.WriteFile(tmp, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(path); err == nil {
		l.Close()
		t.Error("listened where a file was in the way")
	}
	if b, err := os.ReadFile(tmp); string(b) != "precious" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	os.Remove(tmp)
	fd, err := bind(tmp) // left by one that was killed between bind and rename
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// A successor goes on with the bound socket: callers that came in between wait
// in its queue.
func TestASuccessorAnswersWhoWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := first.File() // as the keeper holds it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first.Close()
	w := connect(t, path)
	w.send(ping)
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ListenerFromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(table(), Options{Policy: mine()})
	done := make(chan struct{})
	go func() { s.Serve(l); close(done) }()
	w.want(pong)
	s.Close()
	<-done
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket is gone with the server: %v", err)
	}
	if _, err := ListenerFromFD(-1); err == nil {
		t.Error("listened on no descriptor")
	}
}
