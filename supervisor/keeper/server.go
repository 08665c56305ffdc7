package keeper

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	serverFD     = 3 // the server's end of the pair
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
	lingerAfter  = time.Second     // how long a server may live without its socket
	buryAfter    = 5 * time.Second // and how long after SIGKILL before it is given up
)

// serveOnce starts a server, serves it to its end and all that it left in its
// queue, and pauses if servers keep failing.
func (k *keeper) serveOnce() {
	c, err := k.startServer()
	if err != nil {
		k.say("cannot start a server: %v", err)
		k.countFailure()
	} else {
		k.serve(c)
		k.bury(c)
	}
	k.pause()
}

// startServer makes the pair and the process, and puts c in place of the
// conn before.
func (k *keeper) startServer() (*conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	for _, fd := range pair {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 512<<10)
	}
	k.in.fd = pair[0]
	c := &conn{in: k.in, out: &wire{fd: pair[0]}}
	n := k.nextGeneration(c)
	if err := k.startProcess(n, pair[1]); err != nil {
		unix.Close(pair[1])
		k.mu.Lock()
		defer k.mu.Unlock()
		k.conn = nil
		unix.Close(pair[0])
		return nil, err
	}
	return c, nil
}

func (k *keeper) nextGeneration(c *conn) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn = c
	k.ready = false
	k.generation++
	k.ended = make(chan struct{})
	k.expectServer()
	return k.generation
}

// startProcess runs the n-th server.
func (k *keeper) startProcess(n uint64, socket int) error {
	k.truncateStderr()
	cmd := k.opt.Server(n)
	path := cmd.Path
	if path == "" {
		path = "/proc/self/exe"
	}
	j := job{
		spawn: &Spawn{
			Tag: "server", Run: n, Paths: []string{path}, Argv: cmd.Argv, Env: cmd.Env, Umask: -1, ReadyFD: serverFD,
			Limits: []Limit{{Resource: unix.RLIMIT_NOFILE, Soft: k.hard, Hard: k.hard}},
		},
		stdio: [3]int{k.null, 1, k.stderr}, extra: socket, exe: k.exe, keep: -1, ignored: k.ignored,
	}
	k.mu.Lock()
	slot := k.arena.take()
	j.room = 2*k.held.count + 512
	k.mu.Unlock()
	if slot == nil {
		return fmt.Errorf("spawn: %w", syscall.EAGAIN)
	}
	e := &entry{key: runKey{"server", n}, server: true, report: -1, needed: []int{socket}}
	step, errno := k.birth(e, &j, slot)
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno != 0 {
		k.cloning = false
		k.born.Broadcast()
		k.giveBack(slot)
		return fmt.Errorf("%s: %w", step, errno)
	}
	k.server = e
	k.launched(e, slot)
	k.kick()
	return nil
}

// truncateStderr keeps what crashing servers say within bounds. A successor
// that lived has read it.
func (k *keeper) truncateStderr() {
	var st unix.Stat_t
	if k.stderr != k.null && unix.Fstat(k.stderr, &st) == nil && st.Size > 1<<20 {
		_ = unix.Ftruncate(k.stderr, 0)
	}
}

// serverEnded is the reaper's word that the server is no more. Nothing can be
// added to its queue; what is there is still read. Lock held.
func (k *keeper) serverEnded() {
	close(k.ended)
	if k.conn != nil {
		_ = unix.Shutdown(k.conn.out.fd, unix.SHUT_RDWR)
	}
	if k.ready {
		k.failures = 0
	} else {
		k.failures++
	}
	k.ready = false
	k.expectServer()
	if k.end == nil {
		k.say("server %d (pid %d) ended: %s; the services go on", k.generation, k.server.pid, describe(k.server.status))
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit %d", status.ExitStatus())
}

func (k *keeper) countFailure() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures++
}

// bury waits for the process whose queue is read to its end. One that closed
// its socket and lives is killed; one that survives that, stuck in the
// kernel, is left to the reaper.
func (k *keeper) bury(c *conn) {
	if !k.endedWithin(lingerAfter) {
		k.killServer()
		if !k.endedWithin(buryAfter) {
			k.say("server pid %d does not end; starting another", k.server.pid)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c.dead = true
	_ = unix.Shutdown(c.out.fd, unix.SHUT_RDWR) // wakes the writer goroutine
	for c.waited {
		k.wrote.Wait()
	}
	k.forgive()
	k.conn = nil
	unix.Close(c.out.fd)
}

// endedWithin waits until the server is reaped, at most for d.
func (k *keeper) endedWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-k.ended:
		return true
	case <-timer.C:
		return false
	}
}

func (k *keeper) killServer() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kill(k.server)
}

// pause waits before the next server is started: not at all after a server
// that was ready or after a first failure, then ever longer. A request to end
// cuts it short.
func (k *keeper) pause() {
	d := k.pauseTime()
	if d == 0 || k.wanted() != nil {
		return
	}
	k.say("starting another server in %v", d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-k.hurry:
	case <-timer.C:
	}
}

func (k *keeper) pauseTime() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failures < 2 {
		return 0
	}
	return min(firstPause<<min(k.failures-2, 16), longestPause)
}

// hurryUp ends a pause, the present or the next. Lock held.
func (k *keeper) hurryUp() {
	select {
	case k.hurry <- struct{}{}:
	default:
	}
}
