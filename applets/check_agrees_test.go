package applets_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Scenario 125: `zinit check` and the server say the same of 5000 service files,
// good and bad, in three directories: the same names are accepted, and the same
// errors are told of the same file, line and key.
func TestScenario125CheckSaysWhatTheServerSays(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	g := generator{rand.New(rand.NewPCG(125, 5000))}
	for i := range 5000 {
		g.write(b, i)
	}
	out, errs, code := b.zinit("check", b.etc, "--json")
	var v struct {
		OK       bool     `json:"ok"`
		Services []string `json:"services"`
		Problems []struct {
			File    string `json:"file"`
			Line    int    `json:"line"`
			Column  int    `json:"column"`
			Key     string `json:"key"`
			Message string `json:"message"`
			Hint    string `json:"hint"`
			Warning bool   `json:"warning"`
		} `json:"problems"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 1 || v.OK {
		t.Fatalf("check ended with %d: %v\n%s", code, err, errs)
	}
	var said, warned []string
	for _, p := range v.Problems {
		text := p.File
		if p.Line > 0 {
			text += fmt.Sprintf(":%d", p.Line)
		}
		if p.Column > 0 {
			text += fmt.Sprintf(":%d", p.Column)
		}
		text += ": "
		if p.Warning {
			text += "warning: "
		}
		if p.Key != "" {
			text += p.Key + ": "
		}
		text += p.Message
		if p.Warning {
			warned = append(warned, text)
			continue
		}
		if p.Hint != "" {
			text += "\n  " + p.Hint
		}
		said = append(said, text)
	}
	if len(v.Services) < 1000 || len(said) < 1000 || len(warned) < 100 {
		t.Fatalf("%d services, %d errors and %d warnings are too few to tell anything", len(v.Services), len(said), len(warned))
	}

	b.serve()
	var r struct {
		ConfigErrors [][2]string `json:"config_errors"`
		Unchanged    int         `json:"unchanged"`
	}
	b.mustCall("system.reload", map[string]any{"dry_run": true}, &r)
	var told []string
	for _, e := range r.ConfigErrors {
		told = append(told, e[1])
	}
	sameLines(t, "errors", said, told)
	if r.Unchanged != len(v.Services) {
		t.Errorf("check accepts %d services, the server %d", len(v.Services), r.Unchanged)
	}
	var list []struct {
		Name  string `json:"name"`
		Cause string `json:"reason"`
	}
	b.mustCall("service.list_full", nil, &list)
	var accepted []string
	for _, s := range list {
		if !strings.Contains(s.Cause, "left out") {
			accepted = append(accepted, s.Name)
		}
	}
	sameLines(t, "names", v.Services, accepted)
	g.sampleWarnings(t, b, v.Services, warned)
}

// sampleWarnings compares the warnings of some services, which the server tells
// one service at a time.
func (g generator) sampleWarnings(t *testing.T, b *bed, names, warned []string) {
	t.Helper()
	found := 0
	for range 100 {
		var f struct {
			File     string   `json:"file"`
			Warnings []string `json:"warnings"`
		}
		name := names[g.IntN(len(names))]
		b.mustCall("service.status_full", map[string]string{"name": name}, &f)
		var want []string
		for _, w := range warned {
			if strings.HasPrefix(w, f.File+":") {
				want = append(want, w)
			}
		}
		sameLines(t, "warnings of "+name, want, f.Warnings)
		found += len(want)
	}
	if found == 0 {
		t.Error("no service of the sample has a warning")
	}
}

// sameLines demands the same texts, in any order.
func sameLines(t *testing.T, what string, check, server []string) {
	t.Helper()
	check, server = slices.Sorted(slices.Values(check)), slices.Sorted(slices.Values(server))
	for i := range max(len(check), len(server)) {
		c, s := "nothing", "nothing"
		if i < len(check) {
			c = check[i]
		}
		if i < len(server) {
			s = server[i]
		}
		if c != s {
			t.Fatalf("%s: %d of check, %d of the server; the first that differ:\n%s\n%s", what, len(check), len(server), c, s)
		}
	}
}

// generator writes service files that are right, wrong, and wrong together.
type generator struct{ *rand.Rand }

func (g generator) pick(list []string) string { return list[g.IntN(len(list))] }

var (
	rightKeys = []string{
		"dir = \"/\"", "oneshot = true", "user = \"0\"", "umask = \"022\"", "nice = 5", "env = { A = \"b\" }",
		"[lifecycle]\nrestart = \"never\"", "[lifecycle]\nmax_restarts = 3\nstop_signal = \"INT\"", "[logging]\nbuffer_lines = 5",
		"[health]\ntype = \"tcp\"\ntarget = \"localhost:80\"", "[x-note]\nby = 'us'",
	}
	wrongKeys = []string{
		"usr = \"nobody\"", "User = \"nobody\"", "user = \"\"", "user = 7.5", "user = \"a\\u0007\"", "nice = 99", "nice = \"5\"", "oneshot = \"yes\"",
		"dir = \"var\"", "dir = [", "umask = \"9\"", "exec = \"again\"", "env = { \"\" = \"b\" }", "ready = \"fd:x\"", "[lifecycle]\nrestart = \"allways\"",
		"[lifecycle]\nstop_signal = \"SIGNOPE\"", "[lifecycle]\nmax_restarts = -1", "[livecycle]\nrestart = \"never\"", "[health]\ntype = \"tcp\"",
		"[service]\ndir = \"/\"", "=", "\"", "a.b.c = 1", "[resources]\nmemory_max = \"many\"", "[dependencies]\nrequires = \"x y\"", "[dependencies]\nafter = [1]",
	}
	edges = []string{"requires", "binds_to", "wants", "after", "before", "conflicts"}
)

// write writes file number i.
func (g generator) write(b *bed, i int) {
	name := fmt.Sprintf("s%04d", i)
	var text strings.Builder
	text.WriteString("[service]\nstatus = \"stop\"\n")
	if g.IntN(30) > 0 {
		fmt.Fprintf(&text, "exec = %q\n", "true "+name)
	}
	if g.IntN(20) == 0 {
		fmt.Fprintf(&text, "name = \"s%04d\"\n", g.IntN(5000))
	}
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		text.WriteString(g.pick(rightKeys) + "\n")
	case 4, 5:
		text.WriteString(g.pick(wrongKeys) + "\n")
	case 6:
		text.WriteString(g.pick(wrongKeys) + "\n" + g.pick(wrongKeys) + "\n")
	case 7: // to others, and to some that nobody defines; now and then a cycle
		fmt.Fprintf(&text, "[dependencies]\n%s = [\"s%04d\", \"s%04d\"]\n", g.pick(edges), g.IntN(5100), g.IntN(5100))
	}
	all := text.String()
	switch g.IntN(40) {
	case 0:
		all = strings.ReplaceAll(all, "\n", "\r\n")
	case 1:
		all = "\ufeff" + all
	case 2: // a byte too many, one too few, one exchanged
		at := g.IntN(len(all))
		all = all[:at] + string([]byte{byte(g.IntN(256))}) + all[min(len(all), at+g.IntN(3)):]
	case 3:
		all = all[:g.IntN(len(all))]
	case 4:
		all = "[target]\n[dependencies]\n" + g.pick(edges) + " = [\"" + name + "\"]\n"
	}
	b.write(filepath.Join(g.pick([]string{"services", "services", "services", "targets"}), name+".toml"), all)
}
