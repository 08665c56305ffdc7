package client

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"zinit/supervisor"
)

func (s *session) addVerb() *command {
	return &command{
		name: "add", usage: "add services from files, until the next boot or for good", args: "FILE...",
		about: example("  zinit add ./web.toml\n  zinit add ./web.toml --persist"),
		options: []option{{"persist", "", false, "keep them in the first directory of services"},
			{"ephemeral", "", false, "until the next boot; the default"}},
		run: func(c *call) error { return s.add(c, c.is("persist")) },
	}
}

func (s *session) add(c *call, persist bool) error {
	if len(c.names) == 0 {
		return fail(exitUsage, "see: zinit add --help", "%s needs a file", c.cmd.name)
	}
	for _, file := range c.names {
		text, err := readSource(file, s.std.In)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		if err := s.define(c, map[string]any{"name": name, "source": text, "persist": persist, "replace": false}, "added"); err != nil {
			return err
		}
	}
	return nil
}

// readSource reads a service file; - is standard input.
func readSource(file string, in io.Reader) (string, error) {
	if file == "-" {
		b, err := io.ReadAll(io.LimitReader(in, 1<<20))
		return string(b), err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fail(exitFault, "", "%v", err)
	}
	return string(b), nil
}

// define calls service.set and tells what became of it.
func (s *session) define(c *call, params map[string]any, word string) error {
	var d supervisor.Defined
	done, err := s.ask(c.ctx, "service.set", params, &d)
	if err != nil || done {
		return err
	}
	where := "until the next boot"
	if d.Path != "" {
		where = "saved to " + d.Path
	}
	fmt.Fprintf(s.std.Out, "Service '%s' %s (%s)\n", line(d.Name), word, line(where))
	for _, w := range d.Warnings {
		fmt.Fprintf(s.std.Out, "Warning: %s\n", safe(w))
	}
	return nil
}

// addServiceVerb is how zinit 0.3 adds a service: from a file, or from flags.
func (s *session) addServiceVerb() *command {
	list := func(name, usage string) option { return option{name, "", []string(nil), usage} }
	return &command{
		name: "add-service", usage: "add a service from a file or from flags, as zinit 0.3 does", args: "[FILE]",
		about: example("  zinit add-service --name web --exec '/usr/bin/web --port 80' --requires db"),
		options: []option{{"name", "", "", "its name"}, {"exec", "", "", "its command"}, {"dir", "", "", "its directory"}, {"oneshot", "", false, "it runs to its end"},
			{"env", "e", []string(nil), "KEY=VALUE; may stand several times"}, list("after", "waits for its outcome"), list("requires", "needs it"),
			list("wants", "starts it too"), list("conflicts", "never beside it"), {"restart", "", "", "always, on-failure or never"},
			{"restart-delay", "", 0, "milliseconds"}, {"restart-delay-max", "", 0, "milliseconds"}, {"max-restarts", "", -1, "in a row"},
			{"persist", "", false, "keep it in a file; the default"}, {"ephemeral", "", false, "until the next boot"}},
		run: s.addService,
	}
}

func (s *session) addService(c *call) error {
	persist := !c.is("ephemeral")
	if len(c.names) > 0 {
		return s.add(c, persist)
	}
	if c.text("name") == "" || c.text("exec") == "" {
		return fail(exitUsage, "see: zinit add-service --help", "add-service needs a FILE, or --name and --exec")
	}
	config := map[string]map[string]any{"service": {}, "dependencies": {}, "lifecycle": {}}
	for _, o := range [...][3]string{{"name", "service", "name"}, {"exec", "service", "exec"}, {"dir", "service", "dir"}, {"oneshot", "service", "oneshot"},
		{"after", "dependencies", "after"}, {"requires", "dependencies", "requires"}, {"wants", "dependencies", "wants"}, {"conflicts", "dependencies", "conflicts"},
		{"restart", "lifecycle", "restart"}, {"restart-delay", "lifecycle", "restart_delay_ms"}, {"restart-delay-max", "lifecycle", "restart_delay_max_ms"},
		{"max-restarts", "lifecycle", "max_restarts"}} {
		if v := value[any](c, o[0]); c.given(o[0]) && v != any("") {
			config[o[1]][o[2]] = v
		}
	}
	env := map[string]string{}
	for _, v := range c.list("env") {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return fail(exitUsage, "write --env KEY=VALUE", "cannot use --env %s", v)
		}
		env[key] = value
	}
	if len(env) > 0 {
		config["service"]["env"] = env
	}
	for table, keys := range config {
		if len(keys) == 0 {
			delete(config, table)
		}
	}
	return s.define(c, map[string]any{"config": config, "persist": persist}, "added")
}

func (s *session) setVerb() *command {
	return &command{
		name: "set", usage: "change keys of a service, and restart it if that changes what runs; or take over a whole file", args: "NAME KEY=VALUE... | FILE",
		about: example("  zinit set web service.env='{ PORT = \"8081\" }' lifecycle.restart=always\n  zinit set ./web.toml") +
			"\n\nVALUE is TOML; text without quotes is taken as a string. Only these keys change in its file.",
		options: []option{{"runtime", "", false, "until the next boot, not in the file"}, {"persist", "", false, "in the file; the default"},
			{"no-restart", "", false, "what runs goes on until its next start"}},
		run: s.set,
	}
}

