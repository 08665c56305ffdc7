package rpc

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	pol := Policy{Own: 1000, Group: 50}
	for _, c := range []struct {
		who         string
		peer        Peer
		read, write bool
	}{
		{"root", Peer{}, true, true},
		{"the server's user", Peer{UID: 1000}, true, true},
		{"a member by its first group", Peer{UID: 2, GID: 50}, true, false},
		{"a member by another group", Peer{UID: 2, GID: 2, Groups: []uint32{3, 50}}, true, false},
		{"a stranger", Peer{UID: 2, GID: 2, Groups: []uint32{3}}, false, false},
		{"a stranger in root's group", Peer{UID: 2}, false, false},
	} {
		if r, w := pol.May(c.peer, Read), pol.May(c.peer, Write); r != c.read || w != c.write {
			t.Errorf("%s: read %v, write %v", c.who, r, w)
		}
	}
	if (Policy{Own: 1000}).May(Peer{UID: 2}, Read) {
		t.Error("where there is no group zinit, group 0 reads")
	}
}

// stranger runs f on a thread of another user and group, with the supplementary
// groups 7 and 8, and returns its user. Without root it is this user.
func stranger(t *testing.T, f func()) uint32 {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return uint32(os.Geteuid())
	}
	const nobody = 65534
	done := make(chan unix.Errno)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its ids
		groups := [2]uint32{7, 8}
		if _, _, err := unix.RawSyscall(unix.SYS_SETGROUPS, 2, pointer(&groups), 0); err != 0 {
			done <- err
			return
		}
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESGID, nobody, nobody, nobody); err != 0 {
			done <- err
			return
		}
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); err != 0 {
			done <- err
			return
		}
		f()
		done <- 0
	}()
	if err := <-done; err != 0 {
		ring.Skip(t, "root", "cannot become another user: "+err.Error(), "run the tests as root")
	}
	return nobody
}

// open makes the socket and the way to it open for everybody, so that only the
// policy decides.
func open(t *testing.T, path string) {
	t.Helper()
	for _, step := range []struct {
		path string
		mode os.FileMode
	}{{filepath.Dir(filepath.Dir(path)), 0o755}, {filepath.Dir(path), 0o755}, {path, 0o666}} {
		if err := os.Chmod(step.path, step.mode); err != nil {
			t.Fatal(err)
		}
	}
}

// Who may not call is refused by the kernel's word alone: the garbage that it
// sends is not looked at.
func TestAStrangerIsRefusedBeforeAByteIsRead(t *testing.T) {
	t.Parallel()
	var lines []string
	opt := Options{Policy: Policy{Own: uint32(os.Geteuid()) + 1}, Log: func(l string) { lines = append(lines, l) }}
	_, path := begin(t, table(), opt, nil)
	open(t, path)
	var w *wire
	stranger(t, func() { w = connect(t, path) })
	w.want(`{"jsonrpc":"2.0","id":null,"error":{"code":-32020,"message":"not allowed: …","data":{"kind":"not_allowed",…}}}`)
	w.end()
	block := []byte(strings.Repeat("[", 64<<10))
	if n, err := w.Write(block); !errors.Is(err, unix.EPIPE) {
		t.Errorf("%d bytes of garbage were taken, %v", n, err)
	}
}

// A member of the group asks, and changes nothing.
func TestAMemberOfTheGroupReads(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		ring.Skip(t, "root", "becomes another user", "run the tests as root")
	}
	_, path := begin(t, table(), Options{Policy: Policy{Group: 8}}, nil)
	open(t, path)
	var w *wire
	stranger(t, func() { w = connect(t, path) })
	w.exchange()
	w.send(`{"jsonrpc":"2.0","id":1,"method":"set"}` + "\n")
	w.want(`{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"not allowed: set is for root and zinit's own user","data":{"kind":"not_allowed"}}}`)
}

// The kernel names user, group and all supplementary groups of who connected,
// as they were then.
func TestThePeerIsWhoConnected(t *testing.T) {
	t.Parallel()
	peers := make(chan Peer, 1)
	methods := []Method{{Name: "me", Access: Read, Handler: func(c *Call) (any, error) { peers <- c.Peer; return nil, nil }}}
	_, path := begin(t, methods, Options{Policy: Policy{Own: uint32(os.Geteuid()), Group: 7}}, nil)
	open(t, path)
	var w *wire
	uid := stranger(t, func() { w = connect(t, path) })
	w.send(`{"jsonrpc":"2.0","id":1,"method":"me"}` + "\n")
	select {
	case p := <-peers:
		if p.UID != uid || p.PID != os.Getpid() {
			t.Errorf("got %+v", p)
		}
		if uid != uint32(os.Geteuid()) && (p.GID != uid || !slices.Equal(p.Groups, []uint32{7, 8})) {
			t.Errorf("groups of %+v", p)
		}
	case <-time.After(patience):
		t.Fatal(w.line())
	}
}
