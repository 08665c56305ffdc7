package applets_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rss is the resident size of a process in bytes.
func rss(pid int) int64 {
	f := strings.Fields(statusField(pid, "VmRSS"))
	if len(f) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(f[0], 10, 64)
	return kb << 10
}

// Scenario 129: a request that never ends is refused at the limit, costs no
// memory, and nobody else notices.
func TestScenario129AnEndlessRequestIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n")
	b.serve()
	var v version
	b.mustCall("system.version", nil, &v)
	before := rss(v.PID)
	for _, head := range []string{"", `{"jsonrpc":"2.0","id":1,"method":"`, strings.Repeat("[", 100)} {
		sent, answer := flood(t, b.sock, head)
		if sent > 4<<20 {
			t.Errorf("%d MiB of a request that begins %.20q were taken", sent>>20, head)
		}
		var msg struct{ Error rpcError }
		if len(answer) > 0 && (json.Unmarshal(answer, &msg) != nil || msg.Error.Code == 0) {
			t.Errorf("the answer is no error: %.200q", answer)
		}
		b.mustCall("system.ping", nil, nil)
	}
	if grown := rss(v.PID) - before; grown > 16<<20 {
		t.Errorf("the server grew by %d MiB", grown>>20)
	}
	var after version
	b.mustCall("system.version", nil, &after)
	if after.PID != v.PID || !b.running("a").alive() {
		t.Errorf("server %d became %d", v.PID, after.PID)
	}
}

// flood writes up to 64 MiB without a newline, until the server stops taking
// it, and returns how much it took and what it answered.
func flood(t *testing.T, sock, head string) (int, []byte) {
	t.Helper()
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(c)
		read <- b
	}()
	sent, _ := c.Write([]byte(head))
	block := bytes.Repeat([]byte("x"), 64<<10)
	for sent < 64<<20 {
		n, err := c.Write(block)
		sent += n
		if err != nil {
			break
		}
	}
	c.Close()
	return sent, <-read
}

// Bad input on the socket: an error to that client, nothing to the others.
func TestGarbageOnTheSocketHurtsOnlyItsSender(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("a", "[service]\nexec = \"wit\"\n")
	b.serve()
	b.witnessed(1, "START a")
	var v version
	b.mustCall("system.version", nil, &v)
	cases := []struct {
		name, send string
		code       int
	}{
		{"no JSON", "garbage\n", -32700},
		{"half a value", `{"jsonrpc":"2.0","id":1,` + "\n", -32700},
		{"a number", "42\n", -32600},
		{"an empty batch", "[]\n", -32600},
		{"no method", `{"jsonrpc":"2.0","id":1}` + "\n", -32600},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"system.ping"}` + "\n", -32600},
		{"an unknown method", `{"jsonrpc":"2.0","id":1,"method":"system.pong"}` + "\n", -32601},
		{"a wrong parameter", `{"jsonrpc":"2.0","id":1,"method":"service.status","params":{"name":7}}` + "\n", -32602},
		{"deep nesting", strings.Repeat("[", 100000) + "\n", -32600},
		{"a megabyte and more in one line", strings.Repeat("x", 3<<20) + "\n", -32025},
		{"bytes that are no text", "\x00\xff\xfe\n", -32700},
	}
	for _, c := range cases {
		if code, err := answerCode(b.sock, c.send); err != nil || code != c.code {
			t.Errorf("%s: code %d, %v; want %d", c.name, code, err, c.code)
		}
		b.mustCall("system.ping", nil, nil)
	}
	// half a request and a closed connection
	conn, err := net.Dial("unix", b.sock)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, `{"jsonrpc":"2.0",`)
	conn.Close()
	var after version
	b.mustCall("system.version", nil, &after)
	if after.PID != v.PID {
		t.Errorf("the server changed: %d became %d", v.PID, after.PID)
	}
	b.running("a")
}

// answerCode sends text and returns the code of the error that comes back.
func answerCode(sock, text string) (int, error) {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		return 0, err
	}
	go func() { _, _ = io.WriteString(c, text) }() // a refusal may come before the end of it
	var msg struct {
		Error rpcError `json:"error"`
	}
	if err := json.NewDecoder(c).Decode(&msg); err != nil {
		return 0, err
	}
	return msg.Error.Code, nil
}
