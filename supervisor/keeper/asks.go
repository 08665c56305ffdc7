package keeper

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CatchSignals subscribes to every signal but CHLD and URG, which end nothing
// and of which there would be many. Until it is called a TERM ends a Go
// program, PID 1 too, so it belongs first in main. The channel is for
// Options.Caught.
func CatchSignals() <-chan os.Signal {
	caught := make(chan os.Signal, 256)
	var all []os.Signal
	for _, n := range catchable() {
		if sig := syscall.Signal(n); sig != syscall.SIGCHLD && sig != syscall.SIGURG {
			all = append(all, sig)
		}
	}
	signal.Notify(caught, all...)
	setAction(1, 32, 33, 34) // SIG_IGN: see below
	setAction(0, uintptr(syscall.SIGCHLD))
	return caught
}

// setAction sets what signals do, without Go. Ignored are those that it keeps for a
// C library and does not deliver; 34, a program's SIGRTMIN, would end us. By default
// SIGCHLD wakes nobody; Go's handler would have some thread wake for every child that
// ends, and take the processor from the reaper, which the end wakes itself (measured:
// 25 µs of a restart). Children begin with defaults anyway.
func setAction(handler uintptr, signals ...uintptr) {
	action := [4]uintptr{handler}
	for _, sig := range signals {
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}

// asks is what has been asked by signals.
type asks [Restart + 1]struct {
	times, acked uint64
	sig          syscall.Signal // by which it was asked for last
	owed         bool
}

func (a *asks) ask(what Asking, sig syscall.Signal) {
	a[what].times++
	a[what].sig = sig
	a[what].owed = true
}

// ack strikes off what was asked up to then; what was asked since stays.
func (a *asks) ack(ask Ask) {
	if ask.What >= Stop && ask.What <= Restart {
		a[ask.What].acked = max(a[ask.What].acked, min(ask.Times, a[ask.What].times))
	}
}

func (a *asks) owed() bool {
	for i := range a {
		if a[i].owed {
			return true
		}
	}
	return false
}

func (a *asks) told() {
	for i := range a {
		a[i].owed = false
	}
}

// pending is what the present server has not been told.
func (a *asks) pending() (list []Ask) {
	for i := range a {
		if a[i].owed {
			list = append(list, Ask{Asking(i), a[i].times, a[i].sig})
		}
	}
	return list
}

// unacknowledged is what a new server must be told.
func (a *asks) unacknowledged() (list []Ask) {
	for i := range a {
		if a[i].times > a[i].acked {
			list = append(list, Ask{Asking(i), a[i].times, a[i].sig})
		}
	}
	return list
}

// ending is the first ending that was asked for, acknowledged or not; 0: none.
func (a *asks) ending() Asking {
	for what := Stop; what <= Halt; what++ {
		if a[what].times > 0 {
			return what
		}
	}
	return 0
}

// hearOnce acts on one signal. One that means nothing does nothing.
func (k *keeper) hearOnce() {
	sig, _ := (<-k.opt.Caught).(syscall.Signal)
	what, known := k.opt.Signals[sig]
	k.mu.Lock()
	defer k.mu.Unlock()
	if !known || what < Stop || what > Restart {
		k.forward(sig)
		return
	}
	if what == Restart { // needs nobody's consent
		k.restart()
		return
	}
	k.asks.ask(what, sig)
	k.flush()
	if what.Ends() {
		k.hurryUp()
		k.expectServer()
	}
}

// forward passes a signal on to the main process of the run that gets those
// that say nothing to us, whether or not a server is there. SIGPIPE is not
// passed on: it comes of our own writes. Lock held.
func (k *keeper) forward(sig syscall.Signal) {
	if k.opt.Forward == "" || sig == 0 || sig == syscall.SIGPIPE {
		return
	}
	for _, e := range k.children.byPid {
		if e.key.tag == k.opt.Forward && e.execed && !e.dead {
			_ = send(e.pid, sig)
		}
	}
}

// GiveUpTerminal parts this process from its controlling terminal, which a run
// with OwnTTY can then have. The hang-up that comes of it reaches nobody else
// when it is called before anything is started. It reports whether descriptor
// 0 is a terminal at all.
func GiveUpTerminal() bool {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		return false
	}
	_ = unix.IoctlSetInt(0, unix.TIOCNOTTY, 0)
	return true
}
