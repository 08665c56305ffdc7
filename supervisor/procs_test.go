package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stat is a line of /proc/PID/stat.
func stat(pid int, comm string, parent, group, session int, cpu, start, pages int64) string {
	return fmt.Sprintf("%d (%s) S %d %d %d 0 -1 4194560 1 0 0 0 %d 1 2 3 20 0 1 0 %d 1000000 %d 18446744073709551615 1 1\n",
		pid, comm, parent, group, session, cpu, start, pages)
}

// table writes a /proc of these lines.
func procTable(t *testing.T, lines ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, l := range lines {
		pid, _, _ := strings.Cut(l, " ")
		if err := os.Mkdir(filepath.Join(root, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, pid, "stat"), []byte(l), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"self", "sys", "1x", "999"} { // 999 has ended while we look
		if err := os.Mkdir(filepath.Join(root, other), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A service may call itself what it likes, and so hide what stands after it.
func TestANameCannotForgeAProcess(t *testing.T) {
	t.Parallel()
	for _, comm := range []string{"web", "a b", ") R 1 1 1 (", "(((", ")))", "line\nbreak", ""} {
		p, ok := parseStat([]byte(stat(42, comm, 7, 8, 9, 5, 600, 3)))
		want := Process{PID: 42, Name: comm, ParentPID: 7, State: "S", group: 8, session: 9, CPUMS: 110, start: 6000, MemoryBytes: 3 * int64(os.Getpagesize())}
		if !ok || p != want {
			t.Errorf("%q: %+v, %v; want %+v", comm, p, ok, want)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", "x) (", "42 (x) S 1 2", "x (x) S 1 1 1 0 -1 1 1 0 0 0 5 1 2 3 20 0 1 0 600 1 3 1",
		"42 (x) S y 1 1 0 -1 1 1 0 0 0 5 1 2 3 20 0 1 0 600 1 3 1"} {
		if p, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat(42, "web", 7, 8, 9, 5, 600, 3)))
	f.Add([]byte("1 ()) S"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if p, ok := parseStat(src); ok && p.PID <= 0 {
			t.Errorf("%q: %+v", src, p)
		}
	})
}

// A family is the main process, its session, its group, and who descends from
// them, also where somebody made a session of his own.
func TestWhoBelongsToAService(t *testing.T) {
	t.Parallel()
	all, err := processes(procTable(t,
		stat(1, "zinit", 0, 1, 1, 0, 0, 1), stat(50, "zinit-server", 1, 50, 50, 0, 0, 1),
		stat(100, "web", 1, 100, 100, 10, 100, 10),
		stat(101, "worker", 100, 100, 100, 20, 200, 20),
		stat(102, "escaped", 101, 102, 102, 0, 200, 1), // setsid
		stat(103, "child", 102, 102, 102, 0, 200, 1),   // of the one that escaped
		stat(104, "orphan", 1, 100, 100, 0, 200, 1),    // its parent has ended
		stat(105, "grouped", 1, 105, 100, 0, 200, 1),   // a group of its own in the session
		stat(200, "other", 1, 200, 200, 0, 100, 1), stat(201, "worker", 200, 200, 200, 0, 200, 1)))
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	members := family(all, 100)
	for _, p := range members {
		got = append(got, p.PID)
	}
	if want := []int{100, 101, 102, 103, 104, 105}; !slices.Equal(got, want) {
		t.Errorf("family is %v, want %v", got, want)
	}
	for _, main := range []int{0, 1, 999, -1} {
		if f := family(all, main); f != nil {
			t.Errorf("%d has a family: %v", main, f)
		}
	}
	page := int64(os.Getpagesize())
	st, begun := usage(members, 100*procTick+3000)
	if st.Processes != 6 || st.MemoryBytes != 34*page || st.CPUMS != (10+20+6*6)*procTick || begun != 100*procTick {
		t.Errorf("usage is %+v", st)
	}
	want := `web
├─ 100 web (S, 40 KiB, cpu 0.16s)
│  └─ 101 worker (S, 80 KiB, cpu 0.26s)
│     └─ 102 escaped (S, 4 KiB, cpu 0.06s)
│        └─ 103 child (S, 4 KiB, cpu 0.06s)
├─ 104 orphan (S, 4 KiB, cpu 0.06s)
└─ 105 grouped (S, 4 KiB, cpu 0.06s)`
	if got := drawProcesses("web", members); page == 4096 && got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWithoutProcThereIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := processes(filepath.Join(t.TempDir(), "none")); err == nil || !strings.HasPrefix(err.Error(), "cannot look at processes: ") {
		t.Errorf("got %v", err)
	}
}

// Questions about processes, with invented ones: none of them is in /proc, and
// nothing real is taken for one of them.
func TestQuestionsAboutProcesses(t *testing.T) {
	t.Parallel()
	sm := newSim(t, files{"web": "status = \"stop\"\n[dependencies]\nrequires = [\"db\"]\n", "db": "status = \"stop\"\n"})
	st, err := sm.s.Stats("web")
	if err != nil || st.Name != "web" || st.PID != 0 || st.MemoryBytes != 0 || st.Processes != 0 {
		t.Errorf("stats: %+v, %v", st, err)
	}
	if all, err := sm.s.StatsAll(); err != nil || len(all) != 2 || all[0].Name != "db" || all[1].Name != "web" {
		t.Errorf("of all: %+v, %v", all, err)
	}
	if c, err := sm.s.Children("web"); err != nil || c.Children == nil || len(c.Children) != 0 {
		t.Errorf("children: %+v, %v", c, err)
	}
	if text, err := sm.s.ProcessTree("web"); err != nil || text != "web is not running" {
		t.Errorf("tree: %q, %v", text, err)
	}
	text, err := sm.s.DebugState()
	for _, want := range []string{"services: 2", "[-] web - inactive (run=0, wanted=false)", "requires db (inactive, satisfied=false)", "requires by web"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%q is not in %v\n%s", want, err, text)
		}
	}
	for _, ask := range []func(string) error{
		func(n string) error { _, err := sm.s.Stats(n); return err },
		func(n string) error { _, err := sm.s.Children(n); return err },
		func(n string) error { _, err := sm.s.ProcessTree(n); return err },
	} {
		if e, ok := ask("nobody").(*Error); !ok || e.Kind != NotFound {
			t.Errorf("of nobody: %v", e)
		}
	}
}

// The fields of a state are those of zinit 0.3, also when they are empty.
func TestEachStateHasItsFields(t *testing.T) {
	t.Parallel()
	one := 1
	for _, c := range []struct {
		s    State
		want string
	}{
		{State{State: "inactive"}, `{"state":"inactive"}`},
		{State{State: "running", PID: 7}, `{"state":"running","pid":7}`},
		{State{State: "running"}, `{"state":"running","pid":0}`}, // a target
		{State{State: "starting"}, `{"state":"starting","pid":0}`},
		{State{State: "stopping", PID: 7}, `{"state":"stopping","pid":7}`},
		{State{State: "exited"}, `{"state":"exited","exit_code":null}`},
		{State{State: "exited", ExitCode: &one}, `{"state":"exited","exit_code":1}`},
		{State{State: "blocked"}, `{"state":"blocked","waiting_on":[]}`},
		{State{State: "blocked", WaitingOn: []string{"db"}}, `{"state":"blocked","waiting_on":["db"]}`},
		{State{State: "failed", Reason: &Failure{Type: "signal", Signal: 9}}, `{"state":"failed","reason":{"type":"signal","signal":9}}`},
	} {
		b, err := json.Marshal(Info{State: c.s})
		if err != nil || !strings.Contains(string(b), `"state":`+c.want+`,"is_target"`) {
			t.Errorf("got %s, %v; want %s", b, err, c.want)
		}
		var back State
		if err := json.Unmarshal([]byte(c.want), &back); err != nil || back.State != c.s.State || back.PID != c.s.PID {
			t.Errorf("%s is read as %+v, %v", c.want, back, err)
		}
	}
}
