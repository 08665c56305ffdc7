package keeper

import (
	"cmp"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
)

// binaries is what servers are started from, by descriptor: nothing that
// happens to a file changes what runs.
type binaries struct {
	good   int    // the one that last proved itself, at first our own; -1: it could not be opened
	trial  int    // the upgrade that is on trial; -1: none
	deaths int    // of servers on trial
	number uint64 // of the last upgrade; 1 before the first
	failed string // what became of it, while a server is still to hear that it failed
}

// launch is what one server is started from.
type launch struct {
	exe   int  // the binary; -1: what the path leads to
	trial bool // it is an upgrade, which has no other way to start
}

// openBinary opens a binary to be executed, whatever becomes of its name.
func openBinary(path string) int {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// choose returns what the next server is started from, and whether that has
// yet to prove itself. From the third start on that follows servers which came
// to nothing, the good binary and the path take turns. Lock held.
func (b *binaries) choose(misses int) (from launch, probation bool) {
	switch {
	case b.trial >= 0:
		return launch{exe: b.trial, trial: true}, true
	case b.good < 0:
		return launch{exe: -1}, false
	case misses >= 2 && misses%2 == 0:
		return launch{exe: -1}, true
	}
	return launch{exe: b.good}, false
}

// paths returns what is tried after the binary.
func (l launch) paths(path string) []string {
	switch {
	case l.trial:
		return nil
	case path == "":
		return []string{"/proc/self/exe"}
	}
	return []string{path}
}

// upgrade puts a binary on trial: the server is replaced by one that runs it.
// It returns what is to be closed. Lock held.
func (k *keeper) upgrade(c *conn, number uint64, fds []int) (surplus []int) {
	if len(fds) == 0 { // our table is full
		k.answer(Event{Kind: Refused, Errno: syscall.EMFILE})
		return nil
	}
	b := &k.binaries
	if b.trial >= 0 {
		surplus = []int{b.trial}
	}
	b.trial, b.deaths, b.failed, b.number = fds[0], 0, "", max(b.number, number)
	c.asked = "is replaced by an upgrade"
	k.killServer(c)
	return surplus
}

// prove ends the probation of the server at the other end of c, if it still
// serves: its binary is what the keeper goes back to from now on.
func (k *keeper) prove(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn != c || c.over || c.clock.doomed() || c.asked != "" {
		return
	}
	b := &k.binaries
	proven := b.trial
	if !c.from.trial {
		proven = openBinary(fmt.Sprintf("/proc/%d/exe", c.server.pid))
	}
	if proven < 0 {
		return
	}
	if b.good >= 0 {
		unix.Close(b.good)
	}
	b.good, b.trial, b.deaths = proven, -1, 0
	c.from, c.probation = launch{exe: proven}, false
	k.answer(Event{Kind: Proven})
	k.flush()
}

// judge says what became of a server, decides what that means for the next,
// and returns how long that one has to wait.
//
// A miss is a server that was not ready in its life, or that ended by itself
// in the first ten ticks of it: such servers are started ever more slowly. One
// that was ready and lived or was killed ends the row.
//
// An upgrade is given up when its server ends by itself before it is ready,
// cannot be run, hangs or is not ready in time, or with the second death of any
// kind: the first may have been somebody's SIGKILL.
func (k *keeper) judge(c *conn, err error) (pause time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed = c.asked == "" && c.killed(); k.end != nil {
		k.lastWords(c)
		return 0
	}
	how := c.epitaph(err)
	if c.ready {
		k.failures = 0
	}
	if c.asked != "" {
		k.say("%s; the services go on", how)
		return 0
	}
	if c.from.trial && k.fails(c) {
		k.giveUp(how)
		return 0
	}
	young := time.Since(c.born) < patienceTicks*k.opt.Tick
	if !c.ready || c.byItself() && young {
		k.misses++
	} else {
		k.misses = 0
	}
	if !c.ready && c.byItself() {
		k.failures++
	}
	if pause = k.pauseTime(); pause > 0 {
		k.say("%s; another starts in %v; the services go on", how, pause)
	} else {
		k.say("%s; another starts; the services go on", how)
	}
	if k.misses > 1 { // the words of the first are shown by a successor, if there is one
		k.lastWords(c)
	}
	return pause
}

// fails counts the death of a server on trial and reports whether its binary
// has failed. Lock held.
func (k *keeper) fails(c *conn) bool {
	k.binaries.deaths++
	hopeless := !c.ready && (c.byItself() || c.server != nil && c.server.failed)
	return hopeless || c.fault != "" || k.binaries.deaths >= 2
}

// giveUp goes back from an upgrade to the binary before it. Lock held.
func (k *keeper) giveUp(how string) {
	b := &k.binaries
	unix.Close(b.trial)
	b.trial, b.deaths, b.failed = -1, 0, how
	k.misses, k.failures = 0, 0
	k.say("the upgrade failed: %s; the version before it comes back; the services go on", how)
}

// byItself reports whether it was the server's own doing that it ended: an
// exit, a panic, a hang. SIGKILL from outside is not, nor is a program that
// could not be run.
func (l *life) byItself() bool {
	e := l.server
	switch {
	case e == nil || e.failed:
		return false
	case l.fault != "":
		return true
	}
	return e.reaped && !l.killed()
}

// killed reports whether a server that the keeper did not condemn got SIGKILL.
func (l *life) killed() bool {
	e := l.server
	return l.fault == "" && e != nil && e.reaped && e.status.Signaled() && e.status.Signal() == syscall.SIGKILL
}

// epitaph says how a server ended.
func (l *life) epitaph(err error) string {
	e := l.server
	if err != nil || e == nil {
		return fmt.Sprintf("cannot start a server: %v", err)
	}
	who := fmt.Sprintf("server %d (pid %d) ", l.number, e.pid)
	left := ""
	if !e.reaped {
		left = " and outlived SIGKILL"
	}
	switch {
	case e.failed:
		return who + fmt.Sprintf("cannot run: %s: %v", e.step, e.errno)
	case l.asked != "" || l.fault != "":
		return who + cmp.Or(l.asked, l.fault) + left
	case left != "":
		return who + "closed its socket" + left
	case !l.ready:
		return who + "ended before it was ready: " + describe(e.status)
	}
	return who + "ended: " + describe(e.status)
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit %d", status.ExitStatus())
}

// pauseTime is how long the next server waits: not at all after the first
// miss, then ever longer. Lock held.
func (k *keeper) pauseTime() time.Duration {
	if k.misses < 2 {
		return 0
	}
	return min(firstPause<<min(k.misses-2, 16), longestPause)
}

// pause waits before the next server is started. A request to end cuts it
// short.
func (k *keeper) pause(d time.Duration) {
	if d == 0 || k.wanted() != nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-k.hurry:
	case <-timer.C:
	}
}

// hurryUp ends a pause, the present or the next. Lock held.
func (k *keeper) hurryUp() {
	select {
	case k.hurry <- struct{}{}:
	default:
	}
}
