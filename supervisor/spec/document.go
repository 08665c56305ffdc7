package spec

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// document remembers which tables and keys a file has given, because TOML lets
// each be given once. Its zero value is an empty file.
type document struct {
	items   map[place]int32 // of each key of each table, its number
	kinds   []kind          // by number; 0 is the file itself
	current int32           // the table that the last header opened
}

// place is a key within a table.
type place struct {
	table int32
	name  string
}

// kind is how a key came to be.
type kind uint8

const (
	isValue    kind = iota + 1
	isImplied       // a table on the way to another header
	isTable         // a table with a header of its own
	isDotted        // a table made by a dotted key
	isInArrays      // an array of tables; its keys are those of the last one
)

func (d *document) get(table int32, name string) (int32, kind) {
	n, ok := d.items[place{table, name}]
	if !ok {
		return 0, 0
	}
	return n, d.kinds[n]
}

func (d *document) add(table int32, name string, k kind) int32 {
	if d.items == nil {
		d.items = make(map[place]int32, 24)
		d.kinds = append(make([]kind, 0, 24), isTable)
	}
	n := int32(len(d.kinds))
	d.kinds = append(d.kinds, k)
	d.items[place{table, name}] = n
	return n
}

// open enters the table of a header. It reports, and returns false, when TOML
// forbids that.
func (d *document) open(r *reader, path []segment, array bool) bool {
	table := int32(0)
	for _, s := range path[:len(path)-1] {
		n, k := d.get(table, s.name)
		switch k {
		case 0:
			n = d.add(table, s.name, isImplied)
		case isValue:
			return d.twice(r, path, s.at, "is already a key, not a table")
		}
		table = n
	}
	last := path[len(path)-1]
	n, k := d.get(table, last.name)
	switch {
	case k == 0 && array, k == isInArrays && array:
		n = d.add(table, last.name, isInArrays)
	case k == 0:
		n = d.add(table, last.name, isTable)
	case k == isImplied && !array:
		d.kinds[n] = isTable
	case k == isValue:
		return d.twice(r, path, last.at, "is already a key, not a table")
	default:
		d.current = n
		d.twice(r, path, last.at, "is given twice")
		return true // its keys are judged all the same
	}
	d.current = n
	return true
}

func (d *document) twice(r *reader, path []segment, at int, what string) bool {
	r.path = ""
	r.fail(at, "["+dotted(path)+"] "+what, "put all keys of a table under one header")
	return false
}

// set notes a key of the table that is open. It reports, and returns false,
// when it was given before.
func (d *document) set(r *reader, path []segment, v *value) bool {
	return d.setIn(r, d.current, path, v)
}

func (d *document) setIn(r *reader, table int32, path []segment, v *value) bool {
	for _, s := range path[:len(path)-1] {
		n, k := d.get(table, s.name)
		switch k {
		case 0:
			n = d.add(table, s.name, isDotted)
		case isDotted:
		default:
			return d.again(r, path, s.at)
		}
		table = n
	}
	last := path[len(path)-1]
	if _, k := d.get(table, last.name); k != 0 {
		return d.again(r, path, last.at)
	}
	n := d.add(table, last.name, isValue)
	return d.inside(r, n, v)
}

// inside judges the keys of inline tables, which nothing can extend.
func (d *document) inside(r *reader, n int32, v *value) bool {
	ok := true
	if v.kind == unstable.InlineTable {
		for i := range v.pairs {
			ok = d.setIn(r, n, v.pairs[i].path, &v.pairs[i].value) && ok
		}
	}
	for i := range v.list {
		if e := &v.list[i]; e.kind == unstable.InlineTable || e.kind == unstable.Array {
			ok = d.inside(r, d.add(n, "", isValue), e) && ok
		}
	}
	return ok
}

func (d *document) again(r *reader, path []segment, at int) bool {
	r.path = dotted(append(r.header[:len(r.header):len(r.header)], path...))
	r.fail(at, "is given twice", "keep one of the two")
	r.path = ""
	return false
}

// dotted writes a path as TOML does.
func dotted(path []segment) string {
	var b strings.Builder
	for i, s := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(bare(s.name))
	}
	return b.String()
}

// bare writes a key, quoted where TOML wants that.
func bare(name string) string {
	if name == "" || strings.IndexFunc(name, func(r rune) bool { return !keyRune(r) }) >= 0 {
		return quote(name)
	}
	return name
}

func keyRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}
