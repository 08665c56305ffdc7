package keeper

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawn starts a run, or tells again about one that is known. Only the
// goroutine that reads requests calls it.
func (k *keeper) spawn(s *Spawn) {
	key := runKey{s.Tag, s.Run}
	if k.known(key) {
		return
	}
	slot, errno := k.reserve()
	if errno == 0 {
		errno = k.begin(key, s, slot)
	}
	if errno == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if slot != nil {
		k.giveBack(slot)
	}
	k.answer(Event{Kind: Busy, Tag: s.Tag, Run: s.Run, Errno: errno})
}

// known tells again all that has happened to a run, if there is one.
func (k *keeper) known(key runKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.children.byKey[key]
	if e == nil {
		return false
	}
	past := [...]bool{Spawned: e.pid > 0, Execed: e.execed, Failed: e.failed, Exited: e.reaped && !e.failed, Gone: e.gone}
	for kind, is := range past {
		if is {
			k.owe(e, EventKind(kind))
		}
	}
	return true
}

// slotPatience is how long a spawn waits for a child before it to reach its
// exec when all slots are in use.
const slotPatience = 50 * time.Millisecond

// reserve takes a slot, if the tables have room for one more run. In a burst
// it waits for one; when none came free for a while (all execs hang) nobody
// waits any more until one does.
func (k *keeper) reserve() (*slot, syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.children.byKey) >= maxChildren || k.held.count+len(ends) > maxHeld {
		return nil, syscall.ENFILE
	}
	k.settleAll()
	if len(k.arena.free) == 0 && !k.starved {
		k.flush()
		k.kick()
		timer := time.AfterFunc(slotPatience, k.starve)
		defer timer.Stop()
		for len(k.arena.free) == 0 && !k.starved {
			k.roomy.Wait()
		}
	}
	if s := k.arena.take(); s != nil {
		return s, 0
	}
	return nil, syscall.EAGAIN
}

func (k *keeper) starve() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.starved = len(k.arena.free) == 0
	k.roomy.Broadcast()
}

// giveBack returns a slot. Lock held.
func (k *keeper) giveBack(s *slot) {
	k.arena.give(s)
	k.starved = false
	k.roomy.Broadcast()
}

