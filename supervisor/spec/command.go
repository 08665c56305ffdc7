package spec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Command is what a service runs.
type Command struct {
	Line  string   // as a person writes it; of a list, its words quoted as a shell wants them
	Argv  []string // what is executed, /bin/sh -c LINE included; empty in a Spec for a hook that is not there
	Shell bool     // Line goes to the shell
}

// Given tells whether there is a command at all.
func (c Command) Given() bool { return len(c.Argv) > 0 }

// meaning returns the command without how its author has quoted it.
func (c Command) meaning() Command {
	if !c.Shell {
		c.Line = ""
	}
	return c
}

// Explain says how the command is run, in one line.
func (c Command) Explain() string {
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = strconv.Quote(w)
	}
	how := "runs directly: "
	if c.Shell {
		how = "runs through the shell, because of " + shellSyntax(c.Line) + ": "
	}
	return how + strings.Join(words, " ")
}

// ParseCommand reads a command written as one string. One that uses the
// shell's syntax goes to /bin/sh -c; any other is split into words as a shell
// would, and run directly. What is quoted is no syntax, save $ and ` within
// double quotes, as in a shell.
func ParseCommand(line string) (Command, error) {
	line = strings.TrimSpace(line)
	if line == "" {
		return Command{}, errors.New("is empty")
	}
	if shellSyntax(line) != "" {
		return Command{Line: line, Argv: []string{"/bin/sh", "-c", line}, Shell: true}, nil
	}
	argv, err := split(line)
	if err != nil {
		return Command{}, err
	}
	if argv[0] == "" {
		return Command{}, errors.New("names no program: its first word is empty")
	}
	return Command{Line: line, Argv: argv}, nil
}

// shellRunes are syntax wherever they stand unquoted.
const shellRunes = "|&;<>()$`*?[~#!\n"

var shellWords = strings.Fields(`if then else elif fi for while until do done case esac in { } function
	. : alias bg break builtin cd command continue echo eval exec exit export false fc fg getopts hash jobs
	kill local printf pwd read readonly return set shift source test times trap true type ulimit umask
	unalias unset wait`)

// shellSyntax names the first thing in line that only a shell understands, or
// returns "".
func shellSyntax(line string) string {
	var quoted rune // the quotes we are in
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			escaped = false
		case quoted == '\'':
			if c == quoted {
				quoted = 0
			}
		case c == '\\':
			escaped = true
		case quoted == '"' && c == quoted:
			quoted = 0
		case quoted == '"' && c != '$' && c != '`':
		case c == '\'' || c == '"':
			quoted = c
		case c == '\n':
			return "its second line"
		case strings.ContainsRune(shellRunes, c):
			return string(c)
		}
	}
	return shellWord(line)
}

// shellWord looks at the first word: an assignment, a keyword or a builtin.
func shellWord(line string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	if slices.Contains(shellWords, first) {
		return strconv.Quote(first) + ", a word of the shell"
	}
	name, _, assigned := strings.Cut(first, "=")
	if assigned && isVariable(name) {
		return "the assignment to " + name
	}
	return ""
}

// isVariable tells whether a name is one that a shell can assign to.
func isVariable(name string) bool {
	for i, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// split cuts a line without shell syntax into words. Backslashes and quotes
// mean what they mean to a shell.
func split(line string) ([]string, error) {
	var words []string
	var word []byte
	in := false // within a word, perhaps an empty one
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			if in {
				words = append(words, string(word))
				word, in = word[:0], false
			}
		case '\\':
			if i++; i == len(line) {
				return nil, errors.New("ends in a backslash, which escapes nothing")
			}
			if line[i] != '\n' {
				word, in = append(word, line[i]), true
			}
		case '\'', '"':
			inner, n := unquote(line[i:])
			if n == 0 {
				return nil, fmt.Errorf("has a %c that is never closed: %s", c, quote(line[i:]))
			}
			word, in = append(word, inner...), true
			i += n - 1
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		words = append(words, string(word))
	}
	if len(words) == 0 {
		return nil, errors.New("is empty")
	}
	return words, nil
}

// unquote reads the quoted text that s begins with and returns its length with
// the quotes, 0 when it is not closed.
func unquote(s string) (inner []byte, n int) {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return inner, i + 1
		case c == '\\' && s[0] == '"' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			if i++; s[i] != '\n' {
				inner = append(inner, s[i])
			}
		default:
			inner = append(inner, c)
		}
	}
	return nil, 0
}

// command reads a string or a list.
func (r *reader) command(v value) Command {
	switch v.kind {
	case unstable.String:
		text, ok := r.text(v)
		if !ok {
			return Command{}
		}
		c, err := ParseCommand(text)
		if err != nil {
			r.fail(v.at, err.Error(), "")
		}
		return c
	case unstable.Array:
		return r.commandList(v)
	}
	r.wrong(v, "a string or a list of strings", `"/usr/bin/program --option"`)
	return Command{}
}

func (r *reader) commandList(v value) Command {
	var c Command
	for _, e := range v.list {
		if e.kind != unstable.String {
			r.fail(e.at, "expected a list of strings, found "+e.what()+" in it", "")
			return Command{}
		}
		if strings.IndexByte(e.text, 0) >= 0 {
			r.fail(e.at, "holds a NUL, which no argument can", "")
			return Command{}
		}
		c.Argv = append(c.Argv, e.text)
	}
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		r.fail(v.at, "names no program", `write `+r.leafName()+` = ["/usr/bin/program", "--option"]`)
		return Command{}
	}
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = shellQuote(w)
	}
	c.Line = strings.Join(words, " ")
	return c
}

// shellQuote writes a word so that a shell reads it back.
func shellQuote(word string) string {
	if word != "" && !strings.ContainsAny(word, shellRunes+" \t'\"\\{}") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
