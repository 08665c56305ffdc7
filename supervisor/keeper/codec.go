package keeper

import (
	"encoding/binary"
	"slices"
	"syscall"
	"unsafe"
)

// A datagram is a row of records {length uint32, kind byte, body}. Integers
// are little-endian and of fixed size, a string is its length as uint32 and
// its bytes. Descriptors travel beside the datagram; the records claim them
// in order.

// Kinds of records. What a server sends is below 64, what a keeper sends above.
const (
	recHello byte = iota + 1
	recNext
	recSpawn
	recSignal
	recAck
	recAckAsk
	recHold
	recDrop
	recReady
	recEnd
	recSeen
	recUpgrade
)
const (
	recEvent byte = iota + 64
	recWelcome
	recChild
	recHeld
	recAsk
	recWelcomeEnd
	recNudge
	recKilled
)

// request is any record a server sends; which fields count follows from kind.
type request struct {
	kind   byte
	num    uint64 // hello: version; seen: datagrams; upgrade: its number
	nfds   int    // hold
	spawn  Spawn
	signal Signal
	ack    EventKind // with spawn.Tag and spawn.Run
	ask    Ask
	name   string // hold, drop
	end    End
}

type encoder struct{ b []byte }

func (e *encoder) u8(v byte)    { e.b = append(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) num(v int)    { e.u64(uint64(int64(v))) }
func (e *encoder) str(s string) { e.u32(uint32(len(s))); e.b = append(e.b, s...) }
func (e *encoder) flag(v bool) {
	if v {
		e.u8(1)
	} else {
		e.u8(0)
	}
}
func (e *encoder) strs(list []string) {
	size := 4
	for _, s := range list {
		size += 4 + len(s)
	}
	e.b = slices.Grow(e.b, size) // an environment is most of a request
	e.u32(uint32(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

// begin starts a record; end fills in its length.
func (e *encoder) begin(kind byte) (at int) {
	at = len(e.b)
	e.u32(0)
	e.u8(kind)
	return at
}
func (e *encoder) end(at int) {
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-at-4))
}

type decoder struct {
	b    []byte
	lent bool // strings are parts of b, and no longer good than it is
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}
func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}
func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}
func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}
func (d *decoder) num() int   { return int(int64(d.u64())) }
func (d *decoder) flag() bool { return d.u8() != 0 }

// count reads how many items follow, each of which takes at least size bytes,
// so that a lying count allocates nothing.
func (d *decoder) count(limit, size int) int {
	n := d.u32()
	if d.bad || uint64(n) > uint64(limit) || uint64(n)*uint64(size) > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}
func (d *decoder) str(limit int) string {
	p := d.take(d.count(limit, 1))
	if d.lent {
		return unsafe.String(unsafe.SliceData(p), len(p))
	}
	return string(p)
}
func (d *decoder) strs(list []string, limit int) []string {
	n := d.count(limit, 4)
	list = slices.Grow(list[:0], n)
	for range n {
		list = append(list, d.str(maxSpawn))
	}
	return list
}

