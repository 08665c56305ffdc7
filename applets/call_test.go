package applets_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// What tests read of zinit's answers, by its JSON names: these are the names
// that other clients read too.
type (
	full struct {
		Name  string `json:"name"`
		State struct {
			State    string `json:"state"`
			PID      int    `json:"pid"`
			ExitCode *int   `json:"exit_code"`
			Reason   struct {
				Type       string `json:"type"`
				Dependency string `json:"dependency"`
			} `json:"reason"`
		} `json:"state"`
		Wanted   bool     `json:"wanted"`
		Reason   string   `json:"reason"`
		Run      uint64   `json:"run"`
		Attempts int      `json:"attempts"`
		LastExit *exit    `json:"last_exit"`
		Warnings []string `json:"warnings"`
		Held     string   `json:"contained"`
		Says     string   `json:"status_text"`
	}
	exit struct {
		Run    uint64 `json:"run"`
		PID    int    `json:"pid"`
		Code   *int   `json:"code"`
		Signal int    `json:"signal"`
		Killed bool   `json:"killed"`
		AtMS   int64  `json:"at_ms"`
		Core   bool   `json:"core"`
		Text   string `json:"text"`
	}
	version struct {
		PID        int    `json:"pid"`
		Generation uint64 `json:"generation"`
		KeeperPID  int    `json:"keeper_pid"`
		Mode       string `json:"mode"`
	}
	logLine struct {
		Service string `json:"service"`
		Stream  string `json:"stream"`
		Content string `json:"content"`
		Bytes   []byte `json:"bytes"`
		Run     uint64 `json:"run"`
		Seq     uint64 `json:"seq"`
		Partial bool   `json:"partial"`
		Dropped int64  `json:"dropped"`
	}
)

// rpcError is the error object of an answer.
type rpcError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// call makes one request on a connection of its own, in plain JSON, so that
// neither zinit's client nor its framing is trusted by a test of the server.
func (b *bed) call(method string, params, result any) error {
	c, err := net.Dial("unix", b.sock)
	if err != nil {
		return err
	}
	defer c.Close()
	return callOn(c, method, params, result)
}

func callOn(c net.Conn, method string, params, result any) error {
	if err := c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return err
	}
	req := map[string]any{"jsonrpc": "2.0", "id": 1, "method": method}
	if params != nil {
		req["params"] = params
	}
	line, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if _, err := c.Write(append(line, '\n')); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return err
	}
	var msg struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.Unmarshal(answer, &msg); err != nil {
		return fmt.Errorf("answer %.200q: %w", answer, err)
	}
	if msg.Error != nil {
		return msg.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(msg.Result, result)
}

// mustCall is call, where an error ends the test.
func (b *bed) mustCall(method string, params, result any) {
	if err := b.call(method, params, result); err != nil {
		b.t.Fatalf("%s %v: %v", method, params, err)
	}
}

type named map[string]any

// full is everything zinit says about one service.
func (b *bed) full(name string) full {
	var f full
	b.mustCall("service.status_full", named{"name": name}, &f)
	return f
}

// awaitState waits until zinit shows this state for the service.
func (b *bed) awaitState(name, state string) {
	b.await(name+" to be "+state, func() error {
		if f := b.full(name); f.State.State != state {
			return fmt.Errorf("%s is %s: %s", name, f.State.State, f.Reason)
		}
		return nil
	})
}

// killServer ends the server with SIGKILL and returns when a successor
// answers. The keeper's process must stay the same one.
func (b *bed) killServer() (before, after version) {
	b.mustCall("system.version", nil, &before)
	if err := b.kill(before.PID); err != nil {
		b.t.Fatalf("%v", err)
	}
	b.await("the next server", func() error {
		if err := b.call("system.version", nil, &after); err != nil {
			return err
		}
		if after.PID == before.PID {
			return fmt.Errorf("the dead one answers")
		}
		return nil
	})
	return before, after
}