// begin starts a run on a slot. An errno means that no entry was made and the
// slot is unused.
func (k *keeper) begin(key runKey, s *Spawn, slot *slot) syscall.Errno {
	e := &entry{key: key, atExit: s.AtExit}
	j := job{spawn: s, stdio: [3]int{k.null, k.null, k.null}, extra: -1, exe: -1, keep: -1, nofileHard: k.hard, ignored: k.ignored, oom: k.oom}
	if !j.possible() {
		return k.refuse(e, slot, stepMessage, syscall.EINVAL)
	}
	write, errno := e.makePipes(s, slot)
	switch errno {
	case 0:
	case syscall.EMFILE, syscall.ENFILE:
		e.closePipes()
		return errno
	default:
		return k.refuse(e, slot, stepPipe, errno)
	}
	switch s.TTY {
	case "":
		j.stdio[1], j.stdio[2] = write[0], write[1]
	case OwnTTY:
		j.stdio = [3]int{}
	}
	if s.Tag == k.opt.Forward {
		j.stdio[0] = 0
	}
	j.extra = write[2]
	pipes := len(slot.lent)
	step, errno := k.birth(e, &j, slot)
	if errno != 0 {
		return k.refuse(e, slot, step, errno)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held.count += pipes // reserve saw the room
	k.children.add(e)
	k.owe(e, Spawned)
	k.launched(e, slot)
	return 0
}

// refuse makes the entry of a run that never had a process.
func (k *keeper) refuse(e *entry, slot *slot, step string, errno syscall.Errno) syscall.Errno {
	e.closePipes()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stillborn(slot)
	e.failed, e.step, e.errno = true, step, errno
	k.children.add(e)
	k.owe(e, Failed)
	return 0
}

// stillborn ends a birth that came to nothing. Lock held.
func (k *keeper) stillborn(slot *slot) {
	k.cloning = false
	k.born.Broadcast()
	k.giveBack(slot)
}

// birth makes the process. Until launched or refuse is called the reaper leaves
// children alone that it does not know.
func (k *keeper) birth(e *entry, j *job, slot *slot) (step string, errno syscall.Errno) {
	if slot.cgroup, errno = j.openCgroup(); errno != 0 {
		return stepCgroup, errno
	}
	if cgroup := slot.cgroup; cgroup >= 0 {
		defer unix.Close(cgroup)
	}
	j.forks = j.ownMemory()
	if errno := j.prepare(slot); errno != 0 {
		return stepMessage, errno
	}
	k.mu.Lock()
	k.cloning = true
	k.mu.Unlock()
	before := ticks()
	if !k.forking {
		e.slot = slot
		e.pid, errno = j.clone(slot)
		k.forking = errno == syscall.EINVAL || errno == syscall.ENOSYS || errno == syscall.EPERM
	}
	if k.forking {
		e.slot = nil
		var report int
		e.pid, report, errno = forkSteps(j)
		e.report = int32(report)
	}
	if errno != 0 {
		e.pid, e.slot = 0, nil
		return stepClone, errno
	}
	// A start time is known without a look at /proc when no tick passed.
	if e.start = ticks(); e.start != before {
		if st, ok := readStat(e.pid); ok {
			e.start = st.start
		}
	}
	return "", 0
}

// clone starts the child of a prepared slot. One that the kernel does not start
// in its cgroup is started without and moves itself, so that what is wrong is
// told by the step that says it. A cgroup without room is no such case: it lets
// everybody move in.
func (j *job) clone(s *slot) (pid int, errno syscall.Errno) {
	pid, errno = clone(s)
	if s.cgroup < 0 || errno == 0 || errno == syscall.EAGAIN || errno == syscall.ENOMEM {
		return pid, errno
	}
	s.reset()
	if errno := j.prepare(s); errno != 0 {
		return 0, errno
	}
	return clone(s)
}

// launched has somebody watch for the end of e's exec, and lets the reaper
// look for e. Lock held.
func (k *keeper) launched(e *entry, slot *slot) {
	if e.slot == nil {
		k.urgent = true
		k.giveBack(slot)
		fd := e.report
		go k.guarded("exec watcher", func() { k.watchReport(e, int(fd)) })
	} else {
		k.starting = append(k.starting, e)
		k.unseen = true
	}
	k.cloning = false
	k.births++
	k.born.Broadcast()
}

// settleAll settles all children that have left their slots. Lock held.
func (k *keeper) settleAll() {
	for i := len(k.starting) - 1; i >= 0; i-- {
		if k.starting[i].slot.left() {
			k.settle(k.starting[i])
		}
	}
}

// settle notes that e's child has left its slot: its program runs, a step
// failed, or it was killed on the way. Lock held; the reaper calls it with
// the zombie still there.
func (k *keeper) settle(e *entry) {
	step, errno := e.slot.verdict()
	k.giveBack(e.slot)
	e.slot = nil
	k.arena.trim()
	for i, o := range k.starting {
		if o == e {
			k.starting[i] = k.starting[len(k.starting)-1]
			k.starting = k.starting[:len(k.starting)-1]
			break
		}
	}
	k.decide(e, step, errno)
}

// decide notes what became of e's way to its exec. Lock held.
func (k *keeper) decide(e *entry, step string, errno syscall.Errno) {
	switch {
	case errno != 0:
		e.failed, e.step, e.errno = true, step, errno
		k.news(e, Failed)
	case e.dead && e.noExec, e.seq > 0 && killedBeforeExec(e.pid):
	default:
		e.execed = true
		k.news(e, Execed)
	}
}

// killedBeforeExec reports whether a child that has left our memory did so
// because it was killed.
func killedBeforeExec(pid int) bool {
	const killed = pfForkNoExec | pfExiting
	s, ok := readStat(pid)
	return ok && s.flags&killed == killed
}

// news owes kind to the server, unless e is the server. Lock held.
func (k *keeper) news(e *entry, kind EventKind) {
	if e.serves == nil {
		k.owe(e, kind)
	}
}
