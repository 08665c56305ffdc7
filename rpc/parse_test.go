package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDepthIsCountedOutsideStringsOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		``: 0, `{}`: 1, `[[]]`: 2, `[[],[]]`: 2, `"[[["`: 0, `["\"[["]`: 1, `["\\",[]]`: 2, `]]][`: 0, `{"a":{"b":[1]}}`: 3,
	} {
		if got := depth([]byte(text)); got != want {
			t.Errorf("depth of %s is %d, want %d", text, got, want)
		}
	}
}

func TestOnlyWholeSurrogatePairsPass(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`"\ud83d\ude00"`: true, `"\uD83D\uDE00"`: true, `"\ud83d"`: false, `"\ude00"`: false, `"\ud83d\ud83d"`: false, `"\ud83dx\ude00"`: false,
		`"\\ud83d"`: true, `"\\\ud83d"`: false, `"\u00e9"`: true, `"\ud7ff\ue000"`: true, `"\ud83d\\ude00"`: false, `\ud83`: true, ``: true,
		`"\ud83d\ude00\ude00"`: false,
	} {
		if got := pairedEscapes([]byte(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// Brackets without end, in every place: an error, quickly, and no deep stack.
func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []int{MaxDepth + 1, 1000, 100_000, MaxRequest / 2} {
		for _, form := range []string{`%s%s`, `{"jsonrpc":"2.0","id":1,"method":"echo","params":%s%s}`, `{"jsonrpc":"2.0","id":%s%s,"method":"echo"}`, `[%s%s]`} {
			text := fmt.Sprintf(form, strings.Repeat("[", n), strings.Repeat("]", n))
			if _, _, err := parseLine([]byte(text)); err == nil || err.Code != CodeInvalidRequest {
				t.Errorf("%d brackets in %.50s: %v", n, form, err)
			}
		}
	}
	most := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"echo","params":%s%s}`, strings.Repeat("[", MaxDepth-1), strings.Repeat("]", MaxDepth-1))
	if items, _, err := parseLine([]byte(most)); err != nil || items[0].bad != nil {
		t.Errorf("depth %d is refused: %v", MaxDepth, err)
	}
}

func TestABatchOverTheLimitIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	methods := []Method{{Name: "do", Access: Write, Handler: func(*Call) (any, error) { return done.Add(1), nil }}}
	_, path := begin(t, methods, Options{Policy: mine()}, nil)
	w := connect(t, path)
	call := `{"jsonrpc":"2.0","id":1,"method":"do"}`
	for _, n := range []int{MaxBatch + 1, 20_000} {
		w.send("[" + strings.Repeat(call+",", n-1) + call + "]\n")
		w.want(fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":-32025,"message":"cannot take a batch of %d calls: …nothing was executed"}}`, n))
	}
	w.send("[" + strings.Repeat(call+",", MaxBatch-1) + call + "]\n")
	var answers []struct{ Result int }
	if err := json.Unmarshal([]byte(w.line()), &answers); err != nil || len(answers) != MaxBatch || answers[0].Result != 1 || answers[MaxBatch-1].Result != MaxBatch {
		t.Errorf("%d answers, %v", len(answers), err)
	}
}

