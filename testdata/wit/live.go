package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// witness is one run: it owns the channel of signals and ends in live.
type witness struct {
	*plan
	notes   *notes
	signals chan os.Signal
	gated   chan struct{}
}

// live does what the plan says and returns the exit status.
func (w *witness) live() int {
	w.signals = make(chan os.Signal, 64)
	signal.Notify(w.signals, noted()...)
	if w.look {
		lookBack(w.notes)
	}
	w.notes.put(w.kind, os.ExpandEnv(w.detail))
	for range w.fork {
		leave(w.plan, w.notes, w.forkMode)
	}
	if w.holdStdout > 0 {
		hold(w.plan, w.notes)
	}
	if w.raw != "" {
		if err := rawBytes(os.Stdout, w.raw); err != nil {
			return w.end(4)
		}
	}
	if w.readyFD > 0 {
		go w.ready()
	}
	switch {
	case w.say != "" && w.ends && w.after == 0: // it says it with its last breath
		w.notify()
	case w.say != "":
		go w.notify()
	}
	switch {
	case w.tally != "":
		if err := w.chatter(); err != nil {
			fmt.Fprintln(os.Stderr, "wit: cannot keep a tally:", err)
			return w.end(4)
		}
	case w.lines != 0:
		go count(os.Stdout, w.lines, w.rate)
	}
	if w.mustFail() {
		return w.end(1)
	}
	return w.wait()
}

// mustFail says whether this is one of the first runs, which are to fail.
func (w *witness) mustFail() bool {
	return w.failRuns > 0 && len(w.notes.earlier("START")) <= w.failRuns
}

// wait handles signals until the end comes.
func (w *witness) wait() int {
	var end <-chan time.Time
	if w.ends && w.gate == "" {
		end = time.After(w.after)
	}
	if w.gate != "" {
		w.gated = make(chan struct{})
		go w.openGate()
	}
	for {
		select {
		case s := <-w.signals:
			if w.heard(s) {
				return w.end(0)
			}
		case <-end:
			return w.finish()
		case <-w.gated:
			return w.finish()
		}
	}
}

// heard notes a signal and says whether it ends the run.
func (w *witness) heard(s os.Signal) bool {
	switch s {
	case syscall.SIGTERM:
		w.notes.put("TERM", "")
		if w.ignoreTerm {
			return false
		}
		if w.lastWords > 0 {
			count(os.Stdout, w.lastWords, 0)
		}
		time.Sleep(w.termDelay)
		return true
	case syscall.SIGCONT:
		w.notes.put("CONT", "")
	default:
		w.notes.put("SIGNAL", unix.SignalName(s.(syscall.Signal)))
	}
	return false
}

// finish is the end the plan asked for.
func (w *witness) finish() int {
	if w.die == "" {
		return w.end(w.exit)
	}
	sig := unix.SignalNum("SIG" + w.die)
	w.notes.put("EXIT", "signal:"+w.die)
	mortal(sig)
	_ = unix.Kill(os.Getpid(), sig)
	time.Sleep(10 * time.Second) // the signal is on its way
	return 5
}

// mortal gives a signal back to the kernel: Go would print its stacks for some
// and end with status 2, and do nothing for others.
func mortal(sig syscall.Signal) {
	var standard [4]uintptr // SIG_DFL, no flags, no mask
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&standard)), 0, 8, 0, 0)
}

func (w *witness) end(status int) int {
	w.notes.put("EXIT", strconv.Itoa(status))
	return status
}

// ready is the s6 way: a newline on a descriptor.
func (w *witness) ready() {
	time.Sleep(w.readyAfter)
	w.notes.put("READY", "")
	f := os.NewFile(uintptr(w.readyFD), "ready")
	_, _ = f.WriteString("\n")
	_ = f.Close()
}

// openGate returns when somebody opens the FIFO for writing.
func (w *witness) openGate() {
	f, err := os.Open(w.gate)
	if err == nil {
		_ = f.Close()
	}
	close(w.gated)
}

// noted lists the signals that are worth a record: all but the runtime's own
// (URG, CHLD, PIPE, PROF) and those that nobody can catch.
func noted() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
		syscall.SIGALRM, syscall.SIGTSTP, syscall.SIGPWR,
	}
}
