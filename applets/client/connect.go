package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/rpc"
)

// comeBack is how long a call waits for a server that is being replaced.
const comeBack = 30 * time.Second

// betweenTries is the pause between two calls to a server that ends before it
// answers, and between two looks at one that is ending.
const betweenTries = 20 * time.Millisecond

// sockets are the places to try, in order.
func (s *session) sockets() []string {
	if s.socket != "" {
		return []string{s.socket}
	}
	list := []string{"/var/run/zinit.sock", "/run/zinit.sock"}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		list = append(list, filepath.Join(home, "hero/var/zinit.sock"))
	}
	return list
}

// dial connects to the first place that answers.
func (s *session) dial(ctx context.Context) (*rpc.Client, error) {
	var tried []string
	for _, path := range s.sockets() {
		c, err := rpc.Dial(ctx, path)
		if err == nil {
			return c, nil
		}
		tried = append(tried, rpc.Describe(path, err))
	}
	return nil, fail(exitNoServer, "start one with: zinit server", "cannot reach a server:\n    %s", strings.Join(tried, "\n    "))
}

// reads are the methods that change nothing; the others carry a token, so that
// they can be asked again when the connection ended before the answer came.
func reads(method string) bool {
	switch method {
	case "service.start", "service.stop", "service.start_all", "service.stop_all", "service.restart", "service.kill", "service.set", "service.delete", "service.enable", "service.disable",
		"service.reload", "system.reload", "system.upgrade", "system.shutdown", "system.poweroff", "system.reboot", "system.halt":
		return false
	}
	return true
}

// withToken adds a random token to the parameters of a call that changes
// something.
func withToken(method string, params any) (any, error) {
	if reads(method) {
		return params, nil
	}
	all := map[string]any{}
	if params != nil {
		b, err := json.Marshal(params)
		if err == nil {
			err = json.Unmarshal(b, &all)
		}
		if err != nil {
			return nil, err
		}
	}
	var token [16]byte
	if _, err := unix.Getrandom(token[:], 0); err != nil {
		return nil, fmt.Errorf("cannot make a token: %w", err)
	}
	all["token"] = fmt.Sprintf("%x", token)
	return all, nil
}

// patience is how long a question waits for its answer without a word.
const patience = 3 * time.Second

// call makes one call and decodes its answer. While the server is being replaced
// it waits.
func (s *session) call(ctx context.Context, method string, params, result any) error {
	deadline := time.Now().Add(comeBack)
	if question := reads(method) && method != "service.wait"; question {
		slow := time.AfterFunc(patience, func() {
			fmt.Fprintf(s.std.Err, "zinit: no answer for %s; waiting for a server that is ready (what the keeper prints says why there is none)\n", patience)
		})
		defer slow.Stop()
	}
	params, err := withToken(method, params)
	if err != nil {
		return err
	}
	for {
		c, err := s.dial(ctx)
		if err != nil {
			return err
		}
		err = c.Call(ctx, method, params, result)
		c.Close()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, context.Canceled) && reads(method):
			return fail(exitInterrupted, "", "interrupted")
		case !errors.Is(err, rpc.ErrGone):
			return explain(err)
		case time.Now().After(deadline):
			return fail(exitNoServer, "", "the server keeps ending before it answers")
		}
		time.Sleep(betweenTries)
	}
}

// statuses say how each kind of RPC error ends the client.
var statuses = map[int]int{
	rpc.CodeNotFound: exitNotFound, rpc.CodeNotRunning: exitNotRunning, rpc.CodeTimedOut: exitTimedOut,
	rpc.CodeNotAllowed: exitNotAllowed, rpc.CodeRefused: exitRefused, rpc.CodeShuttingDown: exitRefused,
	rpc.CodeInvalidConfig: exitRefused, rpc.CodeCycle: exitRefused, rpc.CodeInvalidParams: exitUsage,
	rpc.CodeInvalid: exitRefused, rpc.CodeUnsafe: exitRefused, rpc.CodeUnwritten: exitRefused, rpc.CodeExists: exitRefused,
}

// explain turns an error of a call into an end with a status and a hint.
func explain(err error) error {
	var e *rpc.Error
	switch {
	case errors.As(err, &e):
		status, known := statuses[e.Code]
		if !known {
			status = exitFault
		}
		hint := ""
		if e.Data != nil {
			hint = e.Data.Hint
		}
		return fail(status, hint, "%s", e.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(exitTimedOut, "", "no answer in time")
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, "", "interrupted; what was asked for goes on")
	}
	return err
}

// ask makes a call, prints the answer as JSON when that was asked for, and
// otherwise decodes it. done says that it was printed.
func (s *session) ask(ctx context.Context, method string, params, result any) (done bool, err error) {
	if !s.json {
		return false, s.call(ctx, method, params, result)
	}
	var raw json.RawMessage
	if err := s.call(ctx, method, params, &raw); err != nil {
		return false, err
	}
	fmt.Fprintf(s.std.Out, "%s\n", raw)
	if result != nil {
		json.Unmarshal(raw, result) // for the exit status only
	}
	return true, nil
}
