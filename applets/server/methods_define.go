package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"zinit/rpc"
	"zinit/supervisor"
)

// definitions are the methods that change what services are.
func (m methods) definitions() []rpc.Method {
	persist := rpc.Param{Name: "persist", Type: "boolean", Doc: "write it into a file, default true; else it lasts until the next boot"}
	remove := []rpc.Param{optional(nameParam), namesParam, {Name: "cascade", Type: "boolean", Doc: "and those that require it"},
		{Name: "force", Type: "boolean", Doc: "alone, although others require it"}, waitParam, timeParam}
	var tables []rpc.Param
	for _, name := range definitionTables {
		tables = append(tables, rpc.Param{Name: name, Type: "any", Doc: "a table of config, given without it"})
	}
	return []rpc.Method{
		{Name: "service.set", Doc: "Takes over a definition: judged, written, in force; what runs and has changed is restarted.", Access: rpc.Write, Handler: m.set,
			Params: append([]rpc.Param{{Name: "config", Type: "object", Doc: "tables of keys, as in a service file"}, {Name: "source", Type: "string", Doc: "the text of a service file, in place of config"},
				optional(nameParam), {Name: "keys", Type: "object", Doc: "table.key to value: only these are changed"}, persist,
				{Name: "restart", Type: "boolean", Doc: "restart what runs and has changed; default true"}, {Name: "replace", Type: "boolean", Doc: "false: refuse a name that is taken"}}, tables...)},
		{Name: "service.delete", Doc: "Stops services and forgets them, with their files.", Access: rpc.Write, Params: remove, Handler: m.remove},
		{Name: "service.remove", Doc: "The same as service.delete.", Access: rpc.Write, Params: remove, Handler: m.remove},
		{Name: "service.enable", Doc: "Has services start at boot.", Access: rpc.Write, Params: []rpc.Param{optional(nameParam), namesParam, persist}, Handler: m.enable(true)},
		{Name: "service.disable", Doc: "Has services not start at boot.", Access: rpc.Write, Params: []rpc.Param{optional(nameParam), namesParam, persist}, Handler: m.enable(false)},
		{Name: "service.get_spec", Doc: "The text of a service's accepted definition, and its file.", Access: rpc.Read, Params: []rpc.Param{nameParam}, Handler: m.getSpec},
	}
}

// definitionTables are those of a service file.
var definitionTables = []string{"service", "target", "limits", "resources", "dependencies", "lifecycle", "health", "logging"}

// setRequest is what service.set is asked.
type setRequest struct {
	Name    string                     `json:"name"`
	Source  string                     `json:"source"`
	Config  json.RawMessage            `json:"config"`
	Keys    map[string]json.RawMessage `json:"keys"`
	Persist *bool                      `json:"persist"`
	Restart *bool                      `json:"restart"`
	Replace *bool                      `json:"replace"`
}

func (m methods) set(c *rpc.Call) (any, error) {
	var r setRequest
	if err := c.Bind(&r); err != nil {
		return nil, err
	}
	if len(r.Config) == 0 && r.Source == "" && len(r.Keys) == 0 { // 0.3: the definition is the parameters
		tables := map[string]json.RawMessage{}
		for _, name := range definitionTables {
			if c.Has(name) {
				tables[name] = c.Raw(name)
			}
		}
		if len(tables) == 0 {
			return nil, rpc.Errorf(rpc.CodeInvalidParams, "missing 'config' parameter")
		}
		r.Config, _ = json.Marshal(tables)
	}
	yes := func(p *bool) bool { return p == nil || *p }
	o := supervisor.DefineOptions{Persist: yes(r.Persist), NoRestart: !yes(r.Restart)}
	if len(r.Keys) > 0 {
		keys := map[string]string{}
		for key, raw := range r.Keys {
			text, err := tomlValue(raw)
			if err != nil {
				return nil, rpc.Errorf(rpc.CodeInvalidParams, "cannot use key %q: %v", key, err)
			}
			keys[key] = text
		}
		return answer(m.s.SetKeys(r.Name, keys, operator(c), o))
	}
	source := []byte(r.Source)
	if len(r.Config) > 0 {
		name, text, err := tomlOf(r.Config)
		if err != nil {
			return nil, rpc.Errorf(rpc.CodeInvalidParams, "cannot use 'config': %v", err)
		}
		source = text
		if name != "" {
			r.Name = name
		}
	}
	if !yes(r.Replace) && m.s.Defines(r.Name) {
		return nil, &rpc.Error{Code: rpc.CodeExists, Message: fmt.Sprintf("there is a service %q already", r.Name), Data: &rpc.Data{Service: r.Name, Hint: "zinit set changes it"}}
	}
	return answer(m.s.Define(r.Name, source, operator(c), o))
}

