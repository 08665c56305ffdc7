package supervisor

import (
	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/state"
)

// The fields of a frame. Numbers are never used again for something else.
const (
	frameService = 1  // a service: its fields below
	frameForget  = 2  // the name of a service that is no more
	frameSpecs   = 3  // N of "specs/N", the accepted definitions
	frameSeq     = 4  // number of the last transition
	frameEnding  = 5  // a shutdown in progress: its word
	frameEndBy   = 6  // its deadline
	frameBooted  = 7  // when the boot began
	frameToken   = 8  // of a request that was decided, and when
	frameStatus  = 9  // of a shutdown in progress: zinit's exit status
	frameUpgrade = 10 // the binary of an upgrade under way; "": none is
	frameNumber  = 11 // of the last upgrade
	frameFailed  = 12 // why it was given up; "": it was not
)

// journalMost is the size at which the journal is written afresh, with the
// last value of each service only.
const journalMost = 4 << 20

// record writes what the turn changed as one frame. The lock is held.
func (s *Supervisor) record(t *turn) error {
	var frame, one journal.Encoder
	for _, sv := range t.touched {
		if sv.rt == sv.undo.rt {
			continue
		}
		one.Reset()
		encodeService(&one, sv)
		frame.Bytes(frameService, one.Payload())
	}
	for _, name := range t.gone {
		frame.String(frameForget, name)
	}
	if t.specs != 0 {
		frame.Uint(frameSpecs, t.specs)
		frame.Int(frameBooted, s.booted)
	}
	if len(t.done) > 0 {
		frame.Uint(frameSeq, s.seq)
	}
	if t.token != "" {
		encodeToken(&frame, t.token, t.mono)
	}
	if s.upgrade != s.upgradeKept {
		s.upgrade.encode(&frame)
	}
	if e := s.ending; e != nil {
		frame.String(frameEnding, e.how)
		frame.Int(frameEndBy, e.by)
		frame.Int(frameStatus, int64(e.status))
	}
	if len(frame.Payload()) == 0 {
		return nil
	}
	if err := s.journal.Append(frame.Payload()); err != nil {
		return refuse(Unrecorded, "", "nothing was done; try again when there is memory", "cannot record the decision: %v", err)
	}
	s.upgradeKept = s.upgrade
	if s.fresh != nil && s.fresh.Append(frame.Payload()) != nil {
		s.fresh.Close()
		s.fresh = nil
	}
	if s.fresh == nil && s.journal.Size() > journalMost {
		t.act(s.rewriteJournal)
	}
	return nil
}

// rewriteJournal begins a fresh journal. Until the keeper says that it is held,
// every frame goes into both, so either is whole whenever the server dies.
func (s *Supervisor) rewriteJournal() {
	next, err := journal.Create()
	if err != nil {
		return
	}
	if err := next.Append(s.snapshot()); err != nil {
		next.Close()
		return
	}
	s.fresh = next
	s.keeper.Hold("journal", next.FD())
}

// snapshot is one frame with everything. The lock is held.
func (s *Supervisor) snapshot() []byte {
	var frame, one journal.Encoder
	for _, name := range s.names {
		one.Reset()
		encodeService(&one, s.services[name])
		frame.Bytes(frameService, one.Payload())
	}
	frame.Uint(frameSpecs, s.specsHeld)
	frame.Int(frameBooted, s.booted)
	frame.Uint(frameSeq, s.seq)
	s.tokens.encode(&frame)
	s.upgrade.encode(&frame)
	if s.ending != nil {
		frame.String(frameEnding, s.ending.how)
		frame.Int(frameEndBy, s.ending.by)
		frame.Int(frameStatus, int64(s.ending.status))
	}
	return frame.Payload()
}

// held is the keeper's answer about something of the supervisor's own. What it
// holds need not stay open here.
func (s *Supervisor) held(ev keeper.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd, ok := s.holding[ev.Name]; ok {
		unix.Close(fd)
		delete(s.holding, ev.Name)
	}
	if ev.Errno != 0 {
		s.say(LevelError, "the keeper cannot hold %s: %v", ev.Name, ev.Errno)
	}
	if ev.Name != "journal" || s.fresh == nil {
		return
	}
	if ev.Errno != 0 {
		s.fresh.Close()
	} else {
		s.journal.Close()
		s.journal = s.fresh
	}
	s.fresh = nil
}

// encodeService writes sv, and what a newer server had said of it.
func encodeService(e *journal.Encoder, sv *service) {
	e.String(1, sv.name)
	walk(&sv.rt, &walker{to: e})
	e.Raw(sv.extra)
}

// nameIn returns the name in what encodeService wrote.
func nameIn(payload []byte) string {
	for d := journal.NewDecoder(payload); d.Next(); {
		if d.ID() == 1 {
			return d.String()
		}
	}
	return ""
}

