package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// chatter prints numbered lines on both streams until the end,
//
//	NAME RUN out 00000001
//
// and counts them in the file NAME.RUN of the tally directory: four numbers,
// little endian, for each stream how many lines were begun and how many are
// written. The file is mapped, so what it says outlives SIGKILL: of a run
// that is over, all lines up to the second number have been written, and at
// most one more.
//
// The file is made by the run that it is about. One that is there already
// means that the same run was started twice, which is noted.
func (w *witness) chatter() error {
	run := cmp.Or(os.Getenv("ZINIT_RUN"), "0")
	path := filepath.Join(w.tally, w.name+"."+run)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		w.notes.put("TWICE", run)
		f, err = os.OpenFile(path+"."+strconv.Itoa(os.Getpid()), os.O_RDWR|os.O_CREATE, 0o644)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	const size = 32
	if err := f.Truncate(size); err != nil {
		return err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	go say(os.Stdout, w.name+" "+run+" out ", b[:16], w.lines, w.rate)
	go say(os.Stderr, w.name+" "+run+" err ", b[16:], w.lines, w.rate)
	return nil
}

// perSecond is how often a chatterer wakes: a thousand lines a second are ten
// at a time.
const perSecond = 100

// say prints most lines or, if that is negative, lines without end, each in
// one write, and counts them in tally.
func say(out io.Writer, lead string, tally []byte, most, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(max(1, min(rate, perSecond))))
	defer tick.Stop()
	atOnce := max(1, rate/perSecond)
	line := append([]byte(lead), "00000000\n"...)
	for i := 1; most < 0 || i <= most; i++ {
		for n, at := i, len(line)-2; at >= len(lead); n, at = n/10, at-1 {
			line[at] = byte('0' + n%10)
		}
		binary.LittleEndian.PutUint64(tally, uint64(i))
		if _, err := out.Write(line); err != nil {
			return
		}
		binary.LittleEndian.PutUint64(tally[8:], uint64(i))
		if i%atOnce == 0 && rate > 0 {
			<-tick.C
		}
	}
}
