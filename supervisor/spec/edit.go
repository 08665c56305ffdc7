package spec

import (
	"bytes"
	"fmt"
	"strings"
)

// Edit returns src with one key set to a value, written as TOML, and nothing
// else touched: comments, order and spacing stay. path is "table.key" as in
// messages. A key that is not there is added to its table, a table that is not
// there at the end. It fails for a key that is written in a way that cannot be
// replaced on its own, such as one inside an inline table.
func Edit(src []byte, path, value string) ([]byte, error) {
	table, key, ok := strings.Cut(path, ".")
	if !ok || key == "" {
		return nil, fmt.Errorf("%q names no key: write TABLE.KEY, such as lifecycle.restart", path)
	}
	s, _ := parseLines(src)
	if line := s[path]; line > 0 {
		return replaceValue(src, line, path, key, value)
	}
	if line := s[table]; line > 0 {
		at := lineEnd(src, line)
		if !bytes.HasPrefix(bytes.TrimLeft(src[lineStart(src, line):at], " \t"), []byte("[")) {
			return nil, fmt.Errorf("cannot add %s: its table is not written as [%s]; edit the file", path, table)
		}
		return splice(src, at, at, "\n"+key+" = "+value), nil
	}
	text := string(bytes.TrimRight(src, "\n"))
	if text != "" {
		text += "\n\n"
	}
	return []byte(text + "[" + table + "]\n" + key + " = " + value + "\n"), nil
}

// parseLines returns on which lines the keys and tables of a file stand, from 1.
func parseLines(src []byte) (map[string]int, []Problem) {
	r := parse("", src, User)
	return r.lines, r.problems
}

func lineStart(src []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		n := bytes.IndexByte(src[at:], '\n')
		if n < 0 {
			return len(src)
		}
		at += n + 1
	}
	return at
}

// lineEnd is where the line's newline is, or the end of the text.
func lineEnd(src []byte, line int) int {
	at := lineStart(src, line)
	if n := bytes.IndexByte(src[at:], '\n'); n >= 0 {
		return at + n
	}
	return len(src)
}

func splice(src []byte, from, to int, text string) []byte {
	return append(append(append([]byte{}, src[:from]...), text...), src[to:]...)
}

// replaceValue puts a value in place of the one on a line.
func replaceValue(src []byte, line int, path, key, value string) ([]byte, error) {
	at := lineStart(src, line)
	name, _, found := strings.Cut(string(src[at:lineEnd(src, line)]), "=")
	if name = strings.TrimSpace(name); !found || name != key && name != path {
		return nil, fmt.Errorf("cannot change %s: it does not stand on a line of its own; edit the file", path)
	}
	from := at + bytes.IndexByte(src[at:], '=') + 1
	for from < len(src) && (src[from] == ' ' || src[from] == '\t') {
		from++
	}
	return splice(src, from, valueEnd(src, from), value), nil
}

// valueEnd returns where the TOML value that begins at from ends: at a comment,
// the end of the line, or the end of the text, whichever is outside of strings
// and brackets.
func valueEnd(src []byte, from int) int {
	depth, end := 0, from
	for i := from; i < len(src); {
		switch c := src[i]; {
		case c == '"' || c == '\'':
			i = stringEnd(src, i)
			end = i
			continue
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == '#':
			if depth == 0 {
				return end
			}
			for i < len(src) && src[i] != '\n' {
				i++
			}
			continue
		case c == '\n' && depth <= 0:
			return end
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
			continue
		}
		i++
		end = i
	}
	return end
}

// stringEnd returns where the string that begins at i ends.
func stringEnd(src []byte, i int) int {
	quote := src[i]
	mark := []byte{quote}
	if bytes.HasPrefix(src[i:], []byte{quote, quote, quote}) {
		mark = []byte{quote, quote, quote}
	}
	for j := i + len(mark); j < len(src); j++ {
		switch {
		case src[j] == '\\' && quote == '"':
			j++
		case bytes.HasPrefix(src[j:], mark):
			return j + len(mark)
		}
	}
	return len(src)
}
