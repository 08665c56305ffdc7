package rpc

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// errTooLong is a line over MaxRequest.
var errTooLong = errors.New("line too long")

// lineReader reads one line at a time. Memory stays bounded: a line longer than
// MaxRequest is an error, never a bigger buffer.
type lineReader struct {
	conn     net.Conn
	finishBy time.Duration // from the first byte of a line to its end
	r        *bufio.Reader
	line     []byte
}

func newLineReader(c net.Conn, finishBy time.Duration) *lineReader {
	return &lineReader{conn: c, finishBy: finishBy, r: bufio.NewReaderSize(c, 16<<10)}
}

// keptLine is the largest buffer that a connection keeps between its lines.
const keptLine = 64 << 10

// next returns the next line without its end. It is valid until the next call.
// A peer may be silent between lines, but a line that has begun must be finished
// in time. The last line needs no LF.
func (l *lineReader) next() ([]byte, error) {
	if cap(l.line) > keptLine {
		l.line = nil
	}
	l.conn.SetReadDeadline(time.Time{})
	if _, err := l.r.Peek(1); err != nil {
		return nil, err
	}
	l.conn.SetReadDeadline(time.Now().Add(l.finishBy))
	l.line = l.line[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.line)+len(part) > MaxRequest {
			return nil, errTooLong
		}
		l.line = append(l.line, part...)
		switch {
		case err == nil, err == io.EOF && len(l.line) > 0:
			return bytes.TrimRight(l.line, "\r\n"), nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// pairedEscapes reports whether every \u escape of a surrogate is one half of a
// pair. A lone half would silently become U+FFFD, and two names would be one.
func pairedEscapes(line []byte) bool {
	for i := 0; i+5 < len(line); i++ {
		if line[i] != '\\' {
			continue
		}
		if line[i+1] != 'u' {
			i++
			continue
		}
		switch kind := surrogate(line[i+2 : i+6]); kind {
		case 'l':
			return false
		case 'h':
			low := i + 6
			if low+5 >= len(line) || line[low] != '\\' || line[low+1] != 'u' || surrogate(line[low+2:low+6]) != 'l' {
				return false
			}
			i += 6
		}
		i += 5
	}
	return true
}

// surrogate says whether four hex digits are a high half, a low half, or
// neither.
func surrogate(hex []byte) byte {
	if hex[0] != 'd' && hex[0] != 'D' {
		return 0
	}
	switch c := hex[1] | 0x20; {
	case c >= '8' && c <= '9' || c == 'a' || c == 'b':
		return 'h'
	case c >= 'c' && c <= 'f':
		return 'l'
	}
	return 0
}
