package probe

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxDatagram is how long a notification may be, as with systemd. A longer one
// is cut off by the kernel and not believed.
const MaxDatagram = 4096

// maxStatus bounds the text of STATUS.
const maxStatus = 1024

// Message is what a service says about itself in one notification. Lines that
// are not understood are left out. Source: sd_notify(3).
type Message struct {
	Ready     bool // READY=1: it has started, or has ended a reload
	Reloading bool // RELOADING=1; a READY=1 follows, in a later notification
	Stopping  bool // STOPPING=1: it has begun to end by itself
	Watchdog  bool // WATCHDOG=1: it is alive
	Trigger   bool // WATCHDOG=trigger: it wants to be treated as if it were not

	HasStatus bool          // STATUS= was given
	Status    string        // valid UTF-8 on one line, without control characters
	Extend    time.Duration // EXTEND_TIMEOUT_USEC: its present timeout is not over before that; 0: not asked
	MainPID   int           // MAINPID; 0: not given
	Every     time.Duration // WATCHDOG_USEC: how often WATCHDOG=1 will come at least; 0: not given
}

// Says reports whether the message holds anything.
func (m Message) Says() bool { return m != Message{} }

// ParseNotify reads a notification. It takes any bytes: what is no line
// KEY=VALUE of a known key is left out, and of a repeated key the last counts.
func ParseNotify(b []byte) Message {
	var m Message
	if len(b) > MaxDatagram {
		return m
	}
	b = bytes.TrimRight(b, "\x00")
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		key, value, ok := strings.Cut(string(bytes.TrimSuffix(line, []byte{'\r'})), "=")
		if ok && strings.IndexByte(value, 0) < 0 {
			m.set(key, value)
		}
	}
	return m
}

func (m *Message) set(key, value string) {
	one := value == "1"
	switch key {
	case "READY":
		m.Ready = m.Ready || one
	case "RELOADING":
		m.Reloading = m.Reloading || one
	case "STOPPING":
		m.Stopping = m.Stopping || one
	case "WATCHDOG":
		m.Watchdog, m.Trigger = m.Watchdog || one, m.Trigger || value == "trigger"
	case "STATUS":
		m.HasStatus, m.Status = true, oneLine(strings.ToValidUTF8(value, "\uFFFD"))
	case "EXTEND_TIMEOUT_USEC":
		micros(value, &m.Extend)
	case "WATCHDOG_USEC":
		micros(value, &m.Every)
	case "MAINPID":
		if n, err := strconv.ParseUint(value, 10, 31); err == nil && n > 1 {
			m.MainPID = int(n)
		}
	}
}

// micros reads microseconds; more than fit are as many as fit.
func micros(text string, into *time.Duration) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		*into = time.Duration(min(n, math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond
	}
}

// oneLine replaces what would move a terminal's cursor and cuts at maxStatus
// bytes, between characters.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return c
	}, text)
	for len(text) > maxStatus {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
