package spec

import (
	"math"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// value is a TOML value with the place it stands at.
type value struct {
	kind  unstable.Kind
	text  string  // a string's content; of the other scalars what is written
	list  []value // elements of an array
	pairs []pair  // of an inline table
	at    int     // offset in the file
}

// pair is one line of an inline table; its key may be dotted.
type pair struct {
	path []segment
	value
}

// segment is one part of a dotted key.
type segment struct {
	name string
	at   int
}

// convert copies a node, which lives only until the parser goes on. at is where
// to say it stands when the parser does not know.
func (r *reader) convert(n *unstable.Node, at int) value {
	if n.Raw.Length > 0 {
		at = int(n.Raw.Offset) + r.base
	}
	v := value{kind: n.Kind, at: at}
	switch n.Kind {
	case unstable.Array:
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, r.convert(it.Node(), at))
		}
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			path := r.keys(nil, it.Node().Key())
			v.pairs = append(v.pairs, pair{path, r.convert(it.Node().Value(), path[0].at)})
		}
	default:
		v.text = string(n.Data)
	}
	return v
}

// keys appends the parts of a dotted key to path. Names are cut from the text of
// the file where they stand in it as they are.
func (r *reader) keys(path []segment, it unstable.Iterator) []segment {
	for it.Next() {
		n := it.Node()
		at, name := int(n.Raw.Offset)+r.base, ""
		if len(n.Data) == int(n.Raw.Length) {
			name = r.names[at : at+len(n.Data)]
		} else {
			name = string(n.Data)
		}
		path = append(path, segment{name, at})
	}
	return path
}

// what names the type of the value for a message.
func (v value) what() string {
	switch v.kind {
	case unstable.String:
		return "a string"
	case unstable.Integer:
		return "an integer"
	case unstable.Float:
		return "a float"
	case unstable.Bool:
		return "a boolean"
	case unstable.Array:
		return "a list"
	case unstable.InlineTable, unstable.Table:
		return "a table"
	}
	return "a date or time"
}

// empty tells whether the value is what an unset key would be: false, 0, "",
// [] or {}.
func (v value) empty() bool {
	switch v.kind {
	case unstable.String:
		return v.text == ""
	case unstable.Integer:
		n, err := strconv.ParseInt(v.text, 0, 64)
		return err == nil && n == 0
	case unstable.Bool:
		return v.text == "false"
	case unstable.Array:
		return len(v.list) == 0
	}
	return v.kind == unstable.InlineTable && len(v.pairs) == 0
}

// wrong reports a value of the wrong type; example is a right one.
func (r *reader) wrong(v value, want, example string) {
	hint := ""
	if example != "" {
		hint = "write " + r.leafName() + " = " + example
	}
	r.fail(v.at, "expected "+want+", found "+v.what(), hint)
}

// bool reads true or false.
func (r *reader) bool(v value) bool {
	if v.kind != unstable.Bool {
		example := "true"
		if strings.EqualFold(v.text, "false") || strings.EqualFold(v.text, "no") || v.text == "0" {
			example = "false"
		}
		r.wrong(v, "true or false", example)
	}
	return v.text == "true"
}

// text reads a string; ok is false, and the fault reported, when it is none or
// holds control characters other than newline and tab.
func (r *reader) text(v value) (text string, ok bool) {
	if v.kind != unstable.String {
		example := ""
		if v.kind == unstable.Integer || v.kind == unstable.Float {
			example = strconv.Quote(v.text)
		}
		r.wrong(v, "a string", example)
		return "", false
	}
	for _, c := range v.text {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			r.fail(v.at, "holds the control character "+strconv.QuoteRuneToASCII(c), "")
			return "", false
		}
	}
	return v.text, true
}

// filled reads a string that must not be empty and stands on one line.
func (r *reader) filled(v value) (text string, ok bool) {
	if text, ok = r.text(v); !ok {
		return "", false
	}
	if strings.TrimSpace(text) == "" {
		r.fail(v.at, "is empty", "give it a value, or remove the line")
		return "", false
	}
	if strings.ContainsAny(text, "\n\t") {
		r.fail(v.at, "holds a newline or a tab: "+quote(text), "")
		return "", false
	}
	return text, true
}

// absolute reads an absolute path.
func (r *reader) absolute(v value) (path string, ok bool) {
	if path, ok = r.filled(v); !ok {
		return "", false
	}
	if path[0] != '/' {
		r.fail(v.at, quote(path)+" is relative; a path must begin with /", "")
		return "", false
	}
	return path, true
}

// integer reads an integer within bounds.
func (r *reader) integer(v value, least, most int64) (n int64, ok bool) {
	if v.kind != unstable.Integer {
		r.wrong(v, "an integer", integerExample(v))
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 0, 64)
	if err == nil && n >= least && n <= most {
		return n, true
	}
	allowed := "allowed: " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10)
	if most == math.MaxInt64 || most == math.MaxInt32 {
		allowed = "at least " + strconv.FormatInt(least, 10) + " is allowed"
		if err != nil || n > most {
			allowed = "at most " + strconv.FormatInt(most, 10) + " is allowed"
		}
	}
	r.fail(v.at, v.text+" is out of range; "+allowed, "")
	return 0, false
}

// integerExample guesses which integer was meant.
func integerExample(v value) string {
	n, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1e15 {
		return ""
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// choice reads one of the given words and returns its index, or -1.
func (r *reader) choice(v value, words []string) int {
	allowed := "allowed: " + strings.Join(words, ", ")
	if v.kind != unstable.String {
		r.fail(v.at, "expected a string, found "+v.what()+"; "+allowed, "")
		return -1
	}
	for i, w := range words {
		if v.text == w {
			return i
		}
	}
	r.fail(v.at, "unknown value "+quote(v.text)+"; "+allowed, meant(v.text, words))
	return -1
}

// texts reads a list and hands each element to read.
func (r *reader) texts(v value, example string, read func(value)) {
	if v.kind != unstable.Array {
		if v.kind == unstable.String && v.text != "" {
			example = "[" + quote(v.text) + "]"
		}
		r.wrong(v, "a list", example)
		return
	}
	for _, e := range v.list {
		read(e)
	}
}
