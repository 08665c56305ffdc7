package probe

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// heard collects what a Receiver tells.
type heard struct {
	mu     sync.Mutex
	list   []Notification
	of     []string
	refuse bool
}

func (h *heard) hear(service string, n Notification) (again time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list, h.of = append(h.list, n), append(h.of, service)
	if h.refuse {
		return 50 * time.Millisecond
	}
	return 0
}

func (h *heard) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list)
}

func newReceiver(t *testing.T, h *heard) *Receiver {
	t.Helper()
	r, err := NewReceiver(h.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func notifySocket(t *testing.T, service string) (fd int, path string) {
	t.Helper()
	fd, path, err := ListenNotify(t.TempDir(), service)
	if err != nil {
		t.Fatal(err)
	}
	return fd, path
}

// notify sends as sd_notify does: it waits while the queue is full.
func notify(t *testing.T, path, text string) {
	t.Helper()
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	if err := unix.Sendto(sock, []byte(text), 0, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
}

func TestNotificationsComeInOrderWithTheirSender(t *testing.T) {
	h := &heard{}
	r := newReceiver(t, h)
	fd, path := notifySocket(t, "web")
	if err := r.Add("web", fd); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		notify(t, path, fmt.Sprintf("STATUS=%d", i))
		if i == 50 {
			notify(t, path, "nothing that is understood")
			notify(t, path, "")
			notify(t, path, strings.Repeat("READY=1\n", 2000))
		}
	}
	waitUntil(t, "all notifications", func() bool { return h.count() >= 100 })
	for i, n := range h.list {
		want := Sender{os.Getpid(), uint32(os.Getuid()), uint32(os.Getgid())}
		if n.Status != fmt.Sprint(i) || n.From != want || h.of[i] != "web" {
			t.Fatalf("the %d. is %+v of %s", i, n, h.of[i])
		}
	}
}

// A sender that is dead and reaped when we look is known all the same, and
// anybody may send.
func TestCredentialsOutliveTheirSender(t *testing.T) {
	if os.Getuid() != 0 {
		ring.Skip(t, "root", "sends as another user", "run the tests as root")
	}
	dir, err := os.MkdirTemp("/tmp", "notify") // others must get there
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, path, err := ListenNotify(dir, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"notify", path, "READY=1"}
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &unixCredential}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n, err := peek(fd)
	if want := (Sender{cmd.Process.Pid, 65534, 65533}); err != nil || n.From != want || !n.Ready {
		t.Errorf("%+v, %v; want from %+v", n, err, want)
	}
	if Session(n.From.Pid) != 0 {
		t.Error("a dead process has a session")
	}
}

// A predecessor dies between hearing and recording: its successor, which has
// the socket from the keeper, hears it again.
func TestASuccessorHearsWhatWasNotRecorded(t *testing.T) {
	fd, path := notifySocket(t, "web")
	kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	first := &heard{refuse: true}
	r := newReceiver(t, first)
	_ = r.Add("web", fd)
	notify(t, path, "READY=1")
	waitUntil(t, "the predecessor to hear", func() bool { return first.count() > 0 })
	r.Close()
	second := &heard{}
	r = newReceiver(t, second)
	_ = r.Add("web", kept)
	waitUntil(t, "the successor to hear", func() bool { return second.count() > 0 })
	notify(t, path, "STOPPING=1")
	waitUntil(t, "the next one", func() bool { return second.count() > 1 })
	if !second.list[0].Ready || !second.list[1].Stopping {
		t.Errorf("it heard %+v", second.list)
	}
}

func TestWhatCouldNotBeRecordedIsToldAgain(t *testing.T) {
	h := &heard{refuse: true}
	r := newReceiver(t, h)
	fd, path := notifySocket(t, "web")
	_ = r.Add("web", fd)
	notify(t, path, "READY=1")
	waitUntil(t, "the first time", func() bool { return h.count() == 1 })
	h.mu.Lock()
	h.refuse = false
	h.mu.Unlock()
	waitUntil(t, "the second time", func() bool { return h.count() == 2 })
	notify(t, path, "STOPPING=1")
	waitUntil(t, "the next one", func() bool { return h.count() == 3 })
	if !h.list[1].Ready || !h.list[2].Stopping {
		t.Errorf("it heard %+v", h.list)
	}
}

// Descriptors that come with a notification are not taken, and sd_notify's
// barrier, which waits for its descriptor to be closed, does not wait for long.
func TestDescriptorsThatComeAlongAreClosed(t *testing.T) {
	h := &heard{}
	r := newReceiver(t, h)
	fd, path := notifySocket(t, "web")
	_ = r.Add("web", fd)
	var barrier [2]int
	if err := unix.Pipe2(barrier[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	to := &unix.SockaddrUnix{Name: path}
	for range 3 {
		if err := unix.Sendmsg(sock, []byte("BARRIER=1"), unix.UnixRights(barrier[1], barrier[1]), to, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Sendmsg(sock, []byte("READY=1"), nil, to, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(barrier[1])
	if n, err := unix.Read(barrier[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the barrier: %d, %v", n, err)
	}
	unix.Close(barrier[0])
	waitUntil(t, "what comes behind", func() bool { return h.count() == 1 })
}

func TestARemovedServiceIsNotHeard(t *testing.T) {
	h := &heard{}
	r := newReceiver(t, h)
	fd, path := notifySocket(t, "web")
	kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(kept)
	_ = r.Add("web", fd)
	r.Remove("web")
	r.Remove("web")
	notify(t, path, "READY=1")
	other, at := notifySocket(t, "db")
	_ = r.Add("db", other)
	notify(t, at, "READY=1")
	waitUntil(t, "the other", func() bool { return h.count() > 0 })
	if h.count() != 1 || h.of[0] != "db" {
		t.Errorf("it heard %v", h.of)
	}
	r.Close()
	if spare, err := unix.Dup(kept); err != nil || r.Add("late", spare) == nil {
		t.Errorf("a closed receiver takes a socket, or %v", err)
	}
}

func TestASocketReplacesAStaleOneAndFitsItsName(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 128)
	for _, name := range []string{"web", "web", "a@b:c.d-e_f", long, long[:127] + "y"} {
		fd, path, err := ListenNotify(dir, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer unix.Close(fd)
		st, err := os.Stat(path)
		if err != nil || st.Mode() != os.ModeSocket|0o666 || len(path) > maxSunPath {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
		notify(t, path, "READY=1")
		if n, err := peek(fd); err != nil || !n.Ready {
			t.Errorf("%s: %+v, %v", path, n, err)
		}
	}
	if _, _, err := ListenNotify(dir+"/"+long, "web"); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long directory: %v", err)
	}
	if _, _, err := ListenNotify(dir+"/missing", "web"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("no directory: %v", err)
	}
}

func TestWhoIsBelieved(t *testing.T) {
	owners := map[int]string{10: "web", 20: "db"}
	for _, c := range []struct {
		from Sender
		uid  uint32
		want string // part of the refusal; "": believed
	}{
		{Sender{10, 33, 33}, 33, ""},
		{Sender{10, 0, 0}, 33, ""},
		{Sender{99, 33, 33}, 33, ""}, // dead, or nobody knows whose
		{Sender{0, 33, 33}, 33, ""},  // of another PID namespace
		{Sender{10, 34, 33}, 33, "user 34"},
		{Sender{99, 34, 0}, 33, "user 34"},
		{Sender{0, 34, 0}, 33, "user 34"},
		{Sender{10, 33, 33}, 0, "user 33"},
		{Sender{20, 33, 33}, 33, `of "db"`},
		{Sender{20, 0, 0}, 33, `of "db"`},
	} {
		err := Accept(c.from, "web", c.uid, owners[c.from.Pid])
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v for user %d: %v, want %q", c.from, c.uid, err, c.want)
		}
	}
}

func TestSessionIsThatOfTheProcess(t *testing.T) {
	want, err := unix.Getsid(0)
	if err != nil || Session(os.Getpid()) != want {
		t.Errorf("%d, want %d, %v", Session(os.Getpid()), want, err)
	}
	if Session(1<<30) != 0 || Session(-1) != 0 {
		t.Error("nobody has a session")
	}
}
