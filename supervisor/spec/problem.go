package spec

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing wrong with a file or a directory.
type Problem struct {
	File    string // a directory for what concerns all of it
	Line    int    // from 1; 0: the whole file
	Col     int    // from 1, in characters; 0: the whole line
	Key     string // "table.key"; may be empty
	Msg     string // what is wrong, and what is allowed
	Hint    string // what to do; may be empty
	Warning bool   // the file is used all the same
}

// Error returns "FILE:LINE:COL: key: msg" and, on a line of its own, the hint.
// It holds no control characters but that newline.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Col > 0 {
			fmt.Fprintf(&b, ":%d", p.Col)
		}
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(printable(p.Key) + ": ")
	}
	b.WriteString(p.Msg)
	if p.Hint != "" {
		b.WriteString("\n  " + p.Hint)
	}
	return b.String()
}

// Failed tells whether an error, rather than only warnings, is among problems.
func Failed(problems []Problem) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// printable returns text as it is, or quoted when a terminal could take offence.
func printable(text string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, odd) < 0 {
		return text
	}
	return strconv.Quote(text)
}

// quote quotes text of any length for a message.
func quote(text string) string {
	const most = 60
	if len(text) <= most {
		return strconv.Quote(text)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "…"
}

// CheckName returns what is wrong with the name of a service, or nil. Every way
// by which names come in uses it.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty")
	case name == Reserved:
		return fmt.Errorf("%q is a reserved name: zinit's own logs go by it", name)
	case len(name) > 128:
		return fmt.Errorf("%s is %d characters long, at most 128 are allowed", quote(name), len(name))
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("%s begins with %q; a name begins with a letter, a digit, _, @ or a colon", quote(name), name[:1])
	}
	for _, r := range name {
		if !nameRune(r) {
			return fmt.Errorf("%s holds %q; letters, digits and _ . @ : - are allowed", quote(name), r)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.@:-", r)
}

// stem is the name that a file gives its service.
func stem(file string) string {
	return strings.TrimSuffix(filepath.Base(file), ".toml")
}
