package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Method is one row of the table that dispatches, and of rpc.discover.
type Method struct {
	Name    string
	Doc     string  // one sentence
	Params  []Param // in the order of positional parameters
	Access  Access
	Handler func(*Call) (any, error) // a Later as result waits without holding up the connection
}

// Param is one parameter of a method.
type Param struct {
	Name     string
	Type     string // string, integer, boolean, array, object; any is not checked
	Doc      string
	Required bool
}

// Later is the part of a call that waits. It runs beside the connection's other
// calls, with a context that ends when the peer goes.
type Later func(ctx context.Context) (any, error)

// Call is one call as a handler sees it.
type Call struct {
	Method *Method
	Peer   Peer
	params map[string]json.RawMessage
	conn   *conn
}

// Bind decodes the parameters into a struct whose json tags are their names. It
// fails with CodeInvalidParams, saying which parameter is wrong and how.
func (c *Call) Bind(into any) error {
	b, err := json.Marshal(c.params)
	if err != nil {
		return Errorf(CodeInvalidParams, "cannot read the parameters: %v", err)
	}
	err = json.Unmarshal(b, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return Errorf(CodeInvalidParams, "cannot use parameter %s: want %s, got %s", quote(wrong.Field), wrong.Type, wrong.Value)
	}
	if err != nil {
		return Errorf(CodeInvalidParams, "cannot read the parameters: %v", err)
	}
	return nil
}

// Has reports whether a parameter was given.
func (c *Call) Has(name string) bool { return c.params[name] != nil }

// Raw returns a parameter as it was sent; nil when it was not given.
func (c *Call) Raw(name string) json.RawMessage { return c.params[name] }

// Notify sends a notification on the connection of the call. It fails when the
// peer is gone or does not read.
func (c *Call) Notify(method string, params any) error {
	line, err := encode(notification{"2.0", method, params})
	if err != nil {
		return fmt.Errorf("cannot encode the notification %s: %w", method, err)
	}
	return c.conn.write(line)
}

type notification struct {
	Version string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params,omitempty"`
}

// bindNames gives every parameter its name, and refuses those that the method
// does not have.
func (m *Method) bindNames(raw json.RawMessage) (map[string]json.RawMessage, *Error) {
	params := map[string]json.RawMessage{}
	switch {
	case raw == nil:
	case raw[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, Errorf(CodeInvalidParams, "cannot read the parameters: %v", err)
		}
		if len(list) > len(m.Params) {
			return nil, Errorf(CodeInvalidParams, "cannot use %d parameters: %s takes at most %d", len(list), m.Name, len(m.Params))
		}
		for i, v := range list {
			params[m.Params[i].Name] = v
		}
	default:
		var err error
		if params, err = splitObject(raw); err != nil {
			return nil, Errorf(CodeInvalidParams, "cannot read the parameters: %v", err)
		}
	}
	for name, v := range params {
		if !slices.ContainsFunc(m.Params, func(p Param) bool { return p.Name == name }) {
			return nil, Errorf(CodeInvalidParams, "unknown parameter %s; %s takes: %s", quote(name), m.Name, m.paramNames())
		}
		if err := unique(v); err != nil {
			return nil, Errorf(CodeInvalidParams, "cannot read the parameters: %v", err)
		}
		if string(v) == "null" {
			delete(params, name)
		}
	}
	return params, m.check(params)
}

// check refuses what is missing or of the wrong type.
func (m *Method) check(params map[string]json.RawMessage) *Error {
	for _, p := range m.Params {
		v, given := params[p.Name]
		switch {
		case !given && p.Required:
			return Errorf(CodeInvalidParams, "missing '%s' parameter", p.Name)
		case given && p.Type != "any" && typeOf(v) != p.Type:
			return Errorf(CodeInvalidParams, "cannot use parameter '%s': want %s, got %s", p.Name, p.Type, typeOf(v))
		}
	}
	return nil
}

// typeOf names the JSON type of a value.
func typeOf(v json.RawMessage) string {
	switch v[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	if bytes.ContainsAny(v, ".eE") {
		return "number"
	}
	return "integer"
}

func (m *Method) paramNames() string {
	if len(m.Params) == 0 {
		return "none"
	}
	var names []string
	for _, p := range m.Params {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// errorOf turns what a handler returned into an Error.
func errorOf(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: fmt.Sprintf("internal error: %v", err)}
}
