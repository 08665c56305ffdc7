package keeper

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// exitWithin is how long a server may live after it asked for the end.
const exitWithin = 5 * time.Second

// endWanted notes how it ends, and lets go of the server: it hears that it is
// alone, and exits or is killed. Lock held.
func (k *keeper) endWanted(end End) {
	if k.end != nil {
		return
	}
	k.end = &end
	if k.conn != nil {
		k.conn.dead = true
		_ = unix.Shutdown(k.conn.out.fd, unix.SHUT_WR)
		k.forgive()
		k.wrote.Broadcast()
	}
	k.after(exitWithin, "end", k.endServer)
	k.hurryUp()
}

// endServer kills the server there is, be it one that was just being started
// when the end was wanted.
func (k *keeper) endServer() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.killServer(k.conn)
}

// expectServer watches over a request to end while nobody is ready to carry it
// out: when that lasts, the keeper does it alone. It is called whenever one of
// the two changes. Lock held.
func (k *keeper) expectServer() {
	if k.ready || k.asks.ending() == 0 || k.end != nil {
		if k.alone != nil {
			k.alone.Stop()
			k.alone = nil
		}
		return
	}
	if k.alone == nil {
		k.alone = k.after(k.opt.Patience, "end", k.endAlone)
	}
}

// endAlone ends everything without a server.
func (k *keeper) endAlone() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ready || k.end != nil {
		return
	}
	k.say("no server is ready to stop the services in order; ending them all")
	k.endWanted(End{How: k.asks.ending(), Status: StatusAlone})
	k.killServer(k.conn)
}

// sweep ends all that is left, now that the server is gone: TERM, a grace,
// KILL.
func (k *keeper) sweep() End {
	k.mu.Lock()
	end := *k.end
	k.mu.Unlock()
	if k.sweepWith(unix.SIGTERM, k.opt.Grace) || k.sweepWith(unix.SIGKILL, k.opt.Grace) {
		return end
	}
	k.say("some processes outlived SIGKILL")
	if end.Status == 0 {
		end.Status = StatusAlone
	}
	return end
}

// sweepWith signals all that is left and waits at most for d. It reports
// whether nothing is left. KILL is repeated, for those born meanwhile.
func (k *keeper) sweepWith(sig unix.Signal, d time.Duration) (clean bool) {
	deadline := time.Now().Add(d)
	for n := 0; anyChild(); n++ {
		if time.Now().After(deadline) {
			return false
		}
		if n == 0 || sig == unix.SIGKILL && n%10 == 0 {
			everybody(sig)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// anyChild reports whether we have a child, dead or alive. All that descend
// from us become our children before they can be without a parent.
func anyChild() bool {
	_, _, errno := peek(unix.WNOHANG)
	return errno == 0
}

// everybody signals all there is: in PID 1 the whole namespace, else those who
// descend from us. The reaper goes on meanwhile, so each is signalled through
// a descriptor that cannot come to mean another.
func everybody(sig unix.Signal) {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, sig)
		return
	}
	for pid, start := range descendants(os.Getpid()) {
		signalExactly(pid, start, sig)
	}
}

// descendants returns the start times of all processes below root, by pid.
func descendants(root int) map[int]uint64 {
	type kin struct {
		parent int
		start  uint64
	}
	all := map[int]kin{}
	_ = processes(func(pid int, s stat) { all[pid] = kin{s.ppid, s.start} })
	below := map[int]uint64{}
	for pid, self := range all {
		for up, steps := self.parent, 0; up > 1 && steps < len(all); up, steps = all[up].parent, steps+1 {
			if up == root {
				below[pid] = self.start
				break
			}
		}
	}
	return below
}

// signalExactly signals pid if it is still the process that started then.
func signalExactly(pid int, start uint64, sig unix.Signal) {
	if pid <= 1 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	if s, ok := readStat(pid); !ok || s.start != start {
		return
	}
	if err != nil { // before Linux 5.3
		_ = unix.Kill(pid, sig)
		return
	}
	_ = unix.PidfdSendSignal(fd, sig, nil, 0)
}
