package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Request is one call or notification, as it was sent.
type Request struct {
	ID     json.RawMessage // as sent; nil for a notification
	Method string
	Params json.RawMessage // object, array, or nil
}

// Response answers one call.
type Response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// null stands for an id that cannot be read, and for a result that is nothing.
var null = json.RawMessage("null")

// item is one request of a line, and what is wrong with it.
type item struct {
	Request
	bad *Error // nil: it is a request
}

// answer is the line that answers it; empty for a notification. An answer that
// cannot be encoded becomes an error.
func (it item) answer(result any, err error) []byte {
	r := Response{Version: "2.0", ID: it.ID, Result: result}
	switch {
	case it.ID == nil && it.bad == nil:
		return nil
	case it.ID == nil:
		r.ID = null
	}
	switch {
	case err != nil:
		r.Result, r.Error = nil, errorOf(err)
	case result == nil:
		r.Result = null
	}
	line, err := encode(r)
	if err != nil {
		return it.answer(nil, Errorf(CodeInternal, "cannot encode the answer: %v", err))
	}
	return line
}

// encode renders v as one line with its LF. It escapes no more than JSON asks
// for, so that what is echoed comes back as it was.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// parseLine splits a line into requests; batch says that it was an array. An
// error concerns the whole line.
func parseLine(line []byte) (items []item, batch bool, fatal *Error) {
	switch {
	case !utf8.Valid(line):
		return nil, false, Errorf(CodeParse, "cannot parse the request: it is not UTF-8")
	case !pairedEscapes(line):
		return nil, false, Errorf(CodeParse, "cannot parse the request: half of a surrogate pair stands alone")
	case depth(line) > MaxDepth:
		return nil, false, Errorf(CodeInvalidRequest, "cannot read the request: brackets nest deeper than %d", MaxDepth)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(line, &whole); err != nil {
		return nil, false, Errorf(CodeParse, "cannot parse the request: %v; one JSON value a line is expected", err)
	}
	whole = bytes.TrimSpace(whole)
	if whole[0] != '[' {
		return []item{parseRequest(whole)}, false, nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(whole, &raw); err != nil {
		return nil, false, Errorf(CodeParse, "cannot parse the batch: %v", err)
	}
	switch {
	case len(raw) == 0:
		return nil, false, Errorf(CodeInvalidRequest, "cannot answer an empty batch")
	case len(raw) > MaxBatch:
		return nil, false, Errorf(CodeTooMuch, "cannot take a batch of %d calls: the most is %d; nothing was executed", len(raw), MaxBatch)
	}
	for _, r := range raw {
		items = append(items, parseRequest(r))
	}
	return items, true, nil
}

// depth counts how deep brackets nest, strings left aside. It does not recurse.
func depth(line []byte) int {
	most, now, inString, escaped := 0, 0, false, false
	for _, c := range line {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			now++
			most = max(most, now)
		case c == ']' || c == '}':
			now--
		}
	}
	return most
}

// parseRequest reads one request object.
func parseRequest(raw json.RawMessage) (it item) {
	refuse := func(format string, args ...any) item {
		it.bad = Errorf(CodeInvalidRequest, format, args...)
		return it
	}
	members, err := splitObject(raw)
	if err != nil {
		return refuse("cannot read the request: %v", err)
	}
	if id, ok := members["id"]; ok {
		if id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f' {
			return refuse("cannot use the id: it must be a string, a number or null")
		}
		it.ID = id
	}
	if string(members["jsonrpc"]) != `"2.0"` {
		return refuse(`cannot read the request: "jsonrpc" must be "2.0"`)
	}
	if m := members["method"]; len(m) == 0 || m[0] != '"' || json.Unmarshal(m, &it.Method) != nil {
		return refuse(`cannot read the request: "method" must be a string`)
	}
	if p := members["params"]; string(p) != "null" {
		it.Params = p
	}
	if p := it.Params; p != nil && p[0] != '{' && p[0] != '[' {
		return refuse(`cannot read the request: "params" must be an object or an array`)
	}
	return it
}

// splitObject returns the members of a JSON object; a key that comes twice is
// an error, because readers differ on which one counts.
func splitObject(raw json.RawMessage) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if _, twice := members[key]; twice {
			return nil, errors.New("the key " + quote(key) + " comes twice")
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		members[key] = v
	}
	return members, nil
}

// unique fails when a key comes twice anywhere in a JSON value. It reads it once,
// however deep it is.
func unique(raw json.RawMessage) error {
	if raw[0] != '{' && raw[0] != '[' {
		return nil
	}
	type open struct { // an object or array that has begun
		keys map[string]bool // nil: an array
		key  bool            // a key comes next
	}
	var stack []open
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		in := len(stack) - 1
		if in >= 0 && stack[in].key && t != json.Delim('}') {
			key, _ := t.(string)
			if stack[in].keys[key] {
				return errors.New("the key " + quote(key) + " comes twice")
			}
			stack[in].keys[key], stack[in].key = true, false
			continue
		}
		if in >= 0 {
			stack[in].key = stack[in].keys != nil
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, open{keys: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, open{})
		case json.Delim('}'), json.Delim(']'):
			if stack = stack[:in]; in == 0 {
				return nil
			}
		}
	}
}

// quoted is how many bytes of a peer's text a message shows.
const quoted = 64

// quote renders text from a peer for a message: as JSON, and not too long.
func quote(text string) string {
	if len(text) > quoted {
		n := quoted
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n] + "…"
	}
	b, err := encode(text)
	if err != nil {
		return "?"
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}
