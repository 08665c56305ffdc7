package keeper

import (
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func everyRequest() []request {
	full := Spawn{
		Tag: "web", Run: 7, Paths: []string{"/bin/a", "/b"}, Argv: []string{"a", "", "ü"}, Env: []string{"A=1"},
		Dir: "/d", Chroot: "/c", Umask: 0o27, ReadyFD: 5, AtExit: unix.SIGHUP,
		Cred:   &Cred{UID: 1, GID: 2, Groups: []uint32{3, 1<<32 - 1}},
		Limits: []Limit{{Resource: 7, Soft: 1, Hard: ^uint64(0)}},
		Nice:   -20, IONice: IONice{2, 7}, OOMScoreAdj: pointer(-1000), CPUs: []uint64{1, 1 << 63}, NoNewPrivs: true,
		Caps: pointer(uint64(1 << 40)), TTY: "/dev/tty1", Cgroup: "/sys/fs/cgroup/a",
	}
	return []request{
		{kind: recHello, num: version}, {kind: recNext}, {kind: recReady},
		{kind: recSpawn, spawn: full}, {kind: recSpawn, spawn: Spawn{Tag: "x", Umask: -1}},
		{kind: recSignal, signal: Signal{Tag: "web", Run: 7, Seq: 9, Sig: 64, ToGroup: true}},
		{kind: recAck, ack: Gone, spawn: Spawn{Tag: "web", Run: 7}},
		{kind: recAckAsk, ask: Ask{What: Reboot, Times: 3}},
		{kind: recHold, name: "journal", nfds: 3}, {kind: recDrop, name: "journal"},
		{kind: recEnd, end: End{How: PowerOff, Status: -1}},
		{kind: recSeen, num: 1 << 40}, {kind: recUpgrade, num: 1 << 50},
	}
}

// decodeRequest reads a record into a request of its own.
func decodeRequest(kind byte, d *decoder) (r request, err error) {
	err = r.decode(kind, d)
	return r, err
}

func TestRequestsComeBackAsTheyWere(t *testing.T) {
	var e encoder
	want := everyRequest()
	for i := range want {
		e.request(&want[i])
	}
	var got []request
	if err := records(e.b, func(kind byte, d *decoder) error {
		r, err := decodeRequest(kind, d)
		got = append(got, r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// The other end may be of a time when upgrades had no number.
func TestAnUpgradeWithoutANumberIsUnderstood(t *testing.T) {
	if r, err := decodeRequest(recUpgrade, &decoder{}); err != nil || r.num != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	var e encoder
	e.u64(3)
	e.num(0)
	e.flag(true)
	e.num(1)
	e.str("exit 1")
	var w Welcome
	d := &decoder{b: e.b}
	if w.add(recWelcome, d, nil); d.bad || w.UpgradeFailed != "exit 1" || w.Upgrade != 0 {
		t.Errorf("%+v, %v", w, d.bad)
	}
}

// A keeper of a time when an ask did not name its signal is understood, and an ask
// that names it is by a server of that time: it does not look behind what it knows.
func TestAnAskWithoutASignalIsUnderstood(t *testing.T) {
	for _, want := range []Ask{{Stop, 2, 0}, {Stop, 2, unix.SIGINT}} {
		var e encoder
		e.ask(want)
		old := (&decoder{b: e.b}).ask()
		e.by(want)
		var w Welcome
		w.add(recAsk, &decoder{b: e.b}, nil)
		if len(w.Asked) != 1 || w.Asked[0] != want || old != (Ask{Stop, 2, 0}) {
			t.Errorf("%+v is read as %+v, of old as %+v", want, w.Asked, old)
		}
	}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	want := Event{
		Kind: Exited, Tag: "web", Run: 1 << 63, Pid: 4711, StartTime: 99, Step: "chdir", Errno: syscall.ENOENT,
		Status: 0x8b, NoExec: true, AtNS: -5, UserUS: 1, SysUS: 2, MaxRSSKB: 3, Seq: 4, Outcome: Pending,
		Name: "n", Ask: Ask{Stop, 2, unix.SIGTERM}, FDs: []NamedFD{{"pipe/web/1/out", -1}, {"x", -1}},
	}
	var e encoder
	e.event(recEvent, &want)
	_ = records(e.b, func(kind byte, d *decoder) error {
		if got := d.event(); d.bad || !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		return nil
	})
}

func TestCutMessagesAreMalformed(t *testing.T) {
	for _, r := range everyRequest() {
		var e encoder
		e.request(&r)
		for n := range len(e.b) {
			if n > 0 && records(e.b[:n], func(byte, *decoder) error { return nil }) == nil {
				t.Errorf("%d of the %d bytes of request %d are a message", n, len(e.b), r.kind)
			}
			older := r.kind == recUpgrade && n == 5 // see TestAnUpgradeWithoutANumberIsUnderstood
			if n > 4 && !older {                    // a whole record with a short body
				if _, err := decodeRequest(r.kind, &decoder{b: e.b[5:n]}); err == nil && n < len(e.b) {
					t.Errorf("request %d without its last %d bytes is accepted", r.kind, len(e.b)-n)
				}
			}
		}
	}
}

func TestBoundsAreKept(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for name, r := range map[string]request{
		"tag":    {kind: recSpawn, spawn: Spawn{Tag: long[:MaxTag+1]}},
		"paths":  {kind: recSpawn, spawn: Spawn{Tag: "x", Paths: make([]string, MaxPaths+1)}},
		"groups": {kind: recSpawn, spawn: Spawn{Tag: "x", Cred: &Cred{Groups: make([]uint32, MaxIDs+1)}}},
		"limits": {kind: recSpawn, spawn: Spawn{Tag: "x", Limits: make([]Limit, maxLimits+1)}},
		"name":   {kind: recHold, name: long},
		"signal": {kind: recSignal, signal: Signal{Tag: "x", Sig: 65}},
		"minus":  {kind: recSignal, signal: Signal{Tag: "x", Sig: -1}},
		"end":    {kind: recEnd, end: End{How: Reload}},
	} {
		var e encoder
		e.request(&r)
		if _, err := decodeRequest(r.kind, &decoder{b: e.b[5:]}); err == nil {
			t.Errorf("%s beyond its bound is accepted", name)
		}
	}
}

// FuzzDecode: no bytes on the socket can stop the keeper, or make it reserve
// memory for what is not there.
func FuzzDecode(f *testing.F) {
	for _, r := range everyRequest() {
		var e encoder
		e.request(&r)
		f.Add(e.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = records(b, func(kind byte, d *decoder) error {
			r, err := decodeRequest(kind, d)
			if err != nil {
				return err
			}
			var e encoder
			e.request(&r)
			again, err := decodeRequest(kind, &decoder{b: e.b[5:]})
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v came back as %+v, %v", r, again, err)
			}
			return nil
		})
		_ = records(b, func(_ byte, d *decoder) error { d.event(); return nil })
		w := Welcome{Held: map[string][]int{}}
		_ = records(b, func(kind byte, d *decoder) error { w.add(kind, d, []int{1, 2}); return nil })
	})
}

func TestStatIsParsedWhateverTheName(t *testing.T) {
	line := "42 (a) b (c)) S 1 2 3 0 -1 4194368 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 9\n"
	s, ok := parseStat([]byte(line))
	if want := (stat{state: 'S', ppid: 1, pgrp: 2, sess: 3, flags: 4194368, start: 12345}); !ok || s != want {
		t.Errorf("parsed as %+v, want %+v", s, want)
	}
	for n := range len(line) - 8 {
		if s, ok := parseStat([]byte(line[:n])); ok {
			t.Errorf("%q is accepted as %+v", line[:n], s)
		}
	}
}
