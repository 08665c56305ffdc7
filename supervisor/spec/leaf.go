package spec

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// leaf hands one value to the rule of its key.
func (r *reader) leaf(path []segment, v value) {
	if foreignKey(path) {
		return
	}
	table := path[0]
	if rule := find(table.name, path[min(1, len(path)-1)].name); rule != nil && len(path) == 2 {
		r.path = rule.path // the usual case, and nothing to write anew
		r.key(path, v)
		return
	}
	r.path = dotted(path)
	switch {
	case !known(table.name) && len(path) == 1:
		r.fail(table.at, "unknown key outside of any table", rootHint(table.name))
	case !known(table.name):
		r.unknownTable(table)
	case len(path) == 1:
		r.fail(v.at, "expected a table, found "+v.what(), "write ["+table.name+"]")
	case table.name == "limits" && len(path) == 2:
		r.line(r.path, path[1].at)
		r.limit(path[1], v)
	case table.name == "service" && len(path) == 3 && path[1].name == "env":
		r.variable(path[2], v)
	default:
		r.key(path, v)
	}
}

// key hands a value to the rule that its path names.
func (r *reader) key(path []segment, v value) {
	table, name := path[0].name, path[1].name
	for _, o := range older {
		if o[0] == r.path {
			r.warn(path[1].at, "is an older spelling", "write "+o[1][len(table)+1:])
			name = o[1][len(table)+1:]
		}
	}
	rule := find(table, name)
	switch {
	case rule == nil:
		r.fail(path[1].at, "unknown key", meantKey(table, name))
		return
	case len(path) > 2:
		r.fail(path[2].at, "unknown key: "+rule.path+" is no table", "")
		return
	}
	if _, twice := r.lines[rule.path]; twice {
		r.fail(path[1].at, "is given twice, as "+rule.path+" too", "keep one of the two")
		return
	}
	r.path = rule.path
	r.line(rule.path, path[1].at)
	if _, there := r.lines[table]; !there { // given by a dotted key alone
		r.table(table, path[0].at)
		r.path = rule.path
	}
	before := len(r.problems)
	rule.read(r, v)
	if len(r.problems) == before {
		r.supported(rule.path, v)
	}
}

// foreignKey tells whether a key or one of the tables above it begins with x-.
func foreignKey(path []segment) bool {
	for _, s := range path[:min(2, len(path))] {
		if strings.HasPrefix(s.name, "x-") {
			return true
		}
	}
	return false
}

func known(table string) bool { return slices.Contains(tables[:], table) }

func (r *reader) unknownTable(s segment) {
	if slices.Contains(r.tables, s.name) {
		return
	}
	r.tables = append(r.tables, s.name)
	r.path = ""
	hint := meant(s.name, tables[:])
	if hint == "" {
		hint = "allowed: [" + strings.Join(tables[:], "], [") + "], and anything that begins with x-"
	}
	r.fail(s.at, "unknown table ["+bare(s.name)+"]", hint)
}

func meantTable(name string) string {
	if name == "service" {
		return "the only table within [service] is [service.env]"
	}
	return "[" + name + "] has no tables within it"
}

// rootHint says where a key belongs that stands before the first table.
func rootHint(key string) string {
	if near := nearest(key, tables[:]); near != "" {
		return "did you mean [" + near + "]?"
	}
	if find("service", key) != nil {
		return "write [service] above it"
	}
	return meantKey("", key)
}

// leafName is the last part of the key that is being read.
func (r *reader) leafName() string {
	return r.path[strings.LastIndexByte(r.path, '.')+1:]
}

// fail reports an error at an offset of the file, about the key being read.
func (r *reader) fail(at int, msg, hint string) {
	line, col := r.position(at)
	r.report(Problem{Line: line, Col: col, Key: r.path, Msg: msg, Hint: hint})
}

// warn reports something that does not keep the file from being used.
func (r *reader) warn(at int, msg, hint string) {
	line, col := r.position(at)
	r.report(Problem{Line: line, Col: col, Key: r.path, Msg: msg, Hint: hint, Warning: true})
}

func (r *reader) report(p Problem) {
	p.File = r.file
	switch {
	case len(r.problems) < maxProblems:
		r.problems = append(r.problems, p)
	case len(r.problems) == maxProblems:
		r.problems = append(r.problems, Problem{File: r.file, Msg: "has more than 50 problems; the rest is not told", Warning: p.Warning})
	case !p.Warning:
		r.problems[maxProblems].Warning = false
	}
}

// sorted puts problems in the order of the file; those of a whole file first.
func sorted(problems []Problem) []Problem {
	sort.SliceStable(problems, func(i, j int) bool {
		a, b := &problems[i], &problems[j]
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
	return problems
}

// position turns an offset into a line and a column, both from 1, in
// characters. Asking in the order of the file costs the file once.
func (r *reader) position(at int) (line, col int) {
	at = min(max(at, 0), len(r.src))
	if at < r.lastAt {
		r.lastAt, r.lastRow = 0, 0
	}
	r.lastRow += bytes.Count(r.src[r.lastAt:at], []byte("\n"))
	r.lastAt = at
	row := r.src[:at]
	row = bytes.TrimPrefix(row[bytes.LastIndexByte(row, '\n')+1:], bom)
	return r.lastRow + 1, utf8.RuneCount(row) + 1
}

// line notes where a key or table is first given.
func (r *reader) line(key string, at int) {
	if _, there := r.lines[key]; !there {
		r.lines[key], _ = r.position(at)
	}
}