// records calls f with each record of a datagram and stops at the first that
// is no record or that f refuses.
func records(b []byte, f func(kind byte, body *decoder) error) error {
	d := decoder{b: b}
	var body decoder
	for len(d.b) > 0 {
		rec := d.take(int(d.u32()))
		if d.bad || len(rec) == 0 {
			return errMalformed
		}
		body = decoder{b: rec[1:]}
		if err := f(rec[0], &body); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) request(r *request) {
	at := e.begin(r.kind)
	switch r.kind {
	case recHello, recSeen, recUpgrade:
		e.u64(r.num)
	case recSpawn:
		e.spawn(&r.spawn)
	case recSignal:
		s := &r.signal
		e.str(s.Tag)
		e.u64(s.Run)
		e.u64(s.Seq)
		e.num(int(s.Sig))
		e.flag(s.ToGroup)
	case recAck:
		e.u8(byte(r.ack))
		e.str(r.spawn.Tag)
		e.u64(r.spawn.Run)
	case recAckAsk:
		e.ask(r.ask)
	case recHold:
		e.str(r.name)
		e.num(r.nfds)
	case recDrop:
		e.str(r.name)
	case recEnd:
		e.u8(byte(r.end.How))
		e.num(r.end.Status)
	}
	e.end(at)
}

// decode reads one record of a server into r, whose lists are used again. Bytes
// after the fields it knows belong to a later version and are skipped.
func (r *request) decode(kind byte, d *decoder) error {
	*r = request{kind: kind, spawn: r.spawn}
	switch kind {
	case recHello, recSeen:
		r.num = d.u64()
	case recUpgrade:
		if len(d.b) > 0 { // a server of a time when it had no number
			r.num = d.u64()
		}
	case recNext, recReady:
	case recSpawn:
		d.spawn(&r.spawn)
	case recSignal:
		r.signal = Signal{Tag: d.str(MaxTag), Run: d.u64(), Seq: d.u64(), Sig: syscall.Signal(d.num()), ToGroup: d.flag()}
		d.bad = d.bad || r.signal.Sig < 0 || r.signal.Sig > 64
	case recAck:
		r.ack = EventKind(d.u8())
		r.spawn.Tag, r.spawn.Run = d.str(MaxTag), d.u64()
	case recAckAsk:
		r.ask = d.ask()
	case recHold:
		r.name, r.nfds = d.str(MaxName), d.num()
		d.bad = d.bad || r.nfds < 0 || r.nfds > maxPassed
	case recDrop:
		r.name = d.str(MaxName)
	case recEnd:
		r.end = End{How: Asking(d.u8()), Status: d.num()}
		d.bad = d.bad || !r.end.How.Ends()
	default:
		d.bad = true
	}
	if d.bad {
		return errMalformed
	}
	return nil
}

func (e *encoder) ask(a Ask) { e.u8(byte(a.What)); e.u64(a.Times) }
func (d *decoder) ask() Ask  { return Ask{What: Asking(d.u8()), Times: d.u64()} }

// by is the signal of an ask, at the end of its record, where an older keeper has
// nothing and an older server does not look.
func (e *encoder) by(a Ask) {
	if a.Sig != 0 {
		e.u8(byte(a.Sig))
	}
}

func (e *encoder) spawn(s *Spawn) {
	e.str(s.Tag)
	e.u64(s.Run)
	e.strs(s.Paths)
	e.strs(s.Argv)
	e.strs(s.Env)
	e.str(s.Dir)
	e.str(s.Chroot)
	e.num(s.Umask)
	e.num(s.ReadyFD)
	e.num(int(s.AtExit))
	e.u32(uint32(len(s.Limits)))
	for _, l := range s.Limits {
		e.num(l.Resource)
		e.u64(l.Soft)
		e.u64(l.Hard)
	}
	e.flag(s.Cred != nil)
	if s.Cred != nil {
		e.u32(s.Cred.UID)
		e.u32(s.Cred.GID)
		e.u32(uint32(len(s.Cred.Groups)))
		for _, g := range s.Cred.Groups {
			e.u32(g)
		}
	}
	e.attributes(s)
}

func (e *encoder) attributes(s *Spawn) {
	e.num(s.Nice)
	e.num(s.IONice.Class)
	e.num(s.IONice.Level)
	e.flag(s.OOMScoreAdj != nil)
	if s.OOMScoreAdj != nil {
		e.num(*s.OOMScoreAdj)
	}
	e.u32(uint32(len(s.CPUs)))
	for _, word := range s.CPUs {
		e.u64(word)
	}
	e.flag(s.NoNewPrivs)
	e.flag(s.Caps != nil)
	if s.Caps != nil {
		e.u64(*s.Caps)
	}
	e.str(s.TTY)
	e.str(s.Cgroup)
}

// spawn reads what encoder.spawn wrote. But for the tag its strings are good for
// as long as the bytes they were read from: they are most of a request.
func (d *decoder) spawn(s *Spawn) {
	tag := d.str(MaxTag)
	d.lent = true
	*s = Spawn{
		Tag: tag, Run: d.u64(),
		Paths: d.strs(s.Paths, MaxPaths), Argv: d.strs(s.Argv, maxSpawn), Env: d.strs(s.Env, maxSpawn),
		Dir: d.str(maxSpawn), Chroot: d.str(maxSpawn),
		Umask: d.num(), ReadyFD: d.num(), AtExit: syscall.Signal(d.num()),
	}
	for range d.count(maxLimits, 24) {
		s.Limits = append(s.Limits, Limit{Resource: d.num(), Soft: d.u64(), Hard: d.u64()})
	}
	if d.flag() {
		s.Cred = &Cred{UID: d.u32(), GID: d.u32()}
		for range d.count(MaxIDs, 4) {
			s.Cred.Groups = append(s.Cred.Groups, d.u32())
		}
	}
	d.attributes(s)
}

func (d *decoder) attributes(s *Spawn) {
	s.Nice, s.IONice = d.num(), IONice{Class: d.num(), Level: d.num()}
	if d.flag() {
		n := d.num()
		s.OOMScoreAdj = &n
	}
	for range d.count(maxCPUWords, 8) {
		s.CPUs = append(s.CPUs, d.u64())
	}
	s.NoNewPrivs = d.flag()
	if d.flag() {
		caps := d.u64()
		s.Caps = &caps
	}
	s.TTY, s.Cgroup = d.str(maxPath), d.str(maxPath)
}

// event writes ev as a record of the given kind: recEvent, or recChild for an
// entry of the welcome, whose Kind is its phase.
func (e *encoder) event(kind byte, ev *Event) {
	at := e.begin(kind)
	e.u8(byte(ev.Kind))
	e.str(ev.Tag)
	e.u64(ev.Run)
	e.num(ev.Pid)
	e.u64(ev.StartTime)
	e.str(ev.Step)
	e.u32(uint32(ev.Errno))
	e.u32(uint32(ev.Status))
	e.flag(ev.NoExec)
	e.u64(uint64(ev.AtNS))
	e.u64(uint64(ev.UserUS))
	e.u64(uint64(ev.SysUS))
	e.u64(uint64(ev.MaxRSSKB))
	e.u64(ev.Seq)
	e.u8(byte(ev.Outcome))
	e.str(ev.Name)
	e.ask(ev.Ask)
	e.u32(uint32(len(ev.FDs)))
	for _, f := range ev.FDs {
		e.str(f.Name)
	}
	e.by(ev.Ask)
	e.end(at)
}
