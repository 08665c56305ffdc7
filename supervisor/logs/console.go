package logs

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ConsoleOptions say what a console shows. The zero value shows everything as
// "name | line".
type ConsoleOptions struct {
	// Only chooses services; nil means all. It is called with locks held and
	// must not wait.
	Only func(service string) bool
	// Bare is a service whose lines are shown without its name, in the default
	// format; "": none.
	Bare string
	// Format appends one line with its newline to dst; nil means
	// "name | line". Text is as the service wrote it.
	Format func(dst []byte, l *Line) []byte
}

// Console copies lines to a descriptor, from a goroutine of its own.
type Console struct {
	p       *Pump
	fd      int
	format  func([]byte, *Line) []byte
	chase   *chase
	done    chan struct{}
	midLine bool
	dropped atomic.Int64
}

// Console begins to copy lines to fd, whole lines at a time, from where the
// last console of these stores stopped: a successor shows everything, and at
// most what was being written twice. fd stays the caller's and may be
// anything: while it takes nothing, only this goroutine waits, and what the
// buffer drops meanwhile is counted in the text. A line that fd refuses (no
// space) is dropped; when its reader has gone for good the copying ends. On a
// terminal AppendVisible is applied, in the default format. There is one
// console a pump; it ends with Close.
func (p *Pump) Console(fd int, o ConsoleOptions) *Console {
	if o.Only == nil {
		o.Only = func(string) bool { return true }
	}
	if o.Format == nil {
		o.Format = plainFormat(o.Bare)
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			o.Format = terminalFormat(o.Bare)
		}
	}
	c := &Console{p: p, fd: fd, format: o.Format, done: make(chan struct{}), chase: p.chase(o.Only)}
	c.chase.from = savedCursor
	go c.run()
	return c
}

// Dropped returns how many lines the descriptor refused.
func (c *Console) Dropped() int64 { return c.dropped.Load() }

func (c *Console) run() {
	defer close(c.done)
	defer c.p.unchase(c.chase)
	for c.chase.wait(context.Background()) == nil {
		lines := c.chase.next(&Query{})
		if !c.print(lines) {
			return
		}
		c.save(lines)
	}
}

// print writes lines in pieces of some size. It returns false when there is
// nobody to write to any more.
func (c *Console) print(lines []Line) bool {
	const most = 32 << 10
	var b []byte
	count := int64(0)
	for i := range lines {
		b = c.format(b, &lines[i])
		if count++; len(b) < most && i < len(lines)-1 {
			continue
		}
		if c.midLine {
			b = append([]byte{'\n'}, b...)
		}
		n, err := writeWaiting(c.fd, b)
		switch err {
		case nil:
			c.midLine = false
		case unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.ENOMEM, unix.ENOBUFS:
			c.dropped.Add(count)
			c.midLine = n > 0 && b[n-1] != '\n'
		default:
			return false
		}
		b, count = b[:0], 0
	}
	return true
}

// writeWaiting writes all of b, however long that takes.
func writeWaiting(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := unix.Write(fd, b[n:])
		switch err {
		case nil:
			n += m
		case unix.EINTR:
		case unix.EAGAIN: // somebody made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		default:
			return n, err
		}
	}
	return n, nil
}

// save leaves word in the stores of how far the console has come.
func (c *Console) save(lines []Line) {
	last := map[string]uint64{}
	for i := range lines {
		last[lines[i].Service] = lines[i].Seq
	}
	for s := range c.chase.readers {
		if seq, ok := last[s.name]; ok {
			var b [recordSize]byte
			binary.LittleEndian.PutUint64(b[:], seq)
			s.read(func() { _ = writeAll(s.index, b[:], consoleSlot*recordSize) })
		}
	}
}

// savedCursor reads what save wrote; 0 in a new store.
func savedCursor(s *store) (seq uint64) {
	s.read(func() {
		var b [8]byte
		if n, err := pread(s.index, b[:], consoleSlot*recordSize); err == nil && n == len(b) {
			seq = binary.LittleEndian.Uint64(b[:])
		}
	})
	return seq
}

func plainFormat(bare string) func([]byte, *Line) []byte {
	return func(dst []byte, l *Line) []byte {
		dst = appendGap(dst, l)
		if l.Service != bare {
			dst = append(append(dst, l.Service...), " | "...)
		}
		return append(append(dst, l.Text...), '\n')
	}
}

func terminalFormat(bare string) func([]byte, *Line) []byte {
	return func(dst []byte, l *Line) []byte {
		dst = appendGap(dst, l)
		if l.Service != bare {
			dst = append(AppendVisible(dst, []byte(l.Service)), " | "...)
		}
		return append(AppendVisible(dst, l.Text), '\n')
	}
}

// appendGap says what is missing before a line.
func appendGap(dst []byte, l *Line) []byte {
	if l.Dropped == 0 {
		return dst
	}
	dst = append(append(dst, l.Service...), " | ("...)
	dst = strconv.AppendInt(dst, l.Dropped, 10)
	return append(dst, " bytes were dropped here)\n"...)
}
