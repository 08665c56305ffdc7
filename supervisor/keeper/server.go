package keeper

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	serverFD    = 3           // the server's end of the pair
	lingerAfter = time.Second // how long a server may live without its socket
)

// life is what becomes of one server. The keeper's lock guards it.
type life struct {
	number    uint64
	server    *entry // its process; nil: there is none yet, or there never was one
	from      launch
	probation bool // its binary has yet to prove itself
	born      time.Time
	ready     bool  // it has said so
	wrote     int64 // bytes that servers before it wrote to their standard error
	failure   bool  // its welcome told of a failed upgrade

	asked string // why the keeper itself replaces it; nothing is held against it
	fault string // why the keeper ended it

	told, seen uint64 // datagrams after the welcome: those sent, and those of them that are done with
	signs      uint64 // of life
	clock      clock

	over bool
	done chan struct{} // closed when it is over: reaped, or given up
}

// finish ends a life, once. Lock held.
func (l *life) finish() {
	if !l.over {
		l.over = true
		close(l.done)
	}
}

// serveOnce starts a server, serves it to its end and all that it left in its
// queue, and pauses if servers keep failing.
func (k *keeper) serveOnce() {
	c, err := k.startServer()
	if err == nil {
		k.serve(c)
		k.bury(c)
	}
	pause := k.judge(c, err)
	k.cryForHelp()
	k.pause(pause)
}

// startServer makes the pair and the process, and puts c in place of the
// conn before.
func (k *keeper) startServer() (*conn, error) {
	c := &conn{life: life{born: time.Now(), done: make(chan struct{})}}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return c, fmt.Errorf("make a socket pair: %w", err)
	}
	for _, fd := range pair {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 512<<10)
	}
	k.in.fd = pair[0]
	c.in, c.out = k.in, &wire{fd: pair[0]}
	k.install(c)
	if err = k.startProcess(c, pair[1]); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.conn = nil
		unix.Close(pair[0])
	}
	return c, err
}

// install makes c the server that is served. There are never two: one that a
// bug of ours has left is killed first.
func (k *keeper) install(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.server.kill(unix.SIGKILL)
	k.server = nil
	k.generation++
	c.number = k.generation
	c.from, c.probation = k.binaries.choose(k.misses)
	k.conn = c
	k.setReady(false)
}

// startProcess runs the server at the other end of c, which is the socket.
func (k *keeper) startProcess(c *conn, socket int) error {
	c.wrote = k.truncateStderr()
	cmd := k.opt.Server(c.number)
	j := job{
		spawn: &Spawn{
			Tag: "server", Run: c.number, Paths: c.from.paths(cmd.Path), Argv: cmd.Argv, Env: cmd.Env, Umask: -1, ReadyFD: serverFD,
			Limits: []Limit{{Resource: unix.RLIMIT_NOFILE, Soft: k.hard, Hard: k.hard}},
		},
		stdio: [3]int{k.null, 1, k.stderr}, extra: socket, exe: c.from.exe, keep: -1, ignored: k.ignored,
	}
	k.mu.Lock()
	slot := k.arena.take()
	j.room = 2*k.held.count + 512
	k.mu.Unlock()
	if slot == nil {
		unix.Close(socket)
		return fmt.Errorf("spawn: %w", syscall.EAGAIN)
	}
	slot.lent = append(slot.lent, socket)
	e := &entry{key: runKey{"server", c.number}, serves: c}
	step, errno := k.birth(e, &j, slot)
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno != 0 {
		k.stillborn(slot)
		return fmt.Errorf("%s: %w", step, errno)
	}
	k.server, c.server = e, e
	k.launched(e, slot)
	k.kick()
	if k.end != nil || c.clock.doomed() { // wanted while it had no process
		e.kill(unix.SIGKILL)
	}
	k.watch(c)
	return nil
}

// truncateStderr keeps what crashing servers say within bounds. A successor
// that lived has read it. It returns what there is.
func (k *keeper) truncateStderr() int64 {
	var st unix.Stat_t
	if unix.Fstat(k.stderr, &st) == nil && st.Size > 1<<20 {
		_ = unix.Ftruncate(k.stderr, 0)
		return 0
	}
	return st.Size
}

// lastWords shows what the server of c wrote to its standard error, when that is
// not what the one before it wrote. Of a panic the beginning matters.
func (k *keeper) lastWords(c *conn) {
	var text [2 << 10]byte
	if k.truncateStderr() < c.wrote { // it emptied the file before
		c.wrote = 0
	}
	n, _ := unix.Pread(k.stderr, text[:], c.wrote)
	if words := strings.TrimSpace(string(text[:max(n, 0)])); words != "" && words != k.words {
		k.words = words
		k.say("%s", words)
	}
}

// serverReady notes that the server at the other end of c serves. One that is
// already being ended serves nobody. Lock held.
func (k *keeper) serverReady(c *conn) {
	if c.ready {
		return
	}
	c.ready = true
	k.setReady(!c.over && !c.clock.doomed())
	if c.failure {
		k.binaries.failed = ""
	}
	if c.probation {
		k.after(k.opt.Probation, "probation", func() { k.prove(c) })
	}
	if k.opt.Ready != nil && !k.everReady {
		go k.guarded("ready", k.opt.Ready)
	}
	k.everReady = true
}

// setReady notes whether somebody serves. Lock held.
func (k *keeper) setReady(ready bool) {
	k.ready = ready
	k.expectServer()
}

// serverEnded is the reaper's word that a server is no more. Nothing can be
// added to its queue; what is there is still read. Lock held.
func (k *keeper) serverEnded(c *conn) {
	c.finish()
	if k.conn == c {
		_ = unix.Shutdown(c.out.fd, unix.SHUT_RDWR)
		k.setReady(false)
	}
}

// bury waits for the process whose queue is read to its end. One that closed
// its socket and lives is killed; one that survives that, stuck in the
// kernel, is left to the reaper.
func (k *keeper) bury(c *conn) {
	linger := time.NewTimer(lingerAfter)
	defer linger.Stop()
	select {
	case <-c.done:
	case <-linger.C:
		k.endServer()
		<-c.done
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c.dead = true
	_ = unix.Shutdown(c.out.fd, unix.SHUT_RDWR) // wakes the writer goroutine
	for c.waited {
		k.wrote.Wait()
	}
	k.forgive()
	if !c.server.reaped {
		k.server = nil // an orphan like others from now on
	}
	k.conn = nil
	unix.Close(c.out.fd)
}

// restart replaces the server by another of the same binary, at once. Lock
// held.
func (k *keeper) restart() {
	if k.conn == nil {
		k.hurryUp()
	} else if k.end == nil {
		k.conn.asked = "is replaced, as a signal asked"
		k.killServer(k.conn)
	}
}
