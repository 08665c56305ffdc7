package supervisor

import (
	"unicode/utf8"

	"zinit/supervisor/logs"
)

// LineOf turns one stored line into an answer. Text that is not UTF-8 travels
// as bytes, so that nothing is changed on the way.
func LineOf(l logs.Line) LogLine {
	out := LogLine{TimestampMS: l.Time / 1e6, Service: l.Service, Stream: l.Stream.String(), Run: l.Run, Seq: l.Seq,
		Partial: l.Partial, Dropped: l.Dropped}
	if utf8.Valid(l.Text) {
		out.Content = string(l.Text)
	} else {
		out.Bytes = l.Text
	}
	return out
}
