package client

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"time"
)

// command is one verb: how it is typed, what help says of it, and what it does.
type command struct {
	name, alias string // alias may be ""
	usage       string // one line
	args        string // what follows the flags, as help shows it
	about       string // an example, and what else there is to say
	options     []option
	raw         bool // reads its own command line: flags reach run as names
	run         func(*call) error
}

// option is a flag of a command. The type of its value is that of def.
type option struct {
	name, short string // short may be ""
	def         any    // bool, int, string, []string or time.Duration
	usage       string
}

// call is one command line of a command.
type call struct {
	ctx   context.Context
	cmd   *command
	flags *flag.FlagSet
	names []string // what stood there besides flags
}

func (c *call) is(name string) bool            { return value[bool](c, name) }
func (c *call) number(name string) int         { return value[int](c, name) }
func (c *call) text(name string) string        { return value[string](c, name) }
func (c *call) time(name string) time.Duration { return value[time.Duration](c, name) }

func (c *call) list(name string) []string { return value[[]string](c, name) }

// value returns an option's value; zero when the command has no such option.
func value[T any](c *call, name string) (v T) {
	if f := c.flags.Lookup(name); f != nil {
		v, _ = f.Value.(flag.Getter).Get().(T)
	}
	return v
}

// given reports whether an option stood on the command line.
func (c *call) given(name string) bool {
	found := false
	c.flags.Visit(func(f *flag.Flag) {
		found = found || f.Name == name || f.Name == c.cmd.option(name).short
	})
	return found
}

// one is the single name that a command line must have.
func (c *call) one() (string, error) {
	if len(c.names) != 1 {
		return "", fail(exitUsage, "see: zinit "+c.cmd.name+" --help", "%s needs the name of one service", c.cmd.name)
	}
	return c.names[0], nil
}

// none refuses arguments that a command does not take.
func (c *call) none() error {
	if len(c.names) > 0 {
		return fail(exitUsage, "see: zinit "+c.cmd.name+" --help", "%s takes no argument, got %q", c.cmd.name, c.names[0])
	}
	return nil
}

func (cmd *command) names() []string {
	if cmd.alias == "" {
		return []string{cmd.name}
	}
	return []string{cmd.name, cmd.alias}
}

// option finds an option by either name; nil when there is none.
func (cmd *command) option(name string) *option {
	for i, o := range cmd.options {
		if o.name == name || o.short == name && name != "" {
			return &cmd.options[i]
		}
	}
	return nil
}

// parse reads a command line: flags and names in any order, short flags also
// in one word (-fn 20, -n20), names alone after --.
func (cmd *command) parse(ctx context.Context, args []string) (*call, error) {
	c := &call{ctx: ctx, cmd: cmd, flags: flag.NewFlagSet(cmd.name, flag.ContinueOnError)}
	c.flags.SetOutput(io.Discard)
	for _, o := range cmd.options {
		o.define(c.flags)
	}
	if cmd.raw {
		c.names = args
		return c, nil
	}
	for len(args) > 0 {
		a := args[0]
		switch {
		case a == "--":
			c.names = append(c.names, args[1:]...)
			return c, nil
		case len(a) < 2 || a[0] != '-':
			c.names = append(c.names, a)
			args = args[1:]
			continue
		}
		if parts := cmd.split(a); parts != nil {
			args = append(parts, args[1:]...)
		}
		if err := cmd.known(args[0]); err != nil {
			return nil, err
		}
		if err := c.flags.Parse(args); err != nil {
			return nil, cmd.misuse(err)
		}
		rest := c.flags.Args()
		if used := len(args) - len(rest); args[used-1] == "--" {
			c.names = append(c.names, rest...)
			return c, nil
		}
		args = rest
	}
	return c, nil
}

// split takes short flags in one word apart; nil when a is something else.
func (cmd *command) split(a string) []string {
	if len(a) < 3 || a[1] == '-' || cmd.option(strings.SplitN(a[1:], "=", 2)[0]) != nil {
		return nil
	}
	o := cmd.option(a[1:2])
	switch {
	case o == nil:
		return nil
	case o.def != false:
		return []string{a[:2], a[2:]}
	}
	rest := "-" + a[2:]
	if parts := cmd.split(rest); parts != nil {
		return append([]string{a[:2]}, parts...)
	}
	return []string{a[:2], rest}
}

// known refuses a flag that the command does not have, with the nearest.
func (cmd *command) known(a string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
	if cmd.option(name) != nil {
		return nil
	}
	names := []string{"--json", "--no-color", "--socket", "--help"}
	for _, o := range cmd.options {
		names = append(names, "--"+o.name)
	}
	hint := "see: zinit " + cmd.name + " --help"
	if near := nearest("--"+name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fail(exitUsage, hint, "%s: unknown flag %s", cmd.name, a)
}

// misuse says in other words what package flag found wrong with a value.
func (cmd *command) misuse(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		err = errors.New("-h stands alone")
	}
	text := err.Error()
	if value, rest, ok := strings.Cut(strings.TrimPrefix(text, "invalid value "), " for flag "); ok {
		name, _, _ := strings.Cut(rest, ":")
		if o := cmd.option(strings.TrimLeft(name, "-")); o != nil {
			kind := "a number"
			if _, ok := o.def.(time.Duration); ok {
				kind = "a time, e.g. 30s"
			}
			if len(name) > 2 { // package flag knows no other dash
				name = "-" + name
			}
			text = name + " wants " + kind + ", got " + value
		}
	}
	return fail(exitUsage, "see: zinit "+cmd.name+" --help", "%s: %s", cmd.name, text)
}

// define adds the option under both of its names.
func (o option) define(fs *flag.FlagSet) {
	for _, name := range []string{o.name, o.short} {
		if name == "" {
			continue
		}
		if f := fs.Lookup(o.name); f != nil {
			fs.Var(f.Value, name, "")
			continue
		}
		switch def := o.def.(type) {
		case bool:
			fs.Bool(name, def, "")
		case int:
			fs.Int(name, def, "")
		case string:
			fs.String(name, def, "")
		case time.Duration:
			fs.Duration(name, def, "")
		case []string:
			fs.Var(new(texts), name, "")
		}
	}
}

// texts is a flag that may stand several times.
type texts []string

func (t *texts) String() string         { return strings.Join(*t, ", ") }
func (t *texts) Set(value string) error { *t = append(*t, value); return nil }

// Get returns the texts, in their order.
func (t *texts) Get() any { return []string(*t) }

// find returns the command of a name, or nil.
func find(list []*command, name string) *command {
	i := slices.IndexFunc(list, func(c *command) bool { return slices.Contains(c.names(), name) })
	if i < 0 {
		return nil
	}
	return list[i]
}
