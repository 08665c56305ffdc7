package spec

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Parse reads one service or target file and returns what it means, with all
// that is wrong with it, in the order of the file. The Spec is nil when an
// error is among the problems. file gives the name when the text does not, and
// stands in messages; class is that of its directory: in a system directory
// every service is of class system. Parse opens nothing and keeps src.
func Parse(file string, src []byte, class Class) (*Spec, []Problem) {
	r := parse(file, src, class)
	if Failed(r.problems) {
		return nil, r.problems
	}
	return r.spec, r.problems
}

// reader is one file on its way to a spec.
type reader struct {
	file     string
	src      []byte
	spec     *Spec
	lines    map[string]int // of each key and table that the file gives, by "table.key" and "table"
	problems []Problem
	system   bool // the directory makes everything class system

	settings  *Settings // of a zinit.toml; then nothing else is read
	doc       document
	tables    []string  // unknown ones that were already told
	names     string    // the text again, for the names of keys to be cut from
	base      int       // where in the text the parser began
	header    []segment // of the table that is open
	scratch   []segment
	path      string // the key whose value is being read
	broken    bool   // a part of the file could not be read at all
	lost      bool   // under a header that is wrong: nobody knows what the keys were to mean
	env       []envVar
	readyAuto bool // by the health check, where there is one
	health    unjudged
	lastAt    int // where position was asked for last
	lastRow   int
}

const (
	maxFile     = 1 << 20 // bytes that a file may have
	maxProblems = 50      // told of one file
)

func parse(file string, src []byte, class Class) *reader {
	r := &reader{file: file, src: src, spec: initial(file, src, class), lines: make(map[string]int, 16), system: class == System, health: initialHealth(), readyAuto: true}
	if !r.readable() {
		r.spec.Name = stem(file)
		return r
	}
	r.read()
	r.finish()
	r.spec.Warned = len(r.problems) > 0
	return r
}

// readable judges the text before its first word.
func (r *reader) readable() bool {
	switch {
	case len(r.src) > maxFile:
		r.report(Problem{Msg: "is larger than 1 MiB, which no service file can be"})
	case bytes.HasPrefix(r.src, []byte("\xff\xfe")), bytes.HasPrefix(r.src, []byte("\xfe\xff")), bytes.IndexByte(r.src, 0) >= 0 && utf16(r.src):
		r.report(Problem{Msg: "is UTF-16; service files are UTF-8", Hint: "convert it: iconv -f UTF-16 -t UTF-8"})
	case len(r.src) == 0:
		r.report(Problem{Msg: "is empty (0 bytes)", Hint: `write [service] and exec = "…", or remove the file`})
	default:
		return true
	}
	return false
}

// utf16 tells whether every other byte is zero, as in western text in UTF-16.
func utf16(src []byte) bool {
	return 3*bytes.Count(src, []byte{0}) > len(src)
}

var bom = []byte("\ufeff")

// parsers are kept for the next file: most of what one allocates is room for
// the nodes of an expression.
var parsers = sync.Pool{New: func() any { return new(unstable.Parser) }}

// read takes the text apart and hands each key to its rule. A line that is not
// TOML is told, and reading goes on at the next.
func (r *reader) read() {
	r.names = string(r.src)
	start := 0
	if bytes.HasPrefix(r.src, bom) {
		start = len(bom)
		r.warn(0, "begins with a byte order mark, which is ignored", "save it as UTF-8 without BOM")
	}
	if at := bytes.Index(r.src, []byte("\r\n")); at >= 0 {
		r.warn(at, "has Windows line ends (CRLF), which are read as line ends", "convert it: sed -i 's/\\r$//'")
	}
	p := parsers.Get().(*unstable.Parser)
	defer parsers.Put(p)
	for start <= len(r.src) && len(r.problems) <= maxProblems {
		p.Reset(r.src[start:])
		r.base = start
		for p.NextExpression() && len(r.problems) <= maxProblems {
			r.expression(p.Expression())
		}
		if p.Error() == nil {
			return
		}
		start = r.syntax(p, start)
	}
}

// syntax reports what is not TOML and returns where to go on.
func (r *reader) syntax(p *unstable.Parser, start int) int {
	r.broken = true
	at := len(r.src)
	err, ok := p.Error().(*unstable.ParserError)
	if ok && cap(err.Highlight) <= cap(r.src) {
		at = cap(r.src) - cap(err.Highlight)
	}
	r.path = ""
	line := r.src[bytes.LastIndexByte(r.src[:at], '\n')+1:]
	r.lost = r.lost || bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("["))
	hint := "strings are in quotes, lists in [ ], and each key stands on its own line"
	if at < len(r.src) && !utf8.FullRune(r.src[at:]) || strings.Contains(p.Error().Error(), "UTF-8") {
		hint = "save the file as UTF-8"
	}
	r.fail(at, "not TOML: "+p.Error().Error(), hint)
	next := bytes.IndexByte(r.src[min(at, len(r.src)):], '\n')
	if next < 0 {
		return len(r.src) + 1
	}
	return max(start, at) + next + 1
}

// expression takes one [table] header or key = value.
func (r *reader) expression(n *unstable.Node) {
	r.path = ""
	if n.Kind != unstable.KeyValue {
		r.header = r.keys(nil, n.Key())
		r.lost = !r.open(r.header, n.Kind == unstable.ArrayTable)
		return
	}
	if r.lost {
		return
	}
	r.scratch = r.keys(append(r.scratch[:0], r.header...), n.Key())
	full := r.scratch
	path := full[len(r.header):]
	v := r.convert(n.Value(), path[len(path)-1].at)
	switch {
	case !r.doc.set(r, path, &v):
	case r.settings != nil:
		r.setting(full, v)
	default:
		r.leaves(full, v)
	}
}

// open enters a table and returns whether its keys can be judged.
func (r *reader) open(path []segment, array bool) bool {
	if !r.doc.open(r, path, array) {
		return false
	}
	if foreignKey(path) {
		return true
	}
	name := path[0].name
	switch {
	case r.settings != nil:
		if array || len(path) > 1 || name != "logging" {
			r.fail(path[0].at, "unknown table ["+dotted(path)+"]", "the only table is [logging]")
			return false
		}
	case !known(name):
		r.unknownTable(path[0])
		return false
	case array:
		r.fail(path[0].at, "["+"["+name+"]] is a list of tables; a file has one", "write ["+name+"]")
		r.table(name, path[0].at)
	case len(path) == 1:
		r.table(name, path[0].at)
	case name == "service" && len(path) == 2 && path[1].name == "env":
		r.table(name, path[0].at)
		r.line("service.env", path[0].at)
	default:
		r.fail(path[1].at, "unknown table ["+dotted(path)+"]", meantTable(name))
		return false
	}
	return true
}

// table notes that a known table is there.
func (r *reader) table(name string, at int) {
	if _, seen := r.lines[name]; seen {
		return
	}
	r.line(name, at)
	if name == "target" {
		r.spec.Target = true
	}
	r.path = ""
	r.supportedTable(name, at)
}

// leaves goes down inline tables to the values.
func (r *reader) leaves(path []segment, v value) {
	if v.kind == unstable.InlineTable && !foreignKey(path) && (len(path) == 1 && known(path[0].name) || len(path) == 2 && path[1].name == "env") {
		if len(path) == 1 {
			r.table(path[0].name, path[0].at)
		} else {
			r.line("service.env", path[1].at)
		}
		for _, p := range v.pairs {
			r.leaves(append(path[:len(path):len(path)], p.path...), p.value)
		}
		return
	}
	r.leaf(path, v)
}
