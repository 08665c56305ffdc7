package supervisor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// The fields of a frame. Numbers are never used again for something else.
const (
	frameService = 1 // a service: its fields below
	frameForget  = 2 // the name of a service that is no more
	frameSpecs   = 3 // N of "specs/N", the accepted definitions
	frameSeq     = 4 // number of the last transition
	frameEnding  = 5 // a shutdown in progress: its word
	frameEndBy   = 6 // its deadline
	frameBooted  = 7 // when the boot began
	frameToken   = 8 // of a request that was decided, and when
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
	if e := s.ending; e != nil {
		frame.String(frameEnding, e.how)
		frame.Int(frameEndBy, e.by)
	}
	if len(frame.Payload()) == 0 {
		return nil
	}
	if err := s.journal.Append(frame.Payload()); err != nil {
		return refuse(Unrecorded, "", "nothing was done; try again when there is memory", "cannot record the decision: %v", err)
	}
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
	if s.ending != nil {
		frame.String(frameEnding, s.ending.how)
		frame.Int(frameEndBy, s.ending.by)
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
	w.from[1] = nil // its name
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

// The fields of "specs/N".
const (
	specsFile    = 1 // a service file: file, class, source
	specsBroken  = 2 // name, file, of a service left out
	specsProblem = 3 // file, key, message, hint, line, column, warning
	specsSetting = 4 // max_parallel_starts, shutdown_timeout, total_bytes
	specsRunning = 5 // as a service file, and a run: the definition that this run began with, where it is another
)

// holdSpecs gives the accepted definitions to the keeper; the turn's frame
// will name them, and then the older ones are dropped.
func (t *turn) holdSpecs(c *Config) error {
	fd, err := writeMemfd("specs", t.s.encodeSpecs(c))
	if err != nil {
		return refuse(Unrecorded, "", "nothing was done; try again when there is memory", "cannot keep the definitions: %v", err)
	}
	s := t.s
	old := s.specsHeld
	s.specsHeld++
	t.specs = s.specsHeld
	s.holding[specsName(t.specs)] = fd
	s.keeper.Hold(specsName(t.specs), fd)
	t.act(func() {
		if old > 0 {
			s.keeper.Drop(specsName(old))
		}
	})
	return nil
}

func specsName(n uint64) string { return fmt.Sprintf("specs/%d", n) }

// encodeSpecs writes what is accepted, and by which older definitions others
// still run.
func (s *Supervisor) encodeSpecs(c *Config) []byte {
	var e, one journal.Encoder
	file := func(sp *spec.Spec) {
		one.Reset()
		one.String(1, sp.File)
		one.Uint(2, uint64(sp.Class))
		one.Bytes(3, sp.Source)
	}
	for _, name := range c.Names {
		file(c.Specs[name])
		one.Bool(4, c.Runtime[name])
		e.Bytes(specsFile, one.Payload())
	}
	for _, name := range s.names {
		sv := s.services[name]
		if sv.rt.Alive() && (c.Specs[name] == nil || !sv.cur.Same(c.Specs[name])) {
			file(sv.cur)
			one.Uint(5, sv.rt.Run)
			e.Bytes(specsRunning, one.Payload())
		}
	}
	for name, file := range c.loaded.Broken {
		one.Reset()
		one.String(1, name)
		one.String(2, file)
		e.Bytes(specsBroken, one.Payload())
	}
	for _, p := range c.loaded.Problems {
		one.Reset()
		one.String(1, p.File)
		one.String(2, p.Key)
		one.String(3, p.Msg)
		one.String(4, p.Hint)
		one.Uint(5, uint64(p.Line))
		one.Uint(6, uint64(p.Col))
		one.Bool(7, p.Warning)
		e.Bytes(specsProblem, one.Payload())
	}
	one.Reset()
	one.Uint(1, uint64(c.Settings.MaxParallelStarts))
	one.Int(2, int64(c.Settings.ShutdownTimeout))
	one.Int(3, c.Settings.TotalBytes)
	e.Bytes(specsSetting, one.Payload())
	return e.Payload()
}

// decodeSpecs judges the accepted definitions again.
func decodeSpecs(src []byte) *Config {
	loaded := &spec.Loaded{Broken: map[string]string{}}
	runtime := map[string]bool{}
	begunBy := map[string]begun{}
	var settings spec.Settings
	for d := journal.NewDecoder(src); d.Next(); {
		switch f := journal.NewDecoder(d.Bytes()); d.ID() {
		case specsFile:
			sp, problems, added, _ := decodeFile(f)
			if sp != nil {
				loaded.Specs = append(loaded.Specs, sp)
				runtime[sp.Name] = added
			} else {
				loaded.Problems = append(loaded.Problems, problems...)
			}
		case specsBroken:
			name, file := decodeBroken(f)
			loaded.Broken[name] = file
		case specsProblem:
			loaded.Problems = append(loaded.Problems, decodeProblem(f))
		case specsSetting:
			settings = decodeSettings(f)
		case specsRunning:
			if sp, _, _, run := decodeFile(f); sp != nil {
				begunBy[sp.Name] = begun{sp, run}
			}
		}
	}
	c := judge(loaded)
	c.Runtime, c.Settings, c.begun = runtime, settings, begunBy
	return c
}

func decodeSettings(d *journal.Decoder) (set spec.Settings) {
	for d.Next() {
		switch d.ID() {
		case 1:
			set.MaxParallelStarts = int(d.Uint())
		case 2:
			set.ShutdownTimeout = time.Duration(d.Int())
		case 3:
			set.TotalBytes = d.Int()
		}
	}
	return set
}

// decodeFile judges one service file; added says that it is none, but was
// defined at run time; run is the one that began with it.
func decodeFile(d *journal.Decoder) (sp *spec.Spec, problems []spec.Problem, added bool, run uint64) {
	var file string
	var class uint64
	var source []byte
	for d.Next() {
		switch d.ID() {
		case 1:
			file = d.String()
		case 2:
			class = d.Uint()
		case 3:
			source = d.Bytes()
		case 4:
			added = d.Bool()
		case 5:
			run = d.Uint()
		}
	}
	sp, problems = spec.Parse(file, source, spec.Class(class))
	return sp, problems, added, run
}

func decodeBroken(d *journal.Decoder) (name, file string) {
	for d.Next() {
		switch d.ID() {
		case 1:
			name = d.String()
		case 2:
			file = d.String()
		}
	}
	return name, file
}

func decodeProblem(d *journal.Decoder) (p spec.Problem) {
	for d.Next() {
		switch d.ID() {
		case 1:
			p.File = d.String()
		case 2:
			p.Key = d.String()
		case 3:
			p.Msg = d.String()
		case 4:
			p.Hint = d.String()
		case 5:
			p.Line = int(d.Uint())
		case 6:
			p.Col = int(d.Uint())
		case 7:
			p.Warning = d.Bool()
		}
	}
	return p
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
