package supervisor

import (
	"encoding/binary"
	"hash/crc32"
	"sort"

	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
)

// The history of transitions is a ring of fixed slots in memory that the keeper
// holds: transition number n lies in slot n modulo their count. It is written
// before the frame of its turn, so none is missing after a crash; what no frame
// confirms is behind the last number, and is written over.
const (
	historySlots = 10_000
	historySlot  = 256 // bytes; a text that does not fit is cut
	historyHead  = 6   // length and checksum of what follows
	historyName  = "history"
)

// The fields of a slot. Numbers are never used again for something else.
const (
	histSeq = iota + 1
	histBecause
	histTime
	histName
	histFrom
	histTo
	histEvent
	histRun
	histPID
	histCause
	histReason
)

// encodeTransition fills one slot.
func encodeTransition(slot []byte, tr *Transition) {
	var e journal.Encoder
	e.Uint(histSeq, tr.Seq)
	e.Uint(histBecause, tr.Because)
	e.Int(histTime, tr.TimeMS)
	e.Uint(histRun, tr.Run)
	e.Int(histPID, int64(tr.PID))
	for _, f := range [...]struct {
		id   uint64
		text string
	}{{histName, tr.Name}, {histFrom, tr.From}, {histTo, tr.To}, {histEvent, tr.Event}, {histCause, tr.Cause}, {histReason, tr.Reason}} {
		if room := historySlot - historyHead - len(e.Payload()) - 4; room > 0 {
			e.String(f.id, cut(f.text, room))
		}
	}
	clear(slot)
	n := copy(slot[historyHead:], e.Payload())
	binary.LittleEndian.PutUint16(slot, uint16(n))
	binary.LittleEndian.PutUint32(slot[2:], crc32.ChecksumIEEE(slot[historyHead:][:n]))
}

// decodeTransition reads slot number at; ok is false for one that was never
// written, or not wholly.
func decodeTransition(slot []byte, at int) (tr Transition, ok bool) {
	n := int(binary.LittleEndian.Uint16(slot))
	if n == 0 || n > historySlot-historyHead {
		return tr, false
	}
	payload := slot[historyHead:][:n]
	if crc32.ChecksumIEEE(payload) != binary.LittleEndian.Uint32(slot[2:]) {
		return tr, false
	}
	d := journal.NewDecoder(payload)
	for d.Next() {
		switch d.ID() {
		case histSeq:
			tr.Seq = d.Uint()
		case histBecause:
			tr.Because = d.Uint()
		case histTime:
			tr.TimeMS = d.Int()
		case histName:
			tr.Name = d.String()
		case histFrom:
			tr.From = d.String()
		case histTo:
			tr.To = d.String()
		case histEvent:
			tr.Event = d.String()
		case histRun:
			tr.Run = d.Uint()
		case histPID:
			tr.PID = int(d.Int())
		case histCause:
			tr.Cause = d.String()
		case histReason:
			tr.Reason = d.String()
		}
	}
	return tr, d.Err() == nil && tr.Seq%historySlots == uint64(at)
}

// cut shortens text to n bytes, at the end of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:n]
}

// openHistory takes over a predecessor's ring, or makes one. Without it the
// events that have passed cannot be told; nothing else depends on it.
func (s *Supervisor) openHistory(fds []int) {
	if len(fds) == 1 {
		s.history = fds[0]
		return
	}
	fd, err := unix.MemfdCreate("zinit-"+historyName, unix.MFD_CLOEXEC)
	if err != nil {
		s.say(LevelWarn, "there will be no history of events: memfd_create: %v", err)
		return
	}
	s.history = fd
	s.keeper.Hold(historyName, fd)
}

// writeHistory keeps the transitions of a turn, whose numbers follow each other.
func (s *Supervisor) writeHistory(done []Transition) {
	if s.history < 0 || len(done) == 0 {
		return
	}
	first := done[0].Seq
	buf := make([]byte, 0, min(len(done), historySlots)*historySlot)
	for i := range done {
		if i > 0 && done[i].Seq%historySlots == 0 { // the ring begins anew
			unix.Pwrite(s.history, buf, int64(first%historySlots)*historySlot)
			buf, first = buf[:0], done[i].Seq
		}
		buf = append(buf, make([]byte, historySlot)...)
		encodeTransition(buf[len(buf)-historySlot:], &done[i])
	}
	unix.Pwrite(s.history, buf, int64(first%historySlots)*historySlot)
}

// Past returns the transitions after number after that are still known, oldest
// first, at most the newest n; n 0 means all of them.
func (s *Supervisor) Past(after uint64, n int) []Transition {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Transition{}
	if s.history < 0 {
		return list
	}
	ring, err := readMemfd(s.history)
	if err != nil {
		return list
	}
	for at := 0; (at+1)*historySlot <= len(ring); at++ {
		if tr, ok := decodeTransition(ring[at*historySlot:][:historySlot], at); ok && tr.Seq > after && tr.Seq <= s.seq {
			list = append(list, tr)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Seq < list[j].Seq })
	if n > 0 && len(list) > n {
		list = list[len(list)-n:]
	}
	return list
}
