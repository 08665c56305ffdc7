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
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG:
		default:
			all = append(all, sig)
		}
	}
	signal.Notify(caught, all...)
	ignoreReserved()
	return caught
}

// ignoreReserved ignores the signals Go keeps for a C library and does not
// deliver; 34, a program's SIGRTMIN, would end us. Children begin with
// defaults anyway.
func ignoreReserved() {
	ignore := [4]uintptr{1} // SIG_IGN
	for sig := uintptr(32); sig <= 34; sig++ {
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
	}
}

// asks is what has been asked by signals.
type asks [Restart + 1]struct {
	times, acked uint64
	owed         bool
}

func (a *asks) ask(what Asking) {
	a[what].times++
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
			list = append(list, Ask{Asking(i), a[i].times})
		}
	}
	return list
}

// unacknowledged is what a new server must be told.
func (a *asks) unacknowledged() (list []Ask) {
	for i := range a {
		if a[i].times > a[i].acked {
			list = append(list, Ask{Asking(i), a[i].times})
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
	if !known || what < Stop || what > Restart {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if what == Restart { // needs nobody's consent
		k.restart()
		return
	}
	k.asks.ask(what)
	k.flush()
	if what.Ends() {
		k.hurryUp()
		k.expectServer()
	}
}
