package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/sys/unix"
)

// The newc format: a header of 110 bytes, six of magic and thirteen numbers
// of eight hexadecimal digits, then the name and the data, each padded to
// four bytes. Source: Documentation/driver-api/early-userspace/buffer-format.
const (
	magic     = "070701"
	headerLen = len(magic) + 13*8
	trailer   = "TRAILER!!!"
)

// writeCPIO writes the tree. Every file belongs to root and carries no time,
// so that the same input gives the same image.
func (t *tree) writeCPIO(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i, name := range t.order {
		if err := writeEntry(out, uint32(i+1), t.byName[name]); err != nil {
			return err
		}
	}
	if err := writeEntry(out, 0, entry{name: trailer}); err != nil {
		return err
	}
	return out.Flush()
}

func writeEntry(w io.Writer, ino uint32, e entry) error {
	if int64(len(e.data)) > 1<<32-1 {
		return fmt.Errorf("cannot store %q: newc holds less than 4 GiB a file", e.name)
	}
	nlink := uint32(1)
	if e.mode&unix.S_IFMT == unix.S_IFDIR {
		nlink = 2
	}
	fields := [13]uint32{ino, e.mode, 0, 0, nlink, 0, uint32(len(e.data)), 0, 0, e.major, e.minor, uint32(len(e.name) + 1), 0}
	head := []byte(magic)
	for _, f := range fields {
		head = fmt.Appendf(head, "%08X", f)
	}
	head = pad(append(append(head, e.name...), 0))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(pad(e.data))
	return err
}

// pad fills b with zeros to a multiple of four.
func pad(b []byte) []byte {
	if n := -len(b) & 3; n > 0 {
		return append(b[:len(b):len(b)], make([]byte, n)...)
	}
	return b
}

// readCPIO reads what writeCPIO wrote, or any newc archive, and stops at its
// trailer.
func readCPIO(r io.Reader) ([]entry, error) {
	var all []entry
	in := bufio.NewReader(r)
	for {
		e, err := readEntry(in)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(all)+1, err)
		}
		if e.name == trailer {
			return all, nil
		}
		all = append(all, e)
	}
}

func readEntry(in io.Reader) (entry, error) {
	head := make([]byte, headerLen)
	if _, err := io.ReadFull(in, head); err != nil {
		return entry{}, err
	}
	if string(head[:len(magic)]) != magic {
		return entry{}, errors.New("not a newc header")
	}
	var f [13]uint32
	for i := range f {
		at := len(magic) + 8*i
		n, err := strconv.ParseUint(string(head[at:at+8]), 16, 32)
		if err != nil {
			return entry{}, err
		}
		f[i] = uint32(n)
	}
	if f[11] == 0 || f[11] > unix.PathMax {
		return entry{}, fmt.Errorf("a name of %d bytes", f[11])
	}
	name, err := readPadded(in, headerLen, int64(f[11]))
	if err != nil {
		return entry{}, err
	}
	data, err := readPadded(in, 0, int64(f[6]))
	if err != nil {
		return entry{}, err
	}
	return entry{name: string(name[:len(name)-1]), mode: f[1], data: data, major: f[9], minor: f[10]}, nil
}

// readPadded reads n bytes and the padding behind them; before is what stood
// in the same padded block already.
func readPadded(in io.Reader, before int, n int64) ([]byte, error) {
	padded := n + (-(int64(before) + n) & 3)
	b, err := io.ReadAll(io.LimitReader(in, padded))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != padded {
		return nil, io.ErrUnexpectedEOF
	}
	return b[:n], nil
}
