package keeper

import (
	"slices"
	"syscall"
)

// What a Client reads of what the keeper tells.

// add takes one record of the welcome, and returns the descriptors it did not
// claim.
func (w *Welcome) add(kind byte, d *decoder, fds []int) []int {
	switch kind {
	case recWelcome:
		w.Generation, w.Failures, w.Probation, w.KeeperPID = d.u64(), d.num(), d.flag(), d.num()
		w.UpgradeFailed = d.str(maxFailure)
		if len(d.b) > 0 {
			w.Upgrade = d.u64()
		}
	case recChild:
		if ev := d.event(); !d.bad {
			w.Children = append(w.Children, ev.child())
		}
	case recAsk:
		a := d.ask()
		if d.by(&a); !d.bad {
			w.Asked = append(w.Asked, a)
		}
	case recKilled:
		w.Killed = true
	case recHeld:
		name, n := d.str(MaxName), d.num()
		if d.bad || n < 0 || n > len(fds) {
			d.bad = true
			return fds
		}
		w.Held[name] = slices.Clone(fds[:n])
		return fds[n:]
	}
	return fds
}

// event reads what encoder.event wrote. The descriptors are still to be
// claimed: their FD is -1.
func (d *decoder) event() Event {
	ev := Event{
		Kind: EventKind(d.u8()), Tag: d.str(MaxTag), Run: d.u64(), Pid: d.num(), StartTime: d.u64(),
		Step: d.str(64), Errno: syscall.Errno(d.u32()),
		Status: syscall.WaitStatus(d.u32()), NoExec: d.flag(), AtNS: int64(d.u64()),
		UserUS: int64(d.u64()), SysUS: int64(d.u64()), MaxRSSKB: int64(d.u64()),
		Seq: d.u64(), Outcome: Outcome(d.u8()), Name: d.str(MaxName), Ask: d.ask(),
	}
	for range d.count(maxPassed, 4) {
		ev.FDs = append(ev.FDs, NamedFD{Name: d.str(MaxName), FD: -1})
	}
	d.by(&ev.Ask)
	return ev
}

// child is ev as an entry of the welcome.
func (ev *Event) child() Child {
	return Child{
		Tag: ev.Tag, Run: ev.Run, Pid: ev.Pid, StartTime: ev.StartTime, Phase: ev.Kind,
		Step: ev.Step, Errno: ev.Errno, Status: ev.Status, NoExec: ev.NoExec, AtNS: ev.AtNS,
		UserUS: ev.UserUS, SysUS: ev.SysUS, MaxRSSKB: ev.MaxRSSKB, Seq: ev.Seq,
	}
}

// by reads what encoder.by wrote.
func (d *decoder) by(a *Ask) {
	if len(d.b) > 0 {
		a.Sig = syscall.Signal(d.u8())
	}
}
