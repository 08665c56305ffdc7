package logs

import "time"

// Stream says which of its outputs a service wrote to. Zero is none.
type Stream uint8

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns "stdout", "stderr" or "none".
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	}
	return "none"
}

// MaxLine is the longest Text of a Line, in bytes. What is longer comes in
// pieces, all but the last of them Partial.
const MaxLine = 64 << 10

// Line is one line of a service's output.
type Line struct {
	Seq     uint64 // cursor after this line; grows within the service
	Time    int64  // when its end was stored, Unix nanoseconds
	Service string
	Stream  Stream
	Run     uint64
	Text    []byte // as written, without the newline
	Partial bool   // no newline follows: a piece, the last words of a stream, or not finished yet
	Dropped int64  // bytes that are missing before it, in any stream of the service
}

// Query chooses lines. The zero value chooses all of them.
type Query struct {
	Services []string        // only these; nil means all
	N        int             // at most so many, the newest; 0 or less means all
	Since    time.Time       // not older than this; the zero time means any
	Stream   Stream          // only this one; 0 means both
	Run      uint64          // only this run; 0 means any
	Match    func(Line) bool // only those it accepts; nil means any. Text is valid during the call
}

// wants says whether a line of a chosen service is chosen.
func (q *Query) wants(l *Line) bool {
	return (q.Stream == 0 || q.Stream == l.Stream) && (q.Run == 0 || q.Run == l.Run) &&
		(q.Since.IsZero() || l.Time >= q.Since.UnixNano()) && (q.Match == nil || q.Match(*l))
}
