package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// table is what the servers of these tests can do.
func table() []Method {
	text := Param{Name: "text", Type: "string"}
	return []Method{
		{Name: "echo", Doc: "Answers with its parameters.", Access: Read,
			Params: []Param{text, {Name: "count", Type: "integer"}, {Name: "flag", Type: "boolean"}, {Name: "list", Type: "array"}, {Name: "map", Type: "object"}, {Name: "any", Type: "any"}},
			Handler: func(c *Call) (any, error) {
				var p struct {
					Text  string         `json:"text,omitempty"`
					Count int64          `json:"count,omitempty"`
					Flag  bool           `json:"flag,omitempty"`
					List  []string       `json:"list,omitempty"`
					Map   map[string]int `json:"map,omitempty"`
					Any   any            `json:"any,omitempty"`
				}
				return &p, c.Bind(&p)
			}},
		{Name: "need", Access: Read, Params: []Param{{Name: "text", Type: "string", Required: true}},
			Handler: func(*Call) (any, error) { return true, nil }},
		{Name: "nothing", Access: Read, Handler: func(*Call) (any, error) { return nil, nil }},
		{Name: "set", Access: Write, Handler: func(*Call) (any, error) { return true, nil }},
		{Name: "fail", Access: Read, Handler: func(*Call) (any, error) {
			return nil, &Error{Code: CodeRefused, Message: "refused", Data: &Data{Kind: "refused", Hint: "do not"}}
		}},
		{Name: "break", Access: Read, Handler: func(*Call) (any, error) { return nil, errors.New("broken") }},
		{Name: "panic", Access: Read, Handler: func(*Call) (any, error) { panic("a bug") }},
		{Name: "odd", Access: Read, Handler: func(*Call) (any, error) { return make(chan int), nil }},
		{Name: "later", Access: Read, Params: []Param{text}, Handler: func(c *Call) (any, error) {
			return Later(func(context.Context) (any, error) { return "late", nil }), nil
		}},
		{Name: "never", Access: Read, Handler: func(c *Call) (any, error) {
			return Later(func(ctx context.Context) (any, error) { <-ctx.Done(); return nil, ctx.Err() }), nil
		}},
		{Name: "count", Doc: "Tells the numbers from 1.", Access: Read, Params: []Param{{Name: "to", Type: "integer"}}, Handler: countTo},
	}
}

// countTo sends a notification for each number, then waits for the end.
func countTo(c *Call) (any, error) {
	var p struct {
		To int `json:"to"`
	}
	if err := c.Bind(&p); err != nil {
		return nil, err
	}
	return c.Subscribe(func(ctx context.Context, id uint64) {
		for i := 1; i <= p.To; i++ {
			if c.Notify("number", map[string]any{"n": i, "subscription": id}) != nil {
				return
			}
		}
		<-ctx.Done()
	})
}

// mine lets this process in, whoever runs it.
func mine() Policy { return Policy{Own: uint32(os.Geteuid())} }

// begin makes a server of methods and returns it with the path of its socket.
// change, where it is not nil, is made before it listens.
func begin(t testing.TB, methods []Method, opt Options, change func(*Server)) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(methods, opt)
	if change != nil {
		change(s)
	}
	done := make(chan struct{})
	go func() { s.Serve(l); close(done) }()
	t.Cleanup(func() { s.Close(); <-done })
	return s, path
}

// wire is one connection as a test holds it.
type wire struct {
	*net.UnixConn
	t testing.TB
	r *bufio.Reader
}

func connect(t testing.TB, path string) *wire {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wire{c, t, bufio.NewReader(c)}
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.UnixConn, text); err != nil {
		w.t.Fatalf("cannot send %.60q: %v", text, err)
	}
}

// line is the next line that the server sends, without its end.
func (w *wire) line() string {
	w.t.Helper()
	text, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("read %.60q, then %v", text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// want reads lines and compares them; … stands for any text.
func (w *wire) want(lines ...string) {
	w.t.Helper()
	for _, l := range lines {
		if got := w.line(); !like(l, got) {
			w.t.Fatalf("got  %.300s\nwant %.300s", got, l)
		}
	}
}

// end wants the connection to have ended.
func (w *wire) end() {
	w.t.Helper()
	if text, err := w.r.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Fatalf("got %.300q, %v; want the end of the connection", text, err)
	}
}

func like(pattern, text string) bool {
	parts := strings.Split(pattern, "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(text)
}

// Each transcript in testdata/rpc is one connection: lines that begin with -->
// are sent, those with <-- must come, byte for byte, in this order; … stands for
// any text. -->"…" is sent as the bytes that Go's quotes mean, without a newline.
// -->EOF ends sending, <--EOF is the end of the connection. Whatever comes
// unasked for fails the next <--, so each transcript ends with one.
//
// Scenario 143, what the standard demands, is among them.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/rpc/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, path := begin(t, table(), Options{Policy: mine()}, nil)
			w := connect(t, path)
			n := 0
			for l := range strings.Lines(string(text)) {
				n++
				if !w.step(strings.TrimSuffix(l, "\n")) {
					t.Fatalf("%s:%d: %s", f, n, l)
				}
			}
		})
	}
}

// step carries out one line of a transcript.
func (w *wire) step(l string) bool {
	if text, sent := strings.CutPrefix(l, "--> "); sent {
		w.send(text + "\n")
		return true
	}
	if text, wanted := strings.CutPrefix(l, "<-- "); wanted {
		got := w.line()
		if !like(text, got) {
			w.t.Errorf("got %s", got)
			return false
		}
		return true
	}
	switch {
	case l == "" || l[0] == '#':
	case l == "-->EOF":
		return w.CloseWrite() == nil
	case l == "<--EOF":
		w.end()
	case strings.HasPrefix(l, `-->"`):
		text, err := strconv.Unquote(l[3:])
		if err != nil {
			w.t.Error(err)
			return false
		}
		w.send(text)
	default:
		w.t.Error("unknown line")
		return false
	}
	return true
}
