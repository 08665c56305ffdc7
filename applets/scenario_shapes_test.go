package applets_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// shape is what a zinit 0.3 client reads of an answer: a field's name to its
// kind, which is str, int, num, bool, list, obj, or an alternative of these and
// null, "int|null". A field that ends in ? may be absent. More fields than these
// are no error: answers grow.
type shape map[string]string

// misfit says what of an answer is not as the shape says, "" when all is.
func (sh shape) misfit(answer any) string {
	obj, ok := answer.(map[string]any)
	if !ok {
		return fmt.Sprintf("it is %T, no object", answer)
	}
	var bad []string
	for _, field := range slices.Sorted(maps.Keys(sh)) {
		name, optional := strings.CutSuffix(field, "?")
		v, there := obj[name]
		switch {
		case !there && !optional:
			bad = append(bad, name+" is missing")
		case there && !slices.Contains(strings.Split(sh[field], "|"), kindOf(v)) && !(kindOf(v) == "int" && strings.Contains(sh[field], "num")):
			bad = append(bad, fmt.Sprintf("%s is %s, not %s", name, kindOf(v), sh[field]))
		}
	}
	return strings.Join(bad, "; ")
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "str"
	case bool:
		return "bool"
	case []any:
		return "list"
	case map[string]any:
		return "obj"
	case float64:
		if v == float64(int64(v)) {
			return "int"
		}
		return "num"
	}
	return "?"
}

// at follows a path of names and numbers into an answer.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

var (
	shapeOK     = shape{"ok": "bool"}
	shapeOutput = shape{"output": "str"}
	shapeInfo   = shape{"name": "str", "state": "obj", "is_target": "bool"}
	shapeFull   = shape{"name": "str", "state": "obj", "is_target": "bool", "dependencies": "list", "uptime_secs": "int|null"}
	shapeLine   = shape{"timestamp_ms": "int", "service": "str", "stream": "str", "content": "str"}
)

