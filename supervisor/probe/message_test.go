package probe

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNotificationsAreUnderstood(t *testing.T) {
	for text, want := range map[string]Message{
		"READY=1":   {Ready: true},
		"READY=1\n": {Ready: true},
		"READY=1\nSTATUS=Serving 3\nMAINPID=4711": {Ready: true, HasStatus: true, Status: "Serving 3", MainPID: 4711},
		"STATUS=":                                  {HasStatus: true},
		"STATUS=a=b":                               {HasStatus: true, Status: "a=b"},
		"STATUS=a\nSTATUS=b":                       {HasStatus: true, Status: "b"},
		"RELOADING=1\nMONOTONIC_USEC=12":           {Reloading: true},
		"STOPPING=1\r\nREADY=1\r\n":                {Stopping: true, Ready: true},
		"EXTEND_TIMEOUT_USEC=30000000":             {Extend: 30 * time.Second},
		"EXTEND_TIMEOUT_USEC=18446744073709551615": {Extend: math.MaxInt64 / 1000 * 1000},
		"WATCHDOG=1\nWATCHDOG_USEC=500000":         {Watchdog: true, Every: 500 * time.Millisecond},
		"WATCHDOG=trigger":                         {Trigger: true},
		"READY=1\x00":                              {Ready: true},
		"STATUS=\x1b[31mred\u202e\x07":             {HasStatus: true, Status: " [31mred  "},
		"STATUS=caf\xe9":                           {HasStatus: true, Status: "caf\ufffd"},
	} {
		if got := ParseNotify([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestWhatIsNoNotificationIsLeftOut(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "READY", "READY=", "READY=0", "READY=11", "ready=1", " READY=1", "READY=1 ", "READY =1", "X=1", "=1", "MAINPID=1", "MAINPID=0",
		"MAINPID=-5", "MAINPID=99999999999", "MAINPID=x", "EXTEND_TIMEOUT_USEC=-1", "EXTEND_TIMEOUT_USEC=1s", "STATUS=a\x00b", "READY=1\x00x",
		"FDSTORE=1", "BARRIER=1", strings.Repeat("READY=1\n", MaxDatagram/8+1),
	} {
		if got := ParseNotify([]byte(text)); got.Says() {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestStatusIsBoundedBetweenCharacters(t *testing.T) {
	got := ParseNotify([]byte("STATUS=x" + strings.Repeat("\u65e5", 1000))).Status
	if len(got) > maxStatus || len(got) < maxStatus-2 || !utf8.ValidString(got) {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-6:])
	}
}

func FuzzParseNotify(f *testing.F) {
	f.Add([]byte("READY=1\nSTATUS=\xffa\x00\nMAINPID=2\nEXTEND_TIMEOUT_USEC=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m := ParseNotify(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		if !utf8.ValidString(m.Status) || len(m.Status) > maxStatus || strings.ContainsFunc(m.Status, func(c rune) bool { return c < ' ' || c == 0x7f }) ||
			m.MainPID < 0 || m.MainPID == 1 || m.Extend < 0 || m.Every < 0 || m.Status != "" && !m.HasStatus {
			t.Fatalf("%q: %+v", b, m)
		}
		if m.Ready && !bytes.Contains(b, []byte("READY=1")) {
			t.Fatalf("%q is no READY=1", b)
		}
	})
}
