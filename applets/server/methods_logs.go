package server

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"zinit/rpc"
	"zinit/supervisor"
	"zinit/supervisor/logs"
)

func (m methods) output() []rpc.Method {
	lines := rpc.Param{Name: "lines", Type: "integer", Doc: "at most so many, the newest; default 100"}
	names := rpc.Param{Name: "names", Type: "array", Doc: "several services"}
	stream := rpc.Param{Name: "stream", Type: "string", Doc: "stdout or stderr; both when absent"}
	since := rpc.Param{Name: "since", Type: "integer", Doc: "Unix milliseconds; not older than this"}
	// by position in the order of zinit 0.3, then what is new
	grep := rpc.Param{Name: "grep", Type: "string", Doc: "only lines that match this regular expression (RE2)"}
	filters := []rpc.Param{maybeName, lines, stream, since, names, grep}
	return []rpc.Method{
		{Name: "logs.get", Doc: "The last lines as text: milliseconds, stream, line.", Access: rpc.Read, Params: []rpc.Param{maybeName, lines}, Handler: m.logsGet},
		{Name: "logs.tail", Doc: "The last lines as objects.", Access: rpc.Read, Params: filters, Handler: m.logsTail},
		{Name: "logs.filter", Doc: "Lines by service, stream and time; as text when only service is given.", Access: rpc.Read, Handler: m.logsFilter,
			Params: []rpc.Param{maybeName, stream, since, lines, names, grep, {Name: "service", Type: "string", Doc: "the older name of name"}}},
		{Name: "logs.follow", Doc: "The last lines and then every new one, as notifications \"log\".", Access: rpc.Read, Handler: m.logsFollow,
			Params: append(slices.Clone(filters), rpc.Param{Name: "cursors", Type: "object", Doc: "service to seq: go on after it"})},
	}
}

// filter is what the methods of this file are asked.
type filter struct {
	Name    string            `json:"name"`
	Names   []string          `json:"names"`
	Service string            `json:"service"`
	Stream  string            `json:"stream"`
	Since   int64             `json:"since"`
	Lines   *int              `json:"lines"`
	Grep    string            `json:"grep"`
	Cursors map[string]uint64 `json:"cursors"`
}

// query turns a filter into what the logs are asked. A name that is neither a
// service's nor zinit's own is an error.
func (m methods) query(c *rpc.Call) (f filter, q logs.Query, err error) {
	if err := c.Bind(&f); err != nil {
		return f, q, err
	}
	for _, n := range []string{f.Name, f.Service} {
		if n != "" {
			f.Names = append(f.Names, n)
		}
	}
	for _, n := range f.Names {
		if n == supervisor.OwnLog {
			continue
		}
		if _, err := m.s.Status(n); err != nil {
			return f, q, codeOf(err)
		}
	}
	q = logs.Query{Services: f.Names, N: 100}
	switch f.Stream {
	case "", "both":
	case "stdout":
		q.Stream = logs.Stdout
	case "stderr":
		q.Stream = logs.Stderr
	default:
		return f, q, rpc.Errorf(rpc.CodeInvalidParams, "cannot use parameter 'stream': want stdout or stderr, got %q", f.Stream)
	}
	if f.Grep != "" {
		match, err := regexp.Compile(f.Grep)
		if err != nil {
			return f, q, rpc.Errorf(rpc.CodeInvalidParams, "cannot use parameter 'grep': %v", err)
		}
		q.Match = func(l logs.Line) bool { return match.Match(l.Text) }
	}
	if f.Since > 0 {
		q.Since, q.N = time.UnixMilli(f.Since), 0
	}
	if f.Lines != nil {
		if *f.Lines < 0 {
			return f, q, rpc.Errorf(rpc.CodeInvalidParams, "cannot use parameter 'lines': %d is negative", *f.Lines)
		}
		if q.N = *f.Lines; q.N == 0 {
			q.N = -1
		}
	}
	return f, q, nil
}

func (m methods) logsGet(c *rpc.Call) (any, error) {
	_, q, err := m.query(c)
	if err != nil {
		return nil, err
	}
	return m.lines(q, texts)
}

// lines answers q as as renders it.
func (m methods) lines(q logs.Query, as func([]logs.Line) any) (any, error) {
	lines, err := m.pump.Query(q)
	if err != nil {
		return nil, &rpc.Error{Code: rpc.CodeTooMuch, Message: "not done: " + err.Error(), Data: &rpc.Data{Hint: "ask for fewer: lines, since, names, grep"}}
	}
	return as(lines), nil
}

func objects(lines []logs.Line) any { return supervisor.Lines(lines) }

// texts renders lines as zinit 0.3 does.
func texts(lines []logs.Line) any {
	out := []string{}
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%d [%s] %s", l.Time/1e6, l.Stream, l.Text))
	}
	return out
}

func (m methods) logsTail(c *rpc.Call) (any, error) {
	_, q, err := m.query(c)
	if err != nil {
		return nil, err
	}
	return m.lines(q, objects)
}

func (m methods) logsFilter(c *rpc.Call) (any, error) {
	f, q, err := m.query(c)
	if err != nil {
		return nil, err
	}
	if f.Lines == nil {
		q.N = 0
	}
	if c.Has("service") && !c.Has("name") && !c.Has("names") && !c.Has("stream") && !c.Has("since") && !c.Has("lines") {
		return m.lines(q, texts)
	}
	return m.lines(q, objects)
}

// logNote is a "log" notification.
type logNote struct {
	Subscription uint64               `json:"subscription"`
	Lines        []supervisor.LogLine `json:"lines"`
}

// noteLines is the most lines of one notification.
const noteLines = 500

func (m methods) logsFollow(c *rpc.Call) (any, error) {
	f, q, err := m.query(c)
	if err != nil {
		return nil, err
	}
	return c.Subscribe(func(ctx context.Context, id uint64) {
		m.pump.Follow(ctx, q, f.Cursors, func(lines []logs.Line) error {
			for len(lines) > 0 {
				n := min(len(lines), noteLines)
				if err := c.Notify("log", logNote{id, supervisor.Lines(lines[:n])}); err != nil {
					return err
				}
				lines = lines[n:]
			}
			return nil
		})
	})
}