// Every method of zinit 0.3.9 that is here answers with the fields that its
// clients read, by name and by position.
func TestAnswersHaveTheFieldsOfZinit03(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("db", "[service]\nexec = \"wit -lines 2\"\n")
	b.needs("web", "wit -fork 1", "", "requires db")
	b.needs("lost", "wit", "", "requires nowhere")
	b.service("job", "[service]\nexec = \"wit -exit 0\"\noneshot = true\n")
	b.service("bad", "[service]\nexec = \"wit -exit 3\"\n[lifecycle]\nrestart = \"never\"\n")
	b.service("gate", "[service]\nexec = \"wit\"\noneshot = true\nstatus = \"stop\"\n") // never done
	b.needs("held", "wit", "status = \"stop\"", "after gate", "requires gate")
	b.target("all", "[target]\n[dependencies]\nrequires = [\"web\"]\n")
	b.serve()
	b.witnessed(1, "CHILD web.*")
	b.awaitState("all", "running")
	b.awaitState("job", "exited")
	b.awaitState("bad", "failed")
	b.await("two lines", func() error {
		var lines []string
		if b.mustCall("logs.get", named{"name": "db"}, &lines); len(lines) != 2 {
			return fmt.Errorf("%d lines", len(lines))
		}
		return nil
	})
	b.mustCall("service.start", named{"name": "held"}, nil)
	b.awaitState("held", "blocked")

	for _, c := range []struct {
		method string
		params any
		path   []any // of what the shape is about
		want   shape
	}{
		{"rpc.discover", nil, nil, shape{"openrpc": "str", "info": "obj", "methods": "list"}},
		{"rpc.discover", nil, []any{"methods", 0}, shape{"name": "str", "params": "list", "result": "obj"}},
		{"system.ping", nil, nil, shape{"version": "str"}},
		{"service.list_full", nil, []any{0}, shapeInfo},
		{"service.list_full", nil, []any{0, "state"}, shape{"state": "str", "pid": "int"}}, // the target
		{"service.status", named{"name": "web"}, nil, shape{"name": "str", "state": "str", "pid": "int", "exit_code?": "int", "error?": "str"}},
		{"service.status", named{"name": "bad"}, nil, shape{"name": "str", "state": "str", "pid": "int", "exit_code": "int", "error": "str"}},
		{"service.status", named{"name": "held"}, nil, shape{"name": "str", "state": "str", "pid": "int", "error": "str"}},
		{"service.status_full", []string{"web"}, nil, shapeFull},
		{"service.status_full", []string{"web"}, []any{"state"}, shape{"state": "str", "pid": "int"}},
		{"service.status_full", []string{"web"}, []any{"dependencies", 0}, shape{"name": "str", "dep_type": "str", "state": "str", "satisfied": "bool"}},
		{"service.status_full", []string{"all"}, []any{"state"}, shape{"state": "str", "pid": "int"}},
		{"service.status_full", []string{"job"}, []any{"state"}, shape{"state": "str", "exit_code": "int|null"}},
		{"service.status_full", []string{"held"}, []any{"state"}, shape{"state": "str", "waiting_on": "list"}},
		{"service.status_full", []string{"bad"}, []any{"state", "reason"}, shape{"type": "str", "code": "int"}},
		{"service.status_full", []string{"lost"}, []any{"state", "reason"}, shape{"type": "str", "dependency": "str"}},
		{"service.get", []string{"web"}, nil, shape{"service": "obj", "dependencies": "obj", "lifecycle": "obj", "health": "obj|null", "logging": "obj"}},
		{"service.get", []string{"web"}, []any{"service"}, shape{"name": "str", "exec": "str", "dir": "str|null", "oneshot": "bool", "env": "obj", "status": "str",
			"class": "str", "critical": "bool", "ports": "list", "kill_others": "bool", "process_filters": "list"}},
		{"service.get", []string{"web"}, []any{"dependencies"}, shape{"after": "list", "requires": "list", "wants": "list", "conflicts": "list"}},
		{"service.get", []string{"web"}, []any{"lifecycle"}, shape{"restart": "str", "restart_delay_ms": "int", "restart_delay_max_ms": "int", "max_restarts": "int",
			"stability_period_ms": "int", "start_timeout_ms": "int", "stop_timeout_ms": "int", "stop_signal": "str"}},
		{"service.get", []string{"web"}, []any{"logging"}, shape{"buffer_lines": "int", "file": "str|null", "forward": "str|null"}},
		{"service.get", []string{"all"}, nil, shape{"name": "str", "is_target": "bool", "dependencies": "obj"}},
		{"service.stats", []string{"web"}, nil, shape{"pid": "int", "memory_bytes": "int", "cpu_percent": "num"}},
		{"service.stats", []string{"bad"}, nil, shape{"pid": "int", "memory_bytes": "int", "cpu_percent": "num"}},
		{"service.stats_all", nil, []any{0}, shape{"name": "str", "pid": "int", "memory_bytes": "int"}},
		{"service.children", []string{"web"}, nil, shape{"children": "list"}},
		{"service.children", []string{"web"}, []any{"children", 0}, shape{"pid": "int", "name": "str", "memory_bytes": "int"}},
		{"service.children", []string{"bad"}, nil, shape{"children": "list"}},
		{"service.why", []string{"held"}, nil, shape{"name": "str", "blocked": "bool", "waiting_on": "list", "conflicts_with": "list", "port_conflict?": "str", "ascii": "str"}},
		{"service.tree", nil, nil, shape{"ascii": "str"}},
		{"service.tree", []any{}, nil, shape{"ascii": "str"}},
		{"logs.tail", named{"name": "db", "lines": 1}, []any{0}, shapeLine},
		{"logs.tail", []any{"db", 1}, []any{0}, shapeLine},
		{"logs.filter", named{"name": "db", "stream": "stdout"}, []any{0}, shapeLine},
		{"logs.filter", []any{"db", "stdout", 0, 5}, []any{0}, shapeLine},
		{"debug.state", nil, nil, shapeOutput},
		{"debug.process_tree", []string{"web"}, nil, shapeOutput},
		{"debug.process_tree", []string{"bad"}, nil, shapeOutput},
		{"service.start", []string{"web"}, nil, shapeOK},
		{"service.kill", []any{"web", "CONT"}, nil, shapeOK},
		{"service.kill", named{"name": "web", "signal": 18}, nil, shapeOK},
		{"service.restart", named{"name": "web"}, nil, shapeOK},
		{"service.stop", named{"name": "gate"}, nil, shapeOK},
		{"service.start_all", nil, nil, shape{"started": "list", "count": "int"}},
		{"system.reload", nil, nil, shape{"added": "list", "removed": "list", "changed": "list", "config_errors": "list"}},
		{"service.reload", nil, nil, shape{"added": "list", "removed": "list", "changed": "list", "config_errors": "list"}},
		{"service.stop_all", nil, nil, shape{"stopped": "list", "count": "int"}},
		{"system.prepare_restart", nil, nil, shape{"state_path": "str", "ready": "bool"}},
		{"service.delete_all", nil, nil, shape{"deleted": "list", "count": "int"}},
		{"system.shutdown", nil, nil, shapeOK},
	} {
		var answer any
		err := until(90*time.Second, "an answer", func() error {
			err := b.call(c.method, c.params, &answer)
			var refused *rpcError
			if errors.As(err, &refused) {
				return final{err}
			}
			return err // the server that was asked is replaced
		})
		if err != nil {
			t.Errorf("%s %v: %v", c.method, c.params, err)
			continue
		}
		if bad := c.want.misfit(at(answer, c.path...)); bad != "" {
			text, _ := json.Marshal(answer)
			t.Errorf("%s %v, at %v: %s\n%.600s", c.method, c.params, c.path, bad, text)
		}
	}
}