// answer is a result, or an error that travels.
func answer[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, codeOf(err)
	}
	return v, nil
}

// tomlOf renders a definition given as JSON as the text of a service file, with
// only the keys that it gives, and returns its name. null is a key not given.
func tomlOf(config json.RawMessage) (name string, text []byte, err error) {
	var tables map[string]json.RawMessage
	if err := json.Unmarshal(config, &tables); err != nil {
		return "", nil, err
	}
	var b strings.Builder
	for _, table := range sortedKeys(tables) {
		if string(tables[table]) == "null" {
			continue
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(tables[table], &keys); err != nil {
			return "", nil, fmt.Errorf("%q is no table: a definition has tables such as service and lifecycle", table)
		}
		fmt.Fprintf(&b, "[%s]\n", table)
		for _, key := range sortedKeys(keys) {
			if string(keys[key]) == "null" {
				continue
			}
			value, err := tomlValue(keys[key])
			if err != nil {
				return "", nil, fmt.Errorf("%s.%s: %w", table, key, err)
			}
			fmt.Fprintf(&b, "%s = %s\n", tomlKey(key), value)
			if key == "name" && (table == "service" || table == "target") {
				json.Unmarshal(keys[key], &name)
			}
		}
		b.WriteString("\n")
	}
	return name, []byte(b.String()), nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func tomlKey(key string) string {
	if key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
		return key
	}
	return tomlString(key)
}

// tomlString quotes as TOML does: JSON's escapes are TOML's, but for \/.
func tomlString(s string) string {
	b, _ := json.Marshal(s)
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}

// tomlValue renders a JSON value as TOML.
func tomlValue(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	return tomlAny(v)
}

func tomlAny(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return tomlString(v), nil
	case bool, json.Number:
		return fmt.Sprint(v), nil
	case []any:
		var parts []string
		for _, e := range v {
			text, err := tomlAny(e)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		var parts []string
		for _, key := range sortedKeys(v) {
			text, err := tomlAny(v[key])
			if err != nil {
				return "", err
			}
			parts = append(parts, tomlKey(key)+" = "+text)
		}
		return "{ " + strings.Join(parts, ", ") + " }", nil
	}
	return "", fmt.Errorf("%v has no place in a service file", v)
}

func (m methods) remove(c *rpc.Call) (any, error) {
	var p struct {
		request
		Cascade bool `json:"cascade"`
		Force   bool `json:"force"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	names, err := p.request.all()
	if err != nil {
		return nil, err
	}
	also, err := m.s.Remove(names, operator(c), supervisor.RemoveOptions{Cascade: p.Cascade, Force: p.Force})
	if err != nil {
		return nil, codeOf(err)
	}
	p.Names = append(names, also...)
	return p.await(nil, removed{true, also}, m.s.AwaitStop)
}

// removed is the answer to service.delete at once.
type removed struct {
	OK   bool     `json:"ok"`
	Also []string `json:"also,omitempty"`
}

func (m methods) enable(on bool) func(*rpc.Call) (any, error) {
	return func(c *rpc.Call) (any, error) {
		var p struct {
			request
			Persist *bool `json:"persist"`
		}
		if err := c.Bind(&p); err != nil {
			return nil, err
		}
		names, err := p.request.all()
		if err != nil {
			return nil, err
		}
		out := []supervisor.Defined{}
		for _, name := range names {
			d, err := m.s.SetStatus(name, on, operator(c), p.Persist == nil || *p.Persist)
			if err != nil {
				return nil, codeOf(err)
			}
			out = append(out, d)
		}
		return out, nil
	}
}

func (m methods) getSpec(c *rpc.Call) (any, error) {
	name, err := oneName(c)
	if err != nil {
		return nil, err
	}
	return answer(m.s.Source(name))
}
