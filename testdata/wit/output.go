package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// count prints numbered lines, n of them or without end, each in one write.
func count(out io.Writer, n, rate int) {
	var pause <-chan time.Time
	if rate > 0 {
		t := time.NewTicker(time.Second / time.Duration(rate))
		defer t.Stop()
		pause = t.C
	}
	for i := 1; n < 0 || i <= n; i++ {
		if _, err := fmt.Fprintf(out, "line %08d\n", i); err != nil {
			return
		}
		if pause != nil {
			<-pause
		}
	}
}

// rawBytes prints a pattern that a careless log would spoil.
//
//	all256      every byte value, twice, and a newline
//	partial     a whole line, then words without a newline
//	crlf        lines that end in CR LF, and a lone CR
//	escape      what a terminal would obey
//	utf8        characters of several bytes, and continuation bytes alone
//	huge:BYTES  one line of so many bytes
func rawBytes(out io.Writer, pattern string) error {
	kind, arg, _ := strings.Cut(pattern, ":")
	var b []byte
	switch kind {
	case "all256":
		for i := range 512 {
			b = append(b, byte(i))
		}
		b = append(b, '\n')
	case "partial":
		b = []byte("a whole line\nlast words")
	case "crlf":
		b = []byte("one\r\ntwo\rthree\r\n")
	case "escape":
		b = []byte("\x1b[2Jred\x1b[31m\x1b]0;title\a\x9b31m\n")
	case "utf8":
		b = []byte("æøå 漢字 \x80\xbf\xff\n")
	case "huge":
		return huge(out, arg)
	default:
		return fmt.Errorf("unknown pattern %q", pattern)
	}
	_, err := out.Write(b)
	return err
}

func huge(out io.Writer, arg string) error {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 64<<10)
	block := bytes.Repeat([]byte("0123456789abcdef"), 256)
	for n > 0 {
		k := min(n, len(block))
		if _, err := w.Write(block[:k]); err != nil {
			return err
		}
		n -= k
	}
	_ = w.WriteByte('\n')
	return w.Flush()
}
