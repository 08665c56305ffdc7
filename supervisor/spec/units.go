package spec

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxMillis bounds every time: some thirty years, so that sums cannot overflow.
const maxMillis = 1_000_000_000_000

// millis reads a time in milliseconds; least is 0 or 1.
func (r *reader) millis(v value, least int64, into *time.Duration) {
	if v.kind == unstable.String {
		hint := "times are integers in milliseconds"
		if d, err := time.ParseDuration(v.text); err == nil && d >= time.Millisecond {
			hint = "write " + r.leafName() + " = " + strconv.FormatInt(d.Milliseconds(), 10)
		}
		r.fail(v.at, "expected an integer, found a string", hint)
		return
	}
	if n, ok := r.integer(v, least, maxMillis); ok {
		*into = time.Duration(n) * time.Millisecond
	}
}

const sizeForms = `an integer in bytes or a string like "64MiB"`

var units = [...]struct {
	suffix string
	shift  uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}, {"", 0}}

// parseSize reads "64MiB". ok is false when it is no size or does not fit.
func parseSize(text string) (n int64, ok bool) {
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || n > math.MaxInt64>>u.shift {
			return 0, false
		}
		return int64(n) << u.shift, true
	}
	return 0, false
}

// size reads a number of bytes, at least 1.
func (r *reader) size(v value) (n int64, ok bool) {
	switch v.kind {
	case unstable.Integer:
		return r.integer(v, 1, math.MaxInt64)
	case unstable.String:
		if n, ok = parseSize(v.text); ok && n > 0 {
			return n, true
		}
		r.fail(v.at, quote(v.text)+" is no size; expected "+sizeForms, meantSize(v.text))
		return 0, false
	}
	r.fail(v.at, "expected "+sizeForms+", found "+v.what(), "")
	return 0, false
}

// meantSize corrects the units that people use for these.
func meantSize(text string) string {
	digits := strings.TrimRight(text, "kKmMgGtTiIbB ")
	unit := strings.ToUpper(strings.TrimSpace(text[len(digits):]))
	if _, err := strconv.ParseUint(digits, 10, 63); err != nil || unit == "" {
		return "the units are B, KiB, MiB, GiB and TiB"
	}
	if i := strings.IndexByte("KMGT", unit[0]); i >= 0 {
		return "did you mean " + strconv.Quote(digits+units[i].suffix) + "?"
	}
	return "the units are B, KiB, MiB, GiB and TiB"
}
