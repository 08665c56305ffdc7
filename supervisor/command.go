package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"zinit/supervisor/spec"
)

// MainName is the name of the service that runs the command of a command line.
const MainName = "main"

// Command is a main service that no file defines: `zinit init -- CMD ARGS…`.
type Command struct {
	Argv []string
	Dir  string // where zinit was started
	TTY  bool   // zinit's own terminal is its
}

// loadFirst reads the service files, and puts the command beside them as what
// was defined at run time is: it outlives servers and reloads.
func (s *Supervisor) loadFirst() (*Config, error) {
	if s.opt.Main == nil {
		return LoadConfig(s.opt.Roots, s.opt.Trust), nil
	}
	sp, err := s.opt.Main.spec()
	if err != nil {
		return nil, err
	}
	c := load(s.opt.Roots, s.opt.Trust, []*spec.Spec{sp}, nil)
	if !c.Runtime[MainName] {
		file := c.loaded.Broken[MainName]
		if other := c.Specs[MainName]; other != nil {
			file = other.File
		}
		return nil, fmt.Errorf("cannot run %q as the service %q: %s has that name; rename it", s.opt.Main.Argv[0], MainName, file)
	}
	return c, nil
}

// spec is the definition of the command, as a file would give it.
func (c *Command) spec() (*spec.Spec, error) {
	var words []string
	for _, w := range c.Argv {
		if !utf8.ValidString(w) {
			return nil, fmt.Errorf("cannot run %q: its argument %q is not UTF-8", c.Argv[0], w)
		}
		words = append(words, tomlString(w))
	}
	text := fmt.Sprintf("[service]\nexec = [%s]\ndir = %s\nmain = true\ndescription = \"the command given to zinit\"\n[lifecycle]\nrestart = \"never\"\n",
		strings.Join(words, ", "), tomlString(c.Dir))
	sp, problems := spec.Parse(runtimeFile(MainName), []byte(text), spec.User)
	if sp == nil {
		return nil, fmt.Errorf("cannot run %q: %w", c.Argv[0], problems[0])
	}
	return sp, nil
}

// nothingThere reports a problem that is none beside a command: a directory of
// service files that is empty or missing.
func (s *Supervisor) nothingThere(p spec.Problem) bool {
	if !slices.ContainsFunc(s.opt.Roots, func(r spec.Root) bool { return r.Dir == p.File }) {
		return false
	}
	_, err := os.Stat(p.File)
	return p.Warning || os.IsNotExist(err)
}

// tomlString quotes text as TOML does.
func tomlString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
