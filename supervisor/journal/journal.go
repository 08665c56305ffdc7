// Package journal is the memory that outlives its process: a file in memory
// (memfd) that somebody else keeps open, written frame by frame.
//
// A frame is {u32 length, u32 crc32c of length and payload, payload}, little
// endian, and goes out in one pwrite. So a frame is there whole or not at
// all: Open hands out every whole frame and cuts off what follows the last.
// A file full of zeros holds no frame, as the checksum of length 0 is not 0.
//
// Pages are allocated ahead, Step bytes at a time, beyond the end of the
// file (FALLOC_FL_KEEP_SIZE): the size says exactly where the frames end, and
// an Append inside the step cannot fail for want of memory. One that needs a
// new step and does not get it records nothing.
//
// What a payload means is its writer's business; the codec in this package
// gives fields that an older or newer reader can carry along unread.
package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// Step is how many bytes are allocated ahead at a time.
	Step = 256 << 10
	// MaxPayload is the longest payload of a frame, in bytes.
	MaxPayload = 16 << 20

	header = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Journal is an open journal. Its methods are safe for many callers.
type Journal struct {
	mu    sync.Mutex
	fd    int
	end   int64  // after the last whole frame
	ahead int64  // pages are there up to this offset
	torn  bool   // bytes after end could not be cut off yet
	lost  int64  // bytes that Open cut off
	buf   []byte // of the last frame, reused
}

// Create makes an empty journal. The caller owns it and hands FD to whoever
// is to keep it.
func Create() (*Journal, error) {
	fd, err := memfd("journal")
	if err != nil {
		return nil, fmt.Errorf("cannot create the journal: memfd_create: %w", err)
	}
	return &Journal{fd: fd}, nil
}

// memfd makes a file in memory, not executable where the kernel knows that.
func memfd(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	return fd, err
}

// Open continues the journal in fd, which it owns from then on, also when it
// fails. It returns the payloads of all whole frames in order, cuts off a
// torn or damaged one with all that follows it, and goes on there. An error
// means that the file itself could not be read or cut.
func Open(fd int) (j *Journal, frames [][]byte, err error) {
	whole, err := readAll(fd)
	if err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	frames, end := split(whole)
	j = &Journal{fd: fd, end: end, ahead: end, torn: end < int64(len(whole)), lost: int64(len(whole)) - end}
	if err := j.cut(); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("cannot cut the journal's torn end at byte %d: %w", end, err)
	}
	return j, frames, nil
}

// readAll reads the file from its beginning, whatever its offset is.
func readAll(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	whole := make([]byte, st.Size)
	for got := 0; got < len(whole); {
		n, err := unix.Pread(fd, whole[got:], int64(got))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return nil, io.ErrUnexpectedEOF
		default:
			got += n
		}
	}
	return whole, nil
}

// split returns the payloads of the whole frames at the beginning of b and
// the offset after the last of them. The payloads are parts of b.
func split(b []byte) (frames [][]byte, end int64) {
	for {
		rest := b[end:]
		if len(rest) < header {
			return frames, end
		}
		n := int64(binary.LittleEndian.Uint32(rest))
		if n > MaxPayload || n > int64(len(rest)-header) {
			return frames, end
		}
		payload := rest[header : header+n : header+n]
		if sum(rest[:4], payload) != binary.LittleEndian.Uint32(rest[4:]) {
			return frames, end
		}
		frames = append(frames, payload)
		end += header + n
	}
}

func sum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, payload)
}

// Append records payload as one frame. An error means that nothing was
// recorded. It keeps no reference to payload.
func (j *Journal) Append(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("cannot record %d bytes in one frame: the limit is %d", len(payload), MaxPayload)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.cut(); err != nil {
		return fmt.Errorf("cannot cut the journal's torn end: %w", err)
	}
	frame := binary.LittleEndian.AppendUint32(j.buf[:0], uint32(len(payload)))
	frame = binary.LittleEndian.AppendUint32(frame, sum(frame[:4], payload))
	frame = append(frame, payload...)
	if cap(frame) <= Step {
		j.buf = frame
	}
	if err := j.allocate(j.end + int64(len(frame))); err != nil {
		return fmt.Errorf("cannot allocate memory for the journal: %w", err)
	}
	n, err := pwrite(j.fd, frame, j.end)
	if err == nil && n < len(frame) {
		err = io.ErrShortWrite
	}
	if err != nil {
		j.torn = true
		_ = j.cut() // else before the next frame; until then the torn one is void
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	j.end += int64(len(frame))
	return nil
}

func pwrite(fd int, b []byte, at int64) (n int, err error) {
	for {
		if n, err = unix.Pwrite(fd, b, at); err != unix.EINTR {
			return n, err
		}
	}
}

// allocate sees to it that there are pages up to end.
func (j *Journal) allocate(end int64) error {
	if end <= j.ahead {
		return nil
	}
	ahead := (end + Step - 1) / Step * Step
	for {
		err := unix.Fallocate(j.fd, unix.FALLOC_FL_KEEP_SIZE, j.end, ahead-j.end)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			j.ahead = ahead
		}
		return err
	}
}

// cut removes what a torn frame left behind: a shorter frame written over it
// would leave a tail that could be read as frames.
func (j *Journal) cut() error {
	if !j.torn {
		return nil
	}
	if err := unix.Ftruncate(j.fd, j.end); err != nil {
		return err
	}
	j.torn, j.ahead = false, j.end // truncation also frees the pages ahead
	return nil
}

// FD is the descriptor to be kept. It stays the journal's.
func (j *Journal) FD() int { return j.fd }

// Size returns the bytes in whole frames, headers included.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end
}

// Lost returns how many bytes Open cut off because they were no whole frames:
// one that a kill cut short, or what follows damage.
func (j *Journal) Lost() int64 { return j.lost }

// Close closes this descriptor; the file lives on while another is open.
// After Close the journal must not be used.
func (j *Journal) Close() error { return unix.Close(j.fd) }