func (s *session) set(c *call) error {
	params := map[string]any{"persist": !c.is("runtime"), "restart": !c.is("no-restart")}
	switch {
	case len(c.names) == 1:
		text, err := readSource(c.names[0], s.std.In)
		if err != nil {
			return err
		}
		params["source"], params["name"] = text, strings.TrimSuffix(filepath.Base(c.names[0]), ".toml")
	case len(c.names) > 1:
		keys := map[string]json.RawMessage{}
		for _, pair := range c.names[1:] {
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				return fail(exitUsage, "write TABLE.KEY=VALUE, such as lifecycle.restart=always", "cannot use %q", pair)
			}
			raw, err := jsonOf(value)
			if err != nil {
				return fail(exitUsage, "write it as JSON or as plain text", "cannot use the value of %s: %v", key, err)
			}
			keys[key] = raw
		}
		params["name"], params["keys"] = c.names[0], keys
	default:
		return fail(exitUsage, "see: zinit set --help", "set needs a name and keys, or a file")
	}
	return s.suggest(c.ctx, s.define(c, params, "set"), c.names[0])
}

// jsonOf reads a value as it is typed: a number, true, false, a list or a table
// as JSON, or as TOML writes them, else a string.
func jsonOf(value string) (json.RawMessage, error) {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value), nil
	}
	if value != "" && (value[0] == '[' || value[0] == '{') {
		return nil, fmt.Errorf("%s is no JSON", value)
	}
	return json.RawMessage(strconv.Quote(value)), nil
}

func (s *session) getVerb() *command {
	return &command{
		name: "get", usage: "show the accepted definition of a service, defaults filled in, or one key of it", args: "NAME [TABLE.KEY]",
		about:   example("  zinit get web\n  zinit get web lifecycle.stop_timeout_ms\n  zinit get web --source"),
		options: []option{{"source", "", false, "the text of its file as it was accepted"}},
		run:     s.get,
	}
}

func (s *session) get(c *call) error {
	if len(c.names) == 0 || len(c.names) > 2 {
		return fail(exitUsage, "see: zinit get --help", "get needs the name of one service")
	}
	name := map[string]string{"name": c.names[0]}
	if c.is("source") {
		var src supervisor.Source
		done, err := s.ask(c.ctx, "service.get_spec", name, &src)
		if err == nil && !done {
			fmt.Fprint(s.std.Out, safe(src.Source))
		}
		return s.suggest(c.ctx, err, c.names[0])
	}
	var d map[string]any
	if err := s.call(c.ctx, "service.get", name, &d); err != nil {
		return s.suggest(c.ctx, err, c.names[0])
	}
	var v any = d
	if len(c.names) == 2 {
		for _, part := range strings.Split(c.names[1], ".") {
			table, _ := v.(map[string]any)
			var ok bool
			if v, ok = table[part]; !ok {
				return fail(exitRefused, "zinit get "+c.names[0]+" shows all keys", "no key %q", c.names[1])
			}
		}
	}
	if text, ok := v.(string); ok && !s.json {
		fmt.Fprintln(s.std.Out, safe(text))
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		fmt.Fprintf(s.std.Out, "%s\n", b)
	}
	return err
}

func (s *session) removeVerb() *command {
	return &command{
		name: "remove", alias: "remove-service", usage: "stop and forget services, each with the file it came from", args: "NAME...",
		about: example("  zinit remove web\n  zinit remove db --cascade"),
		options: []option{waitFlag, timeFlag, {"cascade", "", false, "and those that require them"},
			{"force", "", false, "although others require them"}},
		run: func(c *call) error { return s.change(c, "service.delete", "Removed") },
	}
}

// enableVerb is enable or disable.
func (s *session) enableVerb(name, usage string) *command {
	return &command{
		name: name, usage: usage, args: "NAME...", about: example("  zinit " + name + " web"),
		options: []option{allFlag, {"runtime", "", false, "until the next boot, not in the file"}, {"persist", "", false, "in the file; the default"}},
		run: func(c *call) error {
			names, err := s.names(c.ctx, c)
			if err != nil {
				return err
			}
			done, err := s.ask(c.ctx, "service."+name, map[string]any{"names": names, "persist": !c.is("runtime")}, nil)
			if err != nil || done {
				return s.suggest(c.ctx, err, names...)
			}
			for _, n := range names {
				fmt.Fprintf(s.std.Out, "%sd: %s\n", strings.ToUpper(name[:1])+name[1:], line(n))
			}
			return nil
		},
	}
}

func (s *session) editVerb() *command {
	return &command{
		name: "edit", usage: "open the file of a service in $VISUAL, $EDITOR or vi, judge it, and reload", args: "NAME",
		about: example("  zinit edit web"),
		run: func(c *call) error {
			name, err := c.one()
			if err != nil {
				return err
			}
			var src supervisor.Source
			if err := s.call(c.ctx, "service.get_spec", map[string]string{"name": name}, &src); err != nil {
				return s.suggest(c.ctx, err, name)
			}
			if src.File == "" {
				return fail(exitRefused, "zinit set "+name+" KEY=VALUE changes it", "%s is in no file", name)
			}
			if err := runEditor(src.File); err != nil {
				return err
			}
			var r supervisor.Reload
			if err := s.call(c.ctx, "system.reload", nil, &r); err != nil {
				return err
			}
			fmt.Fprintf(s.std.Out, "reloaded: %d changed\n", len(r.Changed))
			return nil
		},
	}
}

// runEditor runs the user's editor on a file and waits for its end.
func runEditor(file string) error {
	command := "vi"
	for _, key := range []string{"EDITOR", "VISUAL"} {
		if v := os.Getenv(key); v != "" {
			command = v
		}
	}
	argv := []string{"/bin/sh", "-c", command + ` "$1"`, "sh", file}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fail(exitFault, "set EDITOR", "cannot run the editor %q: %v", command, err)
	}
	st, err := p.Wait()
	if err != nil || !st.Success() {
		return fail(exitFault, "nothing was reloaded", "the editor %q failed: %v", command, st)
	}
	return nil
}
