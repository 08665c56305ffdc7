package supervisor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes the loop at a moment of CLOCK_MONOTONIC. It is a timerfd, because
// Go's own timers are kept to the millisecond by the poller, which is as long
// as a short restart delay. Where there is none it is one of Go's.
type alarm struct {
	C chan struct{} // gets a value when the moment has come

	file  *os.File    // nil: timer
	timer *time.Timer // nil: file
	at    int64       // what it is set to, 0: not set
}

func newAlarm() *alarm {
	a := &alarm{C: make(chan struct{}, 1)}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		a.timer = time.AfterFunc(time.Hour, a.ring)
		a.timer.Stop()
		return a
	}
	a.file = os.NewFile(uintptr(fd), "alarm")
	go a.listen()
	return a
}

// set moves the alarm to at, CLOCK_MONOTONIC nanoseconds; 0 unsets it. The
// supervisor's lock guards it.
func (a *alarm) set(at int64) {
	if a == nil || a.at == at {
		return
	}
	a.at = at
	if a.timer != nil {
		if at == 0 {
			a.timer.Stop()
		} else {
			a.timer.Reset(time.Duration(max(at-monotonic(), 0)))
		}
		return
	}
	conn, err := a.file.SyscallConn()
	if err != nil {
		return // closed
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(at)}
	_ = conn.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil) })
}

// rang says that the alarm has done its duty and is not set any more.
func (a *alarm) rang() {
	if a != nil {
		a.at = 0
	}
}

// listen rings for every expiry until the alarm is closed.
func (a *alarm) listen() {
	var count [8]byte
	for {
		if _, err := a.file.Read(count[:]); err != nil {
			return
		}
		a.ring()
	}
}

func (a *alarm) ring() {
	select {
	case a.C <- struct{}{}:
	default:
	}
}

func (a *alarm) close() {
	if a.file != nil {
		a.file.Close()
	} else {
		a.timer.Stop()
	}
}