// A batch of calls with large answers costs what its limit says, and the calls
// that come after it are not done.
func TestABatchWithTooMuchToSayIsCutShort(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	big := strings.Repeat("x", MaxAnswers/4)
	methods := []Method{{Name: "do", Access: Write, Handler: func(*Call) (any, error) { done.Add(1); return big, nil }}}
	_, path := begin(t, methods, Options{Policy: mine()}, nil)
	w := connect(t, path)
	w.send("[" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"do"},`, 9) + `{"jsonrpc":"2.0","id":2,"method":"do"}]` + "\n")
	var answers []struct {
		ID    int
		Error *Error
	}
	if err := json.Unmarshal([]byte(w.line()), &answers); err != nil || len(answers) != 10 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	if answers[0].Error != nil || answers[9].Error == nil || answers[9].Error.Code != CodeTooMuch || answers[9].ID != 2 {
		t.Errorf("the first answer is %v, the last %v", answers[0].Error, answers[9].Error)
	}
	if n := done.Load(); n != 4 {
		t.Errorf("%d calls were done, want those that fit, 4", n)
	}
}

// slowReader hands out one byte at a time, which is how lines come at worst.
type slowReader struct {
	net.Conn
	r io.Reader
}

func (s slowReader) Read(b []byte) (int, error)      { return s.r.Read(b[:min(len(b), 1)]) }
func (s slowReader) SetReadDeadline(time.Time) error { return nil }

// Cutting bytes into lines is the same as splitting at LF, whatever they are.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\nc"))
	f.Add([]byte("\r\n\r\r\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		want := bytes.Split(src, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		l := newLineReader(slowReader{r: bytes.NewReader(src)}, time.Hour)
		for i, w := range want {
			got, err := l.next()
			if err != nil || !bytes.Equal(got, bytes.TrimRight(w, "\r")) {
				t.Fatalf("line %d is %q, %v; want %q", i, got, err, w)
			}
		}
		if _, err := l.next(); err != io.EOF {
			t.Fatalf("after the last line: %v", err)
		}
	})
}

// No line can hurt the parser, and what it takes for a request says the same
// thing to any other reader of JSON.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"echo","params":[1,{"a":"b"}]}`, `[{"jsonrpc":"2.0","id":"x","method":"m"},7]`,
		`{"jsonrpc":"2.0","method":"\ud83d\ude00"}`, `{"id":null,"id":1}`, `[]`, `[[`, `"`, "\xff", `{"jsonrpc":"2.0","id":1e999,"method":""}`, ` null `,
	} {
		f.Add([]byte(s))
	}
	s := NewServer(table(), Options{Policy: mine()})
	f.Fuzz(func(t *testing.T, line []byte) {
		items, batch, fatal := parseLine(line)
		if fatal != nil {
			if items != nil || fatal.Message == "" {
				t.Fatalf("%d requests and the error %v", len(items), fatal)
			}
			return
		}
		if len(items) == 0 || !batch && len(items) != 1 || len(items) > MaxBatch {
			t.Fatalf("%d requests, batch %v", len(items), batch)
		}
		for _, it := range items {
			checkItem(t, s, it, batch, line)
		}
	})
}

func checkItem(t *testing.T, s *Server, it item, batch bool, line []byte) {
	if it.bad == nil {
		var other struct {
			Method *string `json:"method"`
		}
		if !batch && (json.Unmarshal(line, &other) != nil || other.Method == nil) {
			t.Fatalf("taken for a request: %q", line)
		}
		if m := s.methods[it.Method]; m != nil {
			if params, err := m.bindNames(it.Params); err == nil && params == nil {
				t.Fatal("neither parameters nor an error")
			}
		}
	}
	answer := it.answer("ok", nil)
	if it.bad != nil {
		answer = it.answer(nil, it.bad)
	}
	if it.ID == nil && it.bad == nil {
		if answer != nil {
			t.Fatalf("a notification is answered: %s", answer)
		}
		return
	}
	if !json.Valid(answer) || bytes.IndexByte(answer, '\n') != len(answer)-1 {
		t.Fatalf("the answer is no line of JSON: %q", answer)
	}
	if it.ID != nil && !bytes.Contains(answer, append([]byte(`"id":`), it.ID...)) {
		t.Fatalf("the id %s is not echoed: %s", it.ID, answer)
	}
}

// Twins are found at any depth, and nothing else is taken for them.
func TestAKeyThatComesTwiceIsFoundAtAnyDepth(t *testing.T) {
	t.Parallel()
	for text, twins := range map[string]bool{
		`{}`: false, `[]`: false, `7`: false, `"a"`: false, `{"a":1,"b":1}`: false, `{"a":1,"a":1}`: true, `{"a":{"a":{"a":1}}}`: false,
		`{"a":{"b":1},"b":{"b":1}}`: false, `[{"a":1},{"a":1}]`: false, `[[{"b":[{"a":1,"a":2}]}]]`: true, `{"a":"b","b":"a"}`: false,
		`{"a":[],"b":{},"a":1}`: true, `{"a":"x","\u0061":1}`: true, `["a","a"]`: false, `{"a":{},"b":{"a":"a"},"c":null,"d":1e9,"b":0}`: true,
	} {
		if err := unique([]byte(text)); (err != nil) != twins {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func BenchmarkTheDearestMegabyte(b *testing.B) {
	inner := strings.Repeat(`[],`, (MaxRequest-200)/3) + `[]`
	text := []byte(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{"any":` + strings.Repeat("[", 50) + inner + strings.Repeat("]", 50) + `}}`)
	m := NewServer(table(), Options{}).methods["echo"]
	for b.Loop() {
		items, _, err := parseLine(text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.bindNames(items[0].Params); err != nil {
			b.Fatal(err)
		}
	}
}
