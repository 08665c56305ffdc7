package keeper

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// serve reads requests until the server is gone and all it left in its queue
// is read. The exec watcher is told of new children when there is nothing to
// read.
func (k *keeper) serve(c *conn) {
	for flags := 0; ; flags = unix.MSG_DONTWAIT {
		k.awaitTold(c)
		b, fds, cut, errno := c.in.receive(flags)
		if errno == syscall.EAGAIN {
			k.tell(true)
			b, fds, cut, errno = c.in.receive(0)
		}
		switch {
		case errno == syscall.EINTR, errno == syscall.ECONNRESET:
			continue // after a reset the queue is still to be read
		case errno != 0 || len(b) == 0:
			return
		}
		k.guarded("requests", func() { fds = k.handleAll(c, b, fds, cut) })
		closeAll(fds)
		k.tell(false)
	}
}

// tell tells the server what is owed, and after a burst the exec watcher of
// the children that are still starting. That somebody was spawned is told
// with the end of its exec, unless that takes longer than the exec watcher
// waits: one message in place of two.
func (k *keeper) tell(burstOver bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settleAll()
	if k.urgent || k.asks.owed() {
		k.flush()
	}
	if burstOver {
		k.kick()
	}
}

// awaitTold waits while answers are owed to a server that does not read them:
// it makes no new ones until it does.
func (k *keeper) awaitTold(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c.blocked && !c.dead {
		k.wrote.Wait()
	}
}

// handleAll does what one datagram asks for and returns the descriptors that
// are to be closed. What it cannot read is counted and ignored.
func (k *keeper) handleAll(c *conn, b []byte, fds []int, cut bool) (surplus []int) {
	err := records(b, func(kind byte, d *decoder) error {
		r := &k.request
		if err := r.decode(kind, d); err != nil {
			return err
		}
		n := r.nfds
		if r.kind == recUpgrade {
			n = 1
		}
		n = min(n, len(fds))
		surplus = append(surplus, k.handle(c, r, fds[:n:n])...)
		fds = fds[n:]
		return nil
	})
	if err != nil || cut {
		k.mu.Lock()
		k.malformed++
		k.mu.Unlock()
	}
	return append(surplus, fds...)
}

// handle does one request, with the descriptors that it claims, and returns what
// is to be closed.
func (k *keeper) handle(c *conn, r *request, fds []int) (surplus []int) {
	switch r.kind { // these take the lock where they need it
	case recSpawn:
		k.spawn(&r.spawn)
		return nil
	case recHold:
		return k.hold(r, fds)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch r.kind {
	case recHello:
		if r.num == version {
			k.greet(c)
			k.welcomeNext(c)
		}
	case recNext:
		c.signs++
		k.welcomeNext(c)
	case recSeen:
		if r.num > c.seen && r.num <= c.told {
			c.seen = r.num
			c.signs++
		}
	case recSignal:
		k.signal(&r.signal)
	case recAck:
		k.ack(r.ack, runKey{r.spawn.Tag, r.spawn.Run})
	case recAckAsk:
		k.asks.ack(r.ask)
	case recDrop:
		return k.drop(r.name)
	case recReady:
		k.serverReady(c)
	case recUpgrade:
		return k.upgrade(c, r.num, fds)
	case recEnd:
		k.endWanted(r.end)
	}
	return nil
}

// hold records descriptors, all of those meant or none.
func (k *keeper) hold(r *request, fds []int) (surplus []int) {
	for i, fd := range fds {
		fds[i] = up(fd)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	errno := syscall.EMFILE // some did not arrive: our table is full
	surplus = fds
	if len(fds) == r.nfds {
		surplus, errno = k.held.put(r.name, fds)
	}
	k.answer(Event{Kind: Held, Name: r.name, Errno: errno})
	return surplus
}

// ack strikes off a fact. Lock held.
func (k *keeper) ack(kind EventKind, key runKey) {
	e := k.children.byKey[key]
	if e == nil {
		return
	}
	// What has not happened cannot be acknowledged.
	if kind == Failed && e.failed || kind == Exited && e.reaped || kind == Gone && e.gone {
		e.acked.add(kind)
		k.children.free(e)
	}
}

// signal sends one signal, once. The main process is pinned by the table: only
// the reaper frees its number, under the same lock. Lock held.
func (k *keeper) signal(s *Signal) {
	ev := Event{Kind: Signaled, Tag: s.Tag, Run: s.Run, Seq: s.Seq, Outcome: Absent}
	e := k.children.byKey[runKey{s.Tag, s.Run}]
	switch {
	case e == nil || e.failed || e.gone || e.pid <= 1:
	case s.Seq <= e.seq:
		ev.Outcome = Sent
	case e.spawning():
		// It may not have a group yet, and nobody else can be in it.
		ev.Outcome, ev.Errno = Pending, send(e.pid, s.Sig)
	case !e.reaped && s.ToGroup:
		ev.Outcome, ev.Errno = Sent, send(-e.pid, s.Sig)
	case !e.reaped:
		ev.Outcome, ev.Errno = Sent, send(e.pid, s.Sig)
	case s.ToGroup && k.provenGroup(e):
		ev.Outcome, ev.Errno = Sent, send(-e.pid, s.Sig)
		k.poke()
	}
	if ev.Outcome != Absent {
		e.seq = max(e.seq, s.Seq)
	}
	if e != nil {
		ev.Pid = e.pid
	}
	k.answer(ev)
}

// send signals a child of ours or its group, never pid 0, 1 or -1.
func send(pid int, sig syscall.Signal) syscall.Errno {
	if pid >= -1 && pid <= 1 {
		return syscall.EINVAL
	}
	if err := unix.Kill(pid, sig); err != nil {
		return errnoOf(err)
	}
	return 0
}
