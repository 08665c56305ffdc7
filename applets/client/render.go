package client

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"zinit/supervisor"
	"zinit/supervisor/state"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// safe makes text from a service or a file harmless for a terminal: control
// characters and what turns the direction of writing show as escapes. Newline
// and tab stay.
func safe(text string) string {
	clean := func(r rune) bool {
		return r == '\n' || r == '\t' || r != utf8.RuneError && (r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r))
	}
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case clean(r):
			b.WriteString(text[i : i+n])
		case r == utf8.RuneError && n == 1, r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// line is safe for what must stay on one line.
func line(text string) string {
	return strings.ReplaceAll(safe(text), "\n", " ")
}

// age renders milliseconds for people: 1m3s, 2h5m, 3d4h.
func age(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", ms)
	case d < time.Hour:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// colors of states on a terminal.
var colors = map[string]string{"running": "32", "failed": "31", "blocked": "33", "starting": "36", "stopping": "36"}

// symbol is the three characters of a state, coloured where that is wanted.
func (s *session) symbol(name string) string {
	text := state.Parse(name).Symbol()
	if c := colors[name]; s.color && c != "" {
		return "\x1b[" + c + "m" + text + "\x1b[0m"
	}
	return text
}

// since is how long a service has been as it is; "" when it never was anything
// else.
func since(i supervisor.Info) string {
	if i.SinceMS == 0 {
		return ""
	}
	return age(i.AgeMS)
}

// list prints services as aligned lines.
func (s *session) list(list []supervisor.Info) {
	wide := [3]int{4, 7, 0}
	cell := func(i supervisor.Info) (name, pid, when string) {
		name, when = line(i.Name), since(i)
		if i.State.PID != 0 {
			pid = fmt.Sprintf("pid %d", i.State.PID)
		}
		return name, pid, when
	}
	for _, i := range list {
		name, pid, when := cell(i)
		wide[0], wide[1], wide[2] = max(wide[0], utf8.RuneCountInString(name)), max(wide[1], len(pid)), max(wide[2], len(when))
	}
	for _, i := range list {
		name, pid, when := cell(i)
		note := i.Reason
		if i.Changed {
			note = strings.TrimSpace("[changed on disk] " + note)
		}
		text := fmt.Sprintf("%s %-*s  %-8s %-*s  %*s  %s", s.symbol(i.State.State), wide[0], name, i.State.State, wide[1], pid, wide[2], when, line(note))
		fmt.Fprintln(s.std.Out, strings.TrimRight(text, " "))
	}
}

// logLine prints one line of output, with what is missing before it.
func (s *session) logLine(l supervisor.LogLine, raw, named bool) {
	if l.Dropped > 0 && !raw {
		fmt.Fprintf(s.std.Out, "%s %s ... %d bytes are missing here ...\n", clock(l.TimestampMS), line(l.Service), l.Dropped)
	}
	text := l.Content
	if l.Bytes != nil {
		text = string(l.Bytes)
	}
	switch {
	case raw && l.Partial:
		io.WriteString(s.std.Out, text)
	case raw:
		io.WriteString(s.std.Out, text+"\n")
	case named:
		fmt.Fprintf(s.std.Out, "%s %s | %s\n", clock(l.TimestampMS), line(l.Service), line(text))
	default:
		fmt.Fprintf(s.std.Out, "%s | %s\n", clock(l.TimestampMS), line(text))
	}
}

// clock is the time of day of a log line, in local time where the machine knows
// one.
func clock(ms int64) string { return time.UnixMilli(ms).Format("15:04:05.000") }