// What is asked about nobody, or wrongly, is refused with the code of 0.3.
func TestRefusalsHaveTheCodesOfZinit03(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.service("down", "[service]\nexec = \"wit\"\nstatus = \"stop\"\n")
	b.target("goal", "[target]\n")
	b.serve()
	b.awaitState("goal", "running")
	nobody := named{"name": "nobody"}
	for _, m := range []string{"status", "status_full", "get", "start", "stop", "restart", "kill", "stats", "children", "why"} {
		refused(t, b, "service."+m, nobody, -32000, "service not found: nobody")
		refused(t, b, "service."+m, nil, -32602, "missing 'name' parameter")
		refused(t, b, "service."+m, named{"name": 7}, -32602, "cannot use parameter 'name': want string, got integer")
	}
	refused(t, b, "debug.process_tree", nobody, -32000, "service not found: nobody")
	for _, m := range []string{"get", "tail", "filter"} {
		refused(t, b, "logs."+m, nobody, -32000, "service not found: nobody")
		refused(t, b, "logs."+m, named{"lines": "5"}, -32602, "cannot use parameter 'lines'")
		refused(t, b, "logs."+m, named{"lines": -1}, -32602, "cannot use parameter 'lines'")
	}
	refused(t, b, "service.kill", named{"name": "down"}, -32002, "")
	refused(t, b, "service.kill", named{"name": "goal"}, -32002, "")
	refused(t, b, "service.kill", named{"name": "goal", "signal": 0}, -32602, "")
	refused(t, b, "service.kill", named{"name": "goal", "signal": "NONSENSE"}, -32602, "")
	refused(t, b, "service.create", nil, -32601, "unknown method")
	var running bool
	if b.mustCall("service.is_running", nobody, &running); running {
		t.Error("nobody is running")
	}
	refused(t, b, "service.is_running", nil, -32602, "missing 'name' parameter")
	var none []any
	if b.mustCall("logs.get", named{"lines": 0}, &none); none == nil || len(none) != 0 {
		t.Errorf("no lines are %v", none)
	}
}

// refused wants a call to fail with this code, and a message that begins so.
func refused(t *testing.T, b *bed, method string, params any, code int, begins string) {
	err := b.call(method, params, nil)
	var e *rpcError
	if !errors.As(err, &e) || e.Code != code || !strings.HasPrefix(e.Message, begins) {
		t.Errorf("%s %v: %v; want %d %s", method, params, err, code, begins)
	}
}

// A subscriber that does not read is waited for by nobody, and is told how much
// it missed when it does.
func TestASlowSubscriberIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.target("goal", "[target]\n")
	b.serve()
	for range 5 {
		if b.readsLate(t) {
			return
		}
	}
	t.Error("each time the reader would have been cut off before it began to read")
}

// readsLate is a subscriber that begins to read after more transitions than the
// buffers hold; false when they took so long that it is cut off for not reading.
func (b *bed) readsLate(t *testing.T) bool {
	t.Helper()
	c, err := net.Dial("unix", b.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := callOn(c, "events.subscribe", nil, nil); err != nil {
		t.Fatal(err)
	}
	const rounds = 4000 // two transitions each; the buffers hold some two thousand
	d, err := net.Dial("unix", b.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	begun := time.Now()
	for range rounds / 40 {
		var batch []any
		for range 40 {
			for _, m := range []string{"service.start", "service.stop"} {
				batch = append(batch, named{"jsonrpc": "2.0", "id": 1, "method": m, "params": []string{"goal"}})
			}
		}
		line, _ := json.Marshal(batch)
		if _, err := d.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
		var answers []any
		if err := json.NewDecoder(d).Decode(&answers); err != nil || len(answers) != 80 {
			t.Fatalf("%d answers, %v", len(answers), err)
		}
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Logf("%v for %d transitions", took, 2*rounds)
		return false
	}
	// What is read now ends with the transition of a last start.
	read := json.NewDecoder(c)
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var last, missed, seen uint64
	for told := false; ; {
		var note struct {
			Params struct {
				Seq    uint64 `json:"seq"`
				Missed uint64 `json:"missed"`
			} `json:"params"`
		}
		if err := read.Decode(&note); err != nil {
			t.Fatalf("after %d, of which %d were missed: %v", seen, missed, err)
		}
		p := note.Params
		if last != 0 && p.Seq != last+1+p.Missed {
			t.Fatalf("%d follows %d, and %d are said to be missing", p.Seq, last, p.Missed)
		}
		last, missed, seen = p.Seq, missed+p.Missed, seen+1
		if missed > 0 {
			break
		}
		if seen > 1000 && !told { // the buffers have room: this one comes after the gap
			told = true
			b.mustCall("service.start", named{"name": "goal"}, nil)
		}
	}
	t.Logf("%d were read, %d were missed", seen, missed)
	return true
}
