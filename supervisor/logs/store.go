package logs

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// DefaultBuffer is what is kept of a service's output when nothing else was
// configured, in bytes.
const DefaultBuffer = 256 << 10

// sameMoment is how much later a chunk may come than the record it is put
// under, in nanoseconds: a flood needs no record for each splice.
const sameMoment = 1e6

// store is what one service has printed.
type store struct {
	name string

	fds         sync.RWMutex // held to read while the files are used outside the pump's lock
	data, index int          // memfds, -1 when closed

	floor atomic.Uint64 // what lies before it is being punched out, or gone

	// The rest is guarded by the pump's lock.
	limit     int64  // bytes to keep
	tail      uint64 // the size after the last splice or write
	last      record // the newest in the index
	indexSize int64
	indexHead int64  // first page of the index that may still be there, after the slots' page
	trimAt    uint64 // the index need not be looked at before the head is here
	cost      int64  // what it was counted with in the pump's total
	held      [2]bool
	trouble   bool    // an error was told and has not passed
	parked    []*pipe // wait until the holder has both files
	drains    []drain // wait for the same
	adopted   bool    // a predecessor's
}

// The held names of a store's files.
const (
	dataFile  = 0
	indexFile = 1
)

func heldName(service string, file int) string {
	return "log/" + service + [...]string{"/data", "/index"}[file]
}

// newStore makes the two files, empty.
func newStore(name string, limit int64) (*store, error) {
	data, err := memfd("log/" + name)
	if err != nil {
		return nil, fmt.Errorf("cannot make a store for the output of %q: memfd_create: %w", name, err)
	}
	s := &store{name: name, data: data, index: -1, limit: limit}
	if err := s.makeIndex(); err != nil {
		unix.Close(data)
		return nil, err
	}
	return s, nil
}

// makeIndex makes an empty index.
func (s *store) makeIndex() error {
	index, err := memfd("log/" + s.name + "/index")
	if err == nil {
		if err = newIndex(index); err != nil {
			unix.Close(index)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make an index for the output of %q: %w", s.name, err)
	}
	s.index, s.indexSize, s.indexHead, s.last = index, indexStart, page(), record{}
	return nil
}

// adoptStore continues a predecessor's store. The descriptors are the
// store's from then on; index -1 makes a new one, which is to be held.
func adoptStore(name string, data, index int, limit int64) (*store, error) {
	s := &store{name: name, data: data, index: index, limit: limit, adopted: true}
	size, err := fileSize(data)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the output of %q: %w", name, err)
	}
	s.tail = size
	s.floor.Store(s.head())
	if index < 0 {
		if err := s.makeIndex(); err != nil {
			return nil, err
		}
		if size > 0 { // whose bytes they are went with the old index
			return s, s.append(record{offset: s.head(), stream: Stderr, kind: bytesFollow})
		}
		return s, nil
	}
	if err := checkIndex(index); err != nil {
		return nil, fmt.Errorf("cannot take over the output of %q: %w", name, err)
	}
	indexSize, err := fileSize(index)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the output of %q: %w", name, err)
	}
	s.indexSize = int64(indexSize) / recordSize * recordSize
	s.indexHead = max(firstRecord(index), page())
	if s.indexSize > indexStart {
		if s.last, err = s.recordAt(s.indexSize - recordSize); err != nil {
			return nil, fmt.Errorf("cannot take over the output of %q: its index ends in nothing", name)
		}
	}
	s.held = [2]bool{true, true}
	return s, nil
}

// size returns the offset after the last byte.
func (s *store) size() uint64 {
	n, err := fileSize(s.data)
	if err != nil {
		return 0
	}
	return n
}

// head returns the offset of the first byte that is left; everything before
// it was dropped. The file itself knows (SEEK_DATA), but while a punch is
// going on it may show pages in any order: what was decided counts first.
func (s *store) head() uint64 {
	at, err := unix.Seek(s.data, 0, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return max(s.size(), s.floor.Load())
	}
	return max(uint64(max(at, 0)), s.floor.Load())
}

// ready says whether bytes may be moved here: a successor would have them.
func (s *store) ready() bool { return s.held[dataFile] && s.held[indexFile] }

// mark sees to it that the last record is right for bytes at the end.
func (s *store) mark(at uint64, run uint64, stream Stream, now int64) error {
	l := &s.last
	if l.kind == bytesFollow && l.run == run && l.stream == stream && now >= l.time && now < l.time+sameMoment {
		return nil
	}
	return s.append(record{offset: at, time: now, run: run, ends: s.endsAt(at), stream: stream, kind: bytesFollow})
}

// end records that nothing more comes of a stream.
func (s *store) end(run uint64, stream Stream, now int64) error {
	at := s.size()
	return s.append(record{offset: at, time: now, run: run, ends: s.endsAt(at) + 1, stream: stream, kind: streamEnded})
}

// endsAt returns how many streams have ended at offset at, the end.
func (s *store) endsAt(at uint64) uint32 {
	if s.last.offset != at {
		return 0
	}
	return s.last.ends
}

// splice moves up to most bytes from a pipe to the end of the data. At the
// end of the file it returns 0 and no error.
func (s *store) splice(from int, run uint64, stream Stream, most int, now int64) (int, error) {
	at, err := fileSize(s.data)
	if err != nil {
		return 0, err
	}
	if err := s.mark(at, run, stream, now); err != nil {
		return 0, err
	}
	off := int64(at)
	n, err := unix.Splice(from, nil, s.data, &off, most, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	n = max(n, 0)
	s.tail = at + uint64(n)
	return int(n), err
}

// write puts zinit's own words at the end of the data.
func (s *store) write(text []byte, now int64) error {
	at, err := fileSize(s.data)
	if err != nil {
		return err
	}
	if err := s.mark(at, 0, Stderr, now); err != nil {
		return err
	}
	if err := writeAll(s.data, text, int64(at)); err != nil {
		return err
	}
	s.tail = at + uint64(len(text))
	return nil
}

// used returns how much memory the store takes.
func (s *store) used() int64 {
	return int64(s.tail-s.floor.Load()) + s.indexSize - s.indexHead + page()
}

// trim punches out what is over the limit, of the data and of the index: one
// that changes streams with every byte needs more for its index.
func (s *store) trim() {
	if kept := int64(s.tail - s.floor.Load()); kept >= s.limit+page() {
		s.dropTo(s.tail - uint64(s.limit))
	}
	if over := s.indexSize - s.indexHead - max(s.limit, 4*page()); over >= page() {
		if r, err := s.recordAt(s.indexHead + over/page()*page()); err == nil {
			s.dropTo(r.offset)
		}
	}
}

// dropTo punches out the whole pages before an offset; the last page stays.
func (s *store) dropTo(head uint64) {
	p := uint64(page())
	head = min(head, max(s.tail, 1)-1) / p * p
	old := s.floor.Load()
	if head <= old {
		s.trimIndex(old)
		return
	}
	s.floor.Store(head) // first: a reader must never take a hole for bytes
	if punch(s.data, int64(old/p*p), int64(head)) != nil {
		return // memory stays, the bytes count as dropped
	}
	s.trimIndex(head)
}

// close closes the files when nobody reads them.
func (s *store) close() {
	s.fds.Lock()
	defer s.fds.Unlock()
	for _, fd := range []*int{&s.data, &s.index} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// read runs f while the files cannot be closed; not at all when they are.
func (s *store) read(f func()) {
	s.fds.RLock()
	defer s.fds.RUnlock()
	if s.data >= 0 && s.index >= 0 {
		f()
	}
}
