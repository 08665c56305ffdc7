package client

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"zinit/supervisor"
)

func (s *session) logsVerb() *command {
	return &command{
		name: "logs", usage: "show what services printed; all of them when none is named, zinit's own messages as zinit", args: "[NAME...]",
		about: example("  zinit logs web -n 20\n  zinit logs -f\n  zinit logs --since 10m --grep 'error|panic'"),
		options: []option{
			{"follow", "f", false, "go on with every new line"},
			{"lines", "n", 100, "at most so many, the newest"},
			{"since", "", "", "not older than this: 10m, 15:04, 2006-01-02T15:04:05Z, or Unix milliseconds"},
			{"stderr", "", false, "only what was printed to standard error"},
			{"grep", "", "", "only lines that match this regular expression"},
			{"raw", "", false, "the bytes as they were printed, control characters included"},
		},
		run: s.logs,
	}
}

// want is which lines are asked for, and how they are shown.
type want struct {
	params map[string]any
	grep   *regexp.Regexp // nil: all
	raw    bool
	named  bool // more than one service may come
}

func (s *session) logs(c *call) error {
	w, err := s.wanted(c)
	if err != nil {
		return err
	}
	if c.is("follow") {
		return s.suggest(c.ctx, s.follow(c.ctx, w), c.names...)
	}
	if w.grep != nil {
		w.params["grep"] = w.grep.String() // of a great store few lines travel
	}
	found := []json.RawMessage{}
	if err := s.call(c.ctx, "logs.tail", w.params, &found); err != nil {
		return s.suggest(c.ctx, err, c.names...)
	}
	if s.json {
		return s.printJSON(found)
	}
	for _, raw := range found {
		var l supervisor.LogLine
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("cannot read the server's answer: %w", err)
		}
		s.logLine(l, w.raw, w.named)
	}
	return nil
}

// wanted reads the command line.
func (s *session) wanted(c *call) (w want, err error) {
	w = want{params: map[string]any{}, raw: c.is("raw"), named: len(c.names) != 1}
	if len(c.names) > 0 {
		names, err := s.names(c.ctx, c)
		if err != nil {
			return w, err
		}
		w.params["names"], w.named = names, len(names) != 1
	}
	lines := c.number("lines")
	if lines < 0 {
		return w, fail(exitUsage, "", "-n %d is negative", lines)
	}
	if c.is("stderr") {
		w.params["stream"] = "stderr"
	}
	if text := c.text("since"); text != "" {
		ms, err := moment(text, time.Now())
		if err != nil {
			return w, err
		}
		w.params["since"] = ms
	}
	if c.given("lines") || w.params["since"] == nil {
		w.params["lines"] = lines
	}
	if text := c.text("grep"); text != "" {
		if w.grep, err = regexp.Compile(text); err != nil {
			return w, fail(exitUsage, "", "cannot read the expression of --grep: %v", err)
		}
	}
	return w, nil
}

// moment reads a moment: an age, a time of day, a date, or Unix milliseconds.
func moment(text string, now time.Time) (ms int64, err error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UnixMilli(), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return n, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t.UnixMilli(), nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			y, m, d := now.Date()
			t = time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
			return t.UnixMilli(), nil
		}
	}
	return 0, fail(exitUsage, "use 10m, 15:04, 2006-01-02T15:04:05Z or Unix milliseconds", "cannot read the time %q", text)
}

func (w want) matches(l supervisor.LogLine) bool { return w.grep == nil || w.grep.Match(bytesOf(l)) }

// bytesOf is the text of a line as it was printed.
func bytesOf(l supervisor.LogLine) []byte {
	if l.Bytes != nil {
		return l.Bytes
	}
	return []byte(l.Content)
}

// follow shows the last lines and then each new one, once, also across servers
// that are replaced: it goes on after the last line of each service.
func (s *session) follow(ctx context.Context, w want) error {
	cursors := map[string]uint64{}
	w.params["cursors"] = cursors
	return s.subscribe(ctx, "logs.follow", w.params, func(params json.RawMessage) error {
		var note struct {
			Lines []json.RawMessage `json:"lines"`
		}
		if err := json.Unmarshal(params, &note); err != nil {
			return fmt.Errorf("cannot read the server's notification: %w", err)
		}
		for _, raw := range note.Lines {
			var l supervisor.LogLine
			if err := json.Unmarshal(raw, &l); err != nil {
				return fmt.Errorf("cannot read the server's notification: %w", err)
			}
			cursors[l.Service] = l.Seq
			switch {
			case !w.matches(l):
			case s.json:
				fmt.Fprintf(s.std.Out, "%s\n", raw)
			default:
				s.logLine(l, w.raw, w.named)
			}
		}
		w.params["lines"] = 0 // what was printed before is shown
		return nil
	})
}
