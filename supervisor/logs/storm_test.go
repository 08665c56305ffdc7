package logs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The storm: a pump in a process of its own is killed at any instant and
// followed by another, while services print numbered lines. This process is
// the keeper.

const stormChild = "LOGS_STORM_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(stormChild) {
	case "":
		os.Exit(m.Run())
	case "writer":
		total, _ := strconv.Atoi(os.Args[1])
		chunk, _ := strconv.Atoi(os.Args[2])
		writeMuch(1, total, chunk)
	default:
		stormPump()
	}
}

// remote is the child's Holder: descriptor 3 leads to the keeper.
type remote struct{}

func (remote) Hold(name string, fds ...int) {
	_ = unix.Sendmsg(3, []byte("hold "+name), unix.UnixRights(fds...), nil, 0)
}
func (remote) Drop(name string) { _ = unix.Sendmsg(3, []byte("drop "+name), nil, nil, 0) }

// stormPump is the child: it takes over what comes as "NAME=FD" arguments.
func stormPump() {
	p, err := NewPump(remote{})
	if err != nil {
		panic(err)
	}
	held := map[string][]int{}
	for _, arg := range os.Args[1:] {
		name, fd, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(fd)
		unix.CloseOnExec(n)
		held[name] = []int{n}
	}
	p.LimitTotal(1 << 30)
	for _, service := range stormServices {
		p.Configure(service, 1<<28)
	}
	if err := p.Adopt(held); err != nil {
		panic(err)
	}
	attachHeld(p, held)
	var b [4096]byte
	for {
		n, err := unix.Read(3, b[:])
		if err != nil || n <= 0 {
			return
		}
		p.Held(string(b[:n]), nil)
	}
}

var stormServices = []string{"web", "db"}

// attachHeld attaches "pipe/NAME/RUN/STREAM".
func attachHeld(p *Pump, held map[string][]int) {
	for name, fds := range held {
		parts := strings.Split(name, "/")
		if parts[0] != "pipe" {
			continue
		}
		run, _ := strconv.ParseUint(parts[2], 10, 64)
		p.Attach(parts[1], run, map[string]Stream{"stdout": Stdout, "stderr": Stderr}[parts[3]], fds[0], name)
	}
}

// storm is the keeper's side.
type storm struct {
	t     *testing.T
	mu    sync.Mutex
	fds   map[string]int
	kills int
}

// serve answers one child until it is dead.
func (k *storm) serve(conn int) {
	defer unix.Close(conn)
	b, oob := make([]byte, 4096), make([]byte, 256)
	for {
		n, oobn, _, _, err := unix.Recvmsg(conn, b, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECONNRESET {
			continue // answers it did not read; what it asked comes after
		}
		if err != nil || n == 0 {
			return
		}
		verb, name, _ := strings.Cut(string(b[:n]), " ")
		k.mu.Lock()
		if fd, ok := k.fds[name]; ok {
			unix.Close(fd)
			delete(k.fds, name)
		}
		if verb == "hold" {
			msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
			got, _ := unix.ParseUnixRights(&msgs[0])
			k.fds[name] = got[0]
		}
		k.mu.Unlock()
		if verb == "hold" {
			_ = unix.Send(conn, []byte(name), unix.MSG_NOSIGNAL)
		}
	}
}

// spawn starts a pump and kills it after d.
func (k *storm) spawn(d time.Duration) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stormChild+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(pair[1]), "child")}
	k.mu.Lock()
	for name, fd := range k.fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.t.Fatal(err)
		}
		cmd.Args = append(cmd.Args, fmt.Sprintf("%s=%d", name, 3+len(cmd.ExtraFiles)))
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(dup), name))
	}
	k.mu.Unlock()
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	served := make(chan struct{})
	go func() { defer close(served); k.serve(pair[0]) }()
	<-time.After(d)
	if err := cmd.Process.Kill(); err != nil {
		k.t.Errorf("the pump ended by itself: %v", err)
	}
	_ = cmd.Wait()
	<-served
	k.kills++
}

// printer writes numbered lines until stop, some in two halves, and returns
// how many.
func printer(t *testing.T, w *out, label string, stop <-chan struct{}) int {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	rnd := rand.New(rand.NewPCG(uint64(len(label)), 7))
	for n := 0; ; {
		select {
		case <-stop:
			w.close()
			return n
		case <-tick.C:
		}
		for range rnd.IntN(40) {
			line := fmt.Sprintf("%s %d %s\n", label, n, strings.Repeat("x", rnd.IntN(60)))
			cut := rnd.IntN(len(line))
			w.write(line[:cut])
			w.write(line[cut:])
			n++
		}
	}
}

// Each kill used to lose or repeat lines when bytes were read and then
// written; see the package comment for why it cannot happen now.
func TestKilledAtAnyInstantNothingIsLostOrRepeated(t *testing.T) {
	kills := 200
	if testing.Short() {
		kills = 30
	}
	k := &storm{t: t, fds: map[string]int{}}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	printed := map[string]int{}
	for _, service := range stormServices {
		for _, s := range []Stream{Stdout, Stderr} {
			r, w := pipe2(t)
			k.fds[fmt.Sprintf("pipe/%s/1/%s", service, s)] = r
			wg.Go(func() {
				label := fmt.Sprintf("%s %s", service, s)
				n := printer(t, w, label, stop)
				mu.Lock()
				printed[label] = n
				mu.Unlock()
			})
		}
	}
	for range kills {
		k.spawn(time.Duration(rand.IntN(30_000)) * time.Microsecond)
	}
	// The last one stays, in this process, and reads to the end.
	p, keep := newPump(t)
	p.LimitTotal(1 << 30)
	for _, service := range stormServices {
		p.Configure(service, 1<<28)
	}
	held := map[string][]int{}
	for name, fd := range k.fds {
		held[name] = []int{fd}
	}
	if err := p.Adopt(held); err != nil {
		t.Fatal(err)
	}
	attachHeld(p, held)
	close(stop)
	wg.Wait()
	total := 0
	for label, n := range printed {
		service, stream, _ := strings.Cut(label, " ")
		waitFor(t, "the end of "+label, func() bool { return keep.dropped("pipe/" + service + "/1/" + stream) })
		checkNumbered(t, p.Tail(service, -1), service, stream, n)
		total += n
	}
	t.Logf("%d kills, %d lines: all there, once", k.kills, total)
}

// checkNumbered looks for lines 0 to n-1 of a stream, each once, in order.
func checkNumbered(t *testing.T, lines []Line, service, stream string, n int) {
	t.Helper()
	next := 0
	for _, l := range lines {
		if l.Stream.String() != stream {
			continue
		}
		want := fmt.Sprintf("%s %s %d ", service, stream, next)
		if !strings.HasPrefix(string(l.Text), want) || l.Partial || l.Dropped > 0 || l.Run != 1 {
			t.Fatalf("%s %s: %+v came when %q was due", service, stream, l, want)
		}
		next++
	}
	if next != n {
		t.Errorf("%s %s: %d lines, want %d", service, stream, next, n)
	}
}
