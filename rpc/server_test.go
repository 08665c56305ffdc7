package rpc

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The document is made of the table that dispatches, so it cannot be wrong.
func TestDiscoverDescribesTheTable(t *testing.T) {
	t.Parallel()
	_, path := begin(t, table(), Options{Policy: mine(), Version: "1.2"}, nil)
	var doc struct {
		OpenRPC string
		Info    struct{ Title, Version string }
		Methods []struct {
			Name   string
			Params []struct {
				Name     string
				Required bool
				Schema   map[string]string
			}
			Result *struct{ Name string }
		}
	}
	if err := dial(t, path).Call(t.Context(), "rpc.discover", nil, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenRPC == "" || doc.Info.Title != "zinit" || doc.Info.Version != "1.2" {
		t.Errorf("head is %q, %+v", doc.OpenRPC, doc.Info)
	}
	want := []string{"rpc.discover", "rpc.unsubscribe"}
	for _, m := range table() {
		want = append(want, m.Name)
	}
	slices.Sort(want)
	var got []string
	for _, m := range doc.Methods {
		got = append(got, m.Name)
		if m.Result == nil || m.Params == nil {
			t.Errorf("%s has no result or no list of parameters", m.Name)
		}
		if m.Name == "need" && (len(m.Params) != 1 || !m.Params[0].Required || m.Params[0].Schema["type"] != "string") {
			t.Errorf("need takes %+v", m.Params)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("methods are %q, want %q", got, want)
	}
}

// A bug in a method is told in zinit's own log, line by line, and not to the
// caller.
func TestABugIsLoggedLineByLine(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	log := func(l string) { mu.Lock(); defer mu.Unlock(); lines = append(lines, l) }
	_, path := begin(t, table(), Options{Policy: mine(), Log: log}, nil)
	err := dial(t, path).Call(t.Context(), "panic", nil, nil)
	if b, _ := json.Marshal(err); err == nil || strings.Contains(string(b), "bug") || strings.Contains(string(b), ".go") {
		t.Errorf("the caller is told %s", b)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(lines) < 5 || lines[0] != "bug in the rpc method panic: a bug" {
		t.Errorf("the log is %q", lines)
	}
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "\n") }); i >= 0 {
		t.Errorf("not one line: %q", lines[i])
	}
}
