package logs

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// The index file: slots, then records, each of 32 bytes, little endian.
//
//	slot 0          "zinitlog", u64 version
//	slot 1          u64 cursor of the console
//	slots 2, 3      not used
//	record          u64 offset, i64 time, u64 run, u32 ends, u8 stream, u8 kind, u16 0
//
// A record holds for the bytes from its offset to that of the next one. The
// first page stays for its slots; later ones are punched out when all of
// their records end before the head of the data.
const (
	recordSize   = 32
	slots        = 4
	indexStart   = slots * recordSize
	indexVersion = 1
	consoleSlot  = 1
)

var indexMagic = [8]byte{'z', 'i', 'n', 'i', 't', 'l', 'o', 'g'}

type kind uint8

const (
	bytesFollow kind = 1 // void when nothing does
	streamEnded kind = 2 // nothing more comes of this run and stream
)

// record is an entry of the index. ends counts the streamEnded records at
// this offset up to and with this one: an end has no bytes, and Seq must grow
// there too.
type record struct {
	offset uint64
	time   int64
	run    uint64
	ends   uint32
	stream Stream
	kind   kind
}

func (r *record) encode(b *[recordSize]byte) {
	binary.LittleEndian.PutUint64(b[0:], r.offset)
	binary.LittleEndian.PutUint64(b[8:], uint64(r.time))
	binary.LittleEndian.PutUint64(b[16:], r.run)
	binary.LittleEndian.PutUint32(b[24:], r.ends)
	b[28], b[29], b[30], b[31] = byte(r.stream), byte(r.kind), 0, 0
}

// decodeRecord reads a record; one from a hole is not valid.
func decodeRecord(b []byte) (r record, valid bool) {
	r = record{
		offset: binary.LittleEndian.Uint64(b[0:]),
		time:   int64(binary.LittleEndian.Uint64(b[8:])),
		run:    binary.LittleEndian.Uint64(b[16:]),
		ends:   binary.LittleEndian.Uint32(b[24:]),
		stream: Stream(b[28]),
		kind:   kind(b[29]),
	}
	return r, r.kind != 0
}

// A Seq is an offset in the data and, in the low bits, how many streams have
// ended just there, as far as that can be counted.
const seqBits = 8

// seqOf returns the Seq of a line that ends before offset at.
func seqOf(at uint64) uint64 { return at << seqBits }

// endSeq returns the Seq of the last words that a streamEnded record ends.
func (r *record) endSeq() uint64 { return seqOf(r.offset) | uint64(min(r.ends, 1<<seqBits-1)) }

// newIndex writes slot 0.
func newIndex(fd int) error {
	var b [indexStart]byte
	copy(b[:], indexMagic[:])
	binary.LittleEndian.PutUint64(b[8:], indexVersion)
	return writeAll(fd, b[:], 0)
}

// checkIndex reads slot 0.
func checkIndex(fd int) error {
	var b [recordSize]byte
	if n, err := pread(fd, b[:], 0); err != nil || n < len(b) {
		return fmt.Errorf("read %d bytes of its index: %w", n, err)
	}
	if [8]byte(b[:8]) != indexMagic || binary.LittleEndian.Uint64(b[8:]) != indexVersion {
		return fmt.Errorf("its index is not one of version %d", indexVersion)
	}
	return nil
}

// append writes a record at the end of the index.
func (s *store) append(r record) error {
	var b [recordSize]byte
	r.encode(&b)
	if err := writeAll(s.index, b[:], s.indexSize); err != nil {
		return err
	}
	s.indexSize += recordSize
	s.last = r
	return nil
}

// trimIndex punches out the pages of which no record reaches head any more.
func (s *store) trimIndex(head uint64) {
	if head < s.trimAt {
		return
	}
	keep := s.indexHead // first page that stays, not counting the one of the slots
	for next := keep + page(); ; next += page() {
		r, err := s.recordAt(next)
		if err != nil || r.offset > head {
			s.trimAt = r.offset // 0 on error: look again next time
			break
		}
		keep = next
	}
	if keep > s.indexHead {
		if punch(s.index, s.indexHead, keep) == nil {
			s.indexHead = keep
		}
	}
}

func (s *store) recordAt(at int64) (record, error) {
	var b [recordSize]byte
	if n, err := pread(s.index, b[:], at); err != nil || n < len(b) {
		return record{}, unix.ENODATA
	}
	r, valid := decodeRecord(b[:])
	if !valid {
		return r, unix.ENODATA
	}
	return r, nil
}

// firstRecord returns where the first record is that counts.
func firstRecord(index int) int64 {
	at, err := unix.Seek(index, page(), unix.SEEK_DATA)
	if err != nil || at == page() {
		return indexStart // nothing was punched out
	}
	return at
}
