package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// TCP reports whether a connection to addr, HOST:PORT, is accepted.
func TCP(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

// Bounds of an answer to HTTP.
const (
	maxAnswer = 64 << 10 // bytes up to the final status line
	maxLine   = 8 << 10
)

// HTTP reports whether a GET of url is answered with the status expected.
// Redirects are not followed: their status is the answer.
func HTTP(ctx context.Context, url string, expect int) error {
	t, err := parseURL(url)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, t.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, t.request()); err != nil {
		return plain(ctx, err, "while it was sent the request")
	}
	in := bufio.NewReaderSize(io.LimitReader(conn, maxAnswer), maxLine)
	status, err := finalStatus(in)
	if err != nil {
		return plain(ctx, err, "without an answer")
	}
	if status != expect {
		return fmt.Errorf("status %d, want %d", status, expect)
	}
	drain(conn)
	return nil
}

// drainTime is how long an answer may take to end after its status is known.
const drainTime = 50 * time.Millisecond

// drain reads what is left of a short answer, so that the service does not see
// its connection reset. An endless one is cut off.
func drain(conn net.Conn) {
	timer := time.AfterFunc(drainTime, func() { conn.Close() })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, conn, maxAnswer)
}

// dial connects. localhost is this machine also where no file says so: an image
// from scratch has no /etc/hosts. Source: RFC 6761, 6.3.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%q is no address: expected HOST:PORT", addr)
	}
	d := net.Dialer{KeepAlive: -1}
	if !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		conn, err := d.DialContext(ctx, "tcp", addr)
		return conn, plain(ctx, err, "while connecting")
	}
	conn, first := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if first != nil {
		var err error
		if conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort("::1", port)); err == nil {
			return conn, nil
		}
	}
	return conn, plain(ctx, first, "while connecting")
}

// target is a parsed URL.
type target struct{ addr, host, path string }

// parseURL takes http://HOST[:PORT][/PATH][?QUERY] apart.
func parseURL(url string) (target, error) {
	if strings.HasPrefix(strings.ToLower(url), "https:") {
		return target{}, errors.New(`https is not spoken here: use a check of type "exec" with a command such as "curl -fsS URL"`)
	}
	rest, ok := strings.CutPrefix(url, "http://")
	bad := fmt.Errorf("%q is no address: expected http://HOST[:PORT]/PATH", url)
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if path[0] == '?' {
		path = "/" + path
	}
	if !ok || authority == "" || strings.ContainsAny(authority, "@\\ \t\r\n\x00") {
		return target{}, bad
	}
	addr := authority
	if !strings.Contains(authority[strings.LastIndexByte(authority, ']')+1:], ":") {
		addr += ":80"
	}
	host, port, err := net.SplitHostPort(addr)
	if n, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || n == 0 || host == "" {
		return target{}, bad
	}
	return target{addr: addr, host: strings.TrimSuffix(authority, ":80"), path: escape(path)}, nil
}

// escape writes what cannot stand in a request line as %XX.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (t target) request() string {
	return "GET " + t.path + " HTTP/1.1\r\nHost: " + t.host + "\r\nUser-Agent: zinit\r\nAccept: */*\r\nConnection: close\r\n\r\n"
}

// finalStatus reads up to the first status that is no interim one.
// Source: RFC 9110, 15.2.
func finalStatus(in *bufio.Reader) (int, error) {
	for {
		line, err := in.ReadSlice('\n')
		status, ok := parseStatus(line)
		switch {
		case !ok && len(line) > 0:
			return 0, notHTTP(line)
		case err != nil:
			return 0, err
		case status >= 200 || status == 101:
			return status, nil
		}
		for len(line) > 0 && strings.TrimRight(string(line), "\r\n") != "" {
			if line, err = in.ReadSlice('\n'); err != nil {
				return 0, err
			}
		}
	}
}

// parseStatus reads "HTTP/1.1 200 OK".
func parseStatus(line []byte) (status int, ok bool) {
	version, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	digits, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(digits)
	ok = err == nil && len(digits) == 3 && status >= 100 && len(version) == len("HTTP/1.1") && strings.HasPrefix(version, "HTTP/1.")
	return status, ok
}

// answerError is an answer that is none.
type answerError string

func (e answerError) Error() string { return string(e) }

func notHTTP(line []byte) error {
	if len(line) > 2 && (line[0] == 0x15 || line[0] == 0x16) && line[1] == 3 {
		return answerError(`the answer is TLS, not HTTP: use a check of type "exec"`)
	}
	return answerError("the answer is not HTTP/1: " + strconv.QuoteToASCII(string(line[:min(len(line), 40)])))
}

// failure is a plain sentence with the error it was made of.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// plain says in one sentence what happened. when completes "timed out".
func plain(ctx context.Context, err error, when string) error {
	var dns *net.DNSError
	var errno syscall.Errno
	var answer answerError
	text := ""
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return answer
	case errors.Is(ctx.Err(), context.Canceled):
		return &failure{"the probe was called off", ctx.Err()}
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &failure{"timed out " + when, context.DeadlineExceeded}
	case errors.As(err, &dns) && dns.IsNotFound:
		text = "no such host: " + strconv.QuoteToASCII(dns.Name)
	case errors.As(err, &dns):
		text = "cannot look up host " + strconv.QuoteToASCII(dns.Name)
	case errors.As(err, &errno):
		text = errno.Error()
	case errors.Is(err, bufio.ErrBufferFull):
		text = "the answer is not HTTP/1: a line of more than 8 KiB"
	case errors.Is(err, io.EOF):
		text = "the connection was closed " + when
	default:
		text = err.Error()
	}
	return &failure{text, err}
}
