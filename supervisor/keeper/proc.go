package keeper

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Flags of a task, field 9 of /proc/PID/stat.
const (
	pfExiting    = 0x4
	pfForkNoExec = 0x40 // forked and has not executed anything since
)

// hz is the unit of start times on every processor Go's ports to Linux know.
const tickNS = 1e9 / 100

// stat is what we read of /proc/PID/stat.
type stat struct {
	state            byte
	ppid, pgrp, sess int
	flags            uint64
	start            uint64
}

func (s *stat) living() bool { return s.state != 'Z' && s.state != 'X' }

// readStat reads /proc/PID/stat, and reports false when it cannot: the
// process is gone, or there is no /proc.
func readStat(pid int) (s stat, ok bool) {
	var path, text [512]byte
	name := append(strconv.AppendInt(append(path[:0], "/proc/"...), int64(pid), 10), "/stat"...)
	fd, err := unix.Open(string(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return s, false
	}
	n, err := unix.Read(fd, text[:])
	unix.Close(fd)
	if err != nil || n <= 0 {
		return s, false
	}
	return parseStat(text[:n])
}

// parseStat reads fields 3 to 22. The name before them may hold anything, a
// ")" too.
func parseStat(text []byte) (s stat, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 || len(text) < end+3 {
		return s, false
	}
	rest := text[end+2:]
	for field := 3; field <= 22; field++ {
		word, after, found := bytes.Cut(rest, []byte{' '})
		if !found || len(word) == 0 {
			return s, false
		}
		rest = after
		switch field {
		case 3:
			s.state = word[0]
		case 4:
			s.ppid = int(number(word))
		case 5:
			s.pgrp = int(number(word))
		case 6:
			s.sess = int(number(word))
		case 9:
			s.flags = number(word)
		case 22:
			s.start = number(word)
		}
	}
	return s, true
}

func number(word []byte) (n uint64) {
	n, _ = strconv.ParseUint(string(word), 10, 64)
	return n
}

// ticks is now in the unit and on the clock of start times.
func ticks() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return uint64(ts.Nano()) / tickNS
}

// processes calls f with every process there is.
func processes(f func(pid int, s stat)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
				if s, ok := readStat(pid); ok {
					f(pid, s)
				}
			}
		}
		if err != nil {
			return nil // io.EOF
		}
	}
}
