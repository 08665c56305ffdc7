package probe

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"zinit/testdata/ring"
)

// listen answers each connection with f.
func listen(t *testing.T, network, addr string, f func(net.Conn)) (host, port string) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		ring.Skip(t, "network", err.Error(), "bring the loopback device up, with IPv6")
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	host, port, _ = net.SplitHostPort(ln.Addr().String())
	return host, port
}

// request reads what was asked up to the empty line.
func request(conn net.Conn) string {
	var b strings.Builder
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// answering is a server that says text to everybody.
func answering(t *testing.T, text string) (url string) {
	_, port := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		request(conn)
		_, _ = io.WriteString(conn, text)
	})
	return "http://127.0.0.1:" + port + "/"
}

// within is a context that no test needs to the end.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTCPIsWellWhenSomebodyListens(t *testing.T) {
	_, port := listen(t, "tcp4", "127.0.0.1:0", func(net.Conn) {})
	for _, host := range []string{"127.0.0.1", "localhost", "LocalHost."} {
		if err := TCP(within(t), net.JoinHostPort(host, port)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	_, port = listen(t, "tcp6", "[::1]:0", func(net.Conn) {})
	for _, host := range []string{"::1", "localhost"} {
		if err := TCP(within(t), net.JoinHostPort(host, port)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// closed is an address that nobody listens on.
func closed(t *testing.T) string {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestFailuresAreOnePlainSentence(t *testing.T) {
	addr := closed(t)
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"nobody there":      {TCP(within(t), addr), "connection refused"},
		"no address":        {TCP(within(t), "localhost"), `"localhost" is no address: expected HOST:PORT`},
		"nobody at the URL": {HTTP(within(t), "http://"+addr+"/", 200), "connection refused"},
		"another status":    {HTTP(within(t), answering(t, "HTTP/1.1 503 Busy\r\n\r\n"), 200), "status 503, want 200"},
		"a redirect":        {HTTP(within(t), answering(t, "HTTP/1.1 301 Away\r\nLocation: /x\r\n\r\n"), 200), "status 301, want 200"},
		"another protocol":  {HTTP(within(t), answering(t, "SSH-2.0-x\x1b[31m\r\n"), 200), `the answer is not HTTP/1: "SSH-2.0-x\x1b[31m\r\n"`},
		"TLS":               {HTTP(within(t), answering(t, "\x15\x03\x01\x00\x02\x02\x46\n"), 200), `the answer is TLS, not HTTP: use a check of type "exec"`},
		"HTTP/2":            {HTTP(within(t), answering(t, "HTTP/2 200\r\n"), 200), `the answer is not HTTP/1: "HTTP/2 200\r\n"`},
		"no number":         {HTTP(within(t), answering(t, "HTTP/1.1 OK\r\n"), 200), `the answer is not HTTP/1: "HTTP/1.1 OK\r\n"`},
		"nothing":           {HTTP(within(t), answering(t, ""), 200), "the connection was closed without an answer"},
		"half a line":       {HTTP(within(t), answering(t, "HTT"), 200), `the answer is not HTTP/1: "HTT"`},
		"half an answer":    {HTTP(within(t), answering(t, "HTTP/1.1 100 Wait\r\nA: b"), 200), "the connection was closed without an answer"},
		"a long line":       {HTTP(within(t), answering(t, "HTTP/1.1 103 "+strings.Repeat("x", maxLine)), 200), ""},
		"interim for ever":  {HTTP(within(t), answering(t, strings.Repeat("HTTP/1.1 103 Wait\r\n\r\n", maxAnswer/16)), 200), ""},
		"https":             {HTTP(within(t), "https://localhost/", 200), `https is not spoken here: use a check of type "exec" with a command such as "curl -fsS URL"`},
		"no scheme":         {HTTP(within(t), "localhost/", 200), `"localhost/" is no address: expected http://HOST[:PORT]/PATH`},
	} {
		if c.err == nil || c.want != "" && c.err.Error() != c.want {
			t.Errorf("%s: %v, want %s", what, c.err, c.want)
		} else if strings.ContainsAny(c.err.Error(), "\n\r\x1b") {
			t.Errorf("%s: %q would reach a terminal", what, c.err)
		}
	}
}

// zinit 0.3 took any connection for an answer, and needed a port (F48, B24).
func TestHTTPIsWellWithTheStatusExpected(t *testing.T) {
	for text, expect := range map[string]int{
		"HTTP/1.1 200 OK\r\n\r\n": 200, "HTTP/1.0 204\r\n": 204, "HTTP/1.1 200\n": 200, "HTTP/1.1 503 Busy\r\n\r\n": 503,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n": 200,
		"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2*maxAnswer):                                200,
	} {
		if err := HTTP(within(t), answering(t, text), expect); err != nil {
			t.Errorf("%.80q: %v", text, err)
		}
	}
}

func TestRequestIsWhatAServerExpects(t *testing.T) {
	asked := make(chan string, 1)
	answer := func(conn net.Conn) {
		asked <- request(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	}
	_, four := listen(t, "tcp4", "127.0.0.1:0", answer)
	_, six := listen(t, "tcp6", "[::1]:0", answer)
	for url, want := range map[string]string{
		"http://127.0.0.1:" + four:                      "GET / HTTP/1.1\r\nHost: 127.0.0.1:" + four + "\r\n",
		"http://localhost:" + four + "/a b?c=ü#frag":    "GET /a%20b?c=%C3%BC HTTP/1.1\r\nHost: localhost:" + four + "\r\n",
		"http://127.0.0.1:" + four + "?q=1":             "GET /?q=1 HTTP/1.1\r\nHost: 127.0.0.1:" + four + "\r\n",
		"http://[::1]:" + six + "/":                     "GET / HTTP/1.1\r\nHost: [::1]:" + six + "\r\n",
		"http://127.0.0.1:" + four + "/\r\nX: evil\r\n": "GET /%0D%0AX:%20evil%0D%0A HTTP/1.1\r\nHost: 127.0.0.1:" + four + "\r\n",
	} {
		if err := HTTP(within(t), url, 200); err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		if got := <-asked; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "Connection: close\r\n\r\n") {
			t.Errorf("%q asks %q, want %q", url, got, want)
		}
	}
}

func TestPartsOfAURL(t *testing.T) {
	for url, want := range map[string]target{
		"http://a":            {"a:80", "a", "/"},
		"http://a:80/x":       {"a:80", "a", "/x"},
		"http://a:8080":       {"a:8080", "a:8080", "/"},
		"http://[::1]":        {"[::1]:80", "[::1]", "/"},
		"http://[fe80::1%lo]": {"[fe80::1%lo]:80", "[fe80::1%lo]", "/"},
		"http://[::1]:9/x?y":  {"[::1]:9", "[::1]:9", "/x?y"},
	} {
		if got, err := parseURL(url); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", url, got, err, want)
		}
	}
	for _, url := range []string{"", "http://", "http:///x", "http://a:0", "http://a:65536", "http://a:b", "http://u@a", "http://a b", "ftp://a", "http://::1/", "http://a\r\nb/"} {
		if got, err := parseURL(url); err == nil {
			t.Errorf("%q: %+v", url, got)
		}
	}
}

// A server that never says anything, or never ends, is left when the context
// says so.
func TestContextEndsAProbeWhateverTheOtherSideDoes(t *testing.T) {
	entered := make(chan struct{}, 16)
	dripping := func(conn net.Conn) {
		request(conn)
		entered <- struct{}{}
		for {
			if _, err := io.WriteString(conn, "HTTP/1.1 100 Wait\r\n"); err != nil {
				return
			}
		}
	}
	silent := func(conn net.Conn) {
		request(conn)
		entered <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}
	for what, serve := range map[string]func(net.Conn){"silent": silent, "dripping": dripping} {
		_, port := listen(t, "tcp4", "127.0.0.1:0", serve)
		ctx, cancel := context.WithCancel(within(t))
		go func() {
			<-entered
			cancel()
		}()
		err := HTTP(ctx, "http://127.0.0.1:"+port+"/", 200)
		if err == nil || what == "silent" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, port := listen(t, "tcp4", "127.0.0.1:0", silent)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := HTTP(ctx, "http://127.0.0.1:"+port+"/", 200)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "timed out") {
		t.Errorf("past its time: %v", err)
	}
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	_, port := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		request(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the probe goes
	})
	if err := HTTP(within(t), "http://127.0.0.1:"+port+"/", 200); err != nil {
		t.Error(err)
	}
}

func TestNoDescriptorIsLeftOpen(t *testing.T) {
	url := answering(t, "HTTP/1.1 200 OK\r\n\r\n")
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	_ = HTTP(within(t), url, 200)
	before := count()
	for range 50 {
		_ = HTTP(within(t), url, 200)
		_ = HTTP(within(t), url, 500)
	}
	// The other side closes its own when it comes to it.
	waitUntil(t, "the descriptors to be closed", func() bool { return count() <= before+4 })
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