// decodeService reads what encodeService wrote. extra is what this version does
// not know.
func decodeService(payload []byte) (rt state.Service, extra []byte, err error) {
	var w walker
	d := journal.NewDecoder(payload)
	for d.Next() {
		if d.ID() < uint64(len(w.from)) {
			w.from[d.ID()] = d.Raw()
		} else {
			extra = append(extra, d.Raw()...)
		}
	}
	w.from[1], w.from[53] = nil, nil // its name, and the one signal that was remembered before 55
	walk(&rt, &w)
	for _, raw := range w.from {
		extra = append(extra, raw...)
	}
	if err = d.Err(); err == nil {
		err = w.err
	}
	return rt, extra, err
}

// walker carries the fields of a runtime value one way or the other. Zero
// values are not written.
type walker struct {
	to   *journal.Encoder
	from [64][]byte // by number, raw; nil: not there, or taken
	err  error
}

// walk visits every field of rt; it is the one list of them. Numbers are never
// used again for something else.
func walk(rt *state.Service, w *walker) {
	number(w, 2, &rt.State)
	flag(w, 3, &rt.Wanted)
	number(w, 4, &rt.Run)
	number(w, 5, &rt.Pid)
	flag(w, 6, &rt.Live)
	flag(w, 7, &rt.Left)
	flag(w, 8, &rt.Again)
	flag(w, 9, &rt.Queued)
	flag(w, 10, &rt.OK)
	flag(w, 11, &rt.Killed)
	flag(w, 12, &rt.Stuck)
	number(w, 13, &rt.Attempts)
	number(w, 14, &rt.StartBy)
	number(w, 15, &rt.StopBy)
	number(w, 16, &rt.RetryAt)
	number(w, 17, &rt.LeftBy)
	number(w, 18, &rt.ReadyAt)
	number(w, 19, &rt.Since)
	number(w, 20, &rt.SinceMono)
	number(w, 21, &rt.SigSeq)
	number(w, 22, &rt.Failure.Kind)
	number(w, 23, &rt.Failure.Code)
	flag(w, 24, &rt.Failure.Core)
	flag(w, 25, &rt.Failure.Early)
	text(w, 26, &rt.Failure.Text)
	number(w, 27, &rt.Last.Run)
	number(w, 28, &rt.Last.Pid)
	number(w, 29, &rt.Last.Code)
	number(w, 30, &rt.Last.Signal)
	flag(w, 31, &rt.Last.Core)
	flag(w, 32, &rt.Last.Killed)
	number(w, 33, &rt.Last.Wall)
	text(w, 34, &rt.Cause)
	text(w, 35, &rt.Starter)
	number(w, 36, &rt.Seq)
	number(w, 37, &rt.FirstStart)
	number(w, 38, &rt.FirstReady)
	number(w, 40, &rt.Hook)
	number(w, 41, &rt.HookSeq)
	flag(w, 42, &rt.PostDue)
	flag(w, 43, &rt.MainGone)
	number(w, 44, &rt.ProbeAt)
	number(w, 45, &rt.ProbeFailures)
	text(w, 46, &rt.Unwell)
	text(w, 47, &rt.StatusText)
	number(w, 48, &rt.UID)
	number(w, 50, &rt.LookBy)
	flag(w, 52, &rt.Last.OOM)
	flag(w, 54, &rt.Reload)
	text(w, 55, &rt.Sigs)
	flag(w, 56, &rt.Boot)
}

func number[T ~int | ~int64 | ~uint64 | ~uint8](w *walker, id uint64, p *T) {
	if w.to != nil {
		if *p != 0 {
			w.to.Int(id, int64(*p))
		}
		return
	}
	if d := w.take(id); d != nil {
		*p = T(d.Int())
		w.note(d)
	}
}

func flag(w *walker, id uint64, p *bool) {
	if w.to != nil {
		if *p {
			w.to.Bool(id, true)
		}
		return
	}
	if d := w.take(id); d != nil {
		*p = d.Bool()
		w.note(d)
	}
}

func text(w *walker, id uint64, p *string) {
	if w.to != nil {
		if *p != "" {
			w.to.String(id, *p)
		}
		return
	}
	if d := w.take(id); d != nil {
		*p = d.String()
	}
}

// take removes field id from those that are left.
func (w *walker) take(id uint64) *journal.Decoder {
	raw := w.from[id]
	if raw == nil {
		return nil
	}
	w.from[id] = nil
	d := journal.NewDecoder(raw)
	d.Next()
	return d
}

func (w *walker) note(d *journal.Decoder) {
	if d.Err() != nil {
		w.err = d.Err()
	}
}

func writeMemfd(name string, content []byte) (int, error) {
	fd, err := unix.MemfdCreate("zinit-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for len(content) > 0 {
		n, err := unix.Write(fd, content)
		if err != nil && err != unix.EINTR {
			unix.Close(fd)
			return -1, err
		}
		content = content[max(n, 0):]
	}
	return fd, nil
}

func readMemfd(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	n := 0
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return b[:n], err
		}
		n += m
	}
	return b, nil
}
