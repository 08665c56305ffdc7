package spec

import (
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"zinit/graph"
)

func good(t *testing.T, file string) *Spec {
	t.Helper()
	s, problems := Parse(file, services(t, "good")[file], User)
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

func TestEveryKeyArrivesWhereItBelongs(t *testing.T) {
	s := good(t, "web.toml")
	want := &Spec{
		Name: "web", Description: "The public site",
		Exec: Command{Line: "/usr/bin/web --port 8080 --title 'Hello, world'", Argv: []string{"/usr/bin/web", "--port", "8080", "--title", "Hello, world"}},
		Dir:  "/srv/web", Env: []string{"GREETING=good day", "PORT=8080"},
		EnvFiles: []EnvFile{{"/etc/default/web", false}, {"/etc/default/web.local", true}},
		User:     "www", Group: "www", Groups: []string{"ssl-cert", "44"}, Umask: 0o027,
		Ready: Ready{FD, 3},
		Limits: []Limit{
			{unix.RLIMIT_CORE, 0, KeepHard}, {unix.RLIMIT_NOFILE, 1024, 4096},
			{unix.RLIMIT_MEMLOCK, unlimited, unlimited}, {unix.RLIMIT_AS, 2 << 30, KeepHard},
		},
		Deps: []graph.Dep{
			{Name: "db", Kind: graph.Requires, Line: 22}, {Name: "cache", Kind: graph.Wants, Line: 23},
			{Name: "cache", Kind: graph.After, Line: 25}, {Name: "net", Kind: graph.After, Line: 26},
			{Name: "monitor", Kind: graph.Before, Line: 28}, {Name: "apache", Kind: graph.Conflicts, Line: 29},
		},
		Restart: Always, RestartDelay: 500 * time.Millisecond, RestartDelayMax: time.Minute,
		StartTimeout: 5 * time.Second, StopTimeout: 2 * time.Second, StopSignal: syscall.SIGQUIT, SuccessCodes: []int{3, 143},
		BufferLines: 5000, BufferBytes: 1 << 20,
	}
	got := *s
	lines, _ := parseLines(s.Source)
	if got.File != "web.toml" || !got.Named || lines["service.exec"] != 5 || lines["limits"] != 15 || lines["limits.as"] != 18 {
		t.Errorf("read from %q, named %t, lines %v", got.File, got.Named, lines)
	}
	got.File, got.Source, got.Named = "", nil, false
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAFileThatSaysLittleHasTheDefaults(t *testing.T) {
	s := good(t, "minimal.toml")
	want := &Spec{
		Name: "minimal", Exec: Command{Line: "sleep 5", Argv: []string{"sleep", "5"}}, Dir: "/", Umask: -1,
		RestartDelay: time.Second, RestartDelayMax: 5 * time.Minute, MaxRestarts: 10, StabilityPeriod: 30 * time.Second,
		StartTimeout: 30 * time.Second, StopTimeout: 10 * time.Second, StopSignal: syscall.SIGTERM,
		BufferLines: 1000, BufferBytes: 256 << 10,
		File: s.File, Source: s.Source,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAOneshotHasNoStartTimeoutUnlessItsFileSetsOne(t *testing.T) {
	if got := good(t, "oneshot.toml").StartTimeout; got != 0 {
		t.Errorf("got %v", got)
	}
	if got := good(t, "oneshot-bounded.toml").StartTimeout; got != 10*time.Minute {
		t.Errorf("got %v", got)
	}
}

func TestASystemDirectoryMakesEverythingSystem(t *testing.T) {
	for text, warned := range map[string]bool{"": false, "class = \"system\"\n": false, "class = \"user\"\n": true} {
		s, problems := Parse("a.toml", []byte("[service]\nexec = \"a\"\n"+text), System)
		if s == nil || s.Class != System || (len(problems) == 1) != warned {
			t.Errorf("%q: %+v, %v", text, s, problems)
		}
	}
}

func TestSameMeansTheSameService(t *testing.T) {
	parse := func(text string) *Spec {
		s, problems := Parse("web.toml", []byte(text), User)
		if s == nil {
			t.Fatal(problems)
		}
		return s
	}
	base := parse("[service]\nexec = \"a 'b c'\"\nenv = {A=\"1\", B=\"2\"}\n[dependencies]\nrequires=[\"x\"]\nafter=[\"y\",\"z\"]\n")
	for _, text := range []string{
		"# comment\n[dependencies]\nafter=[\"z\",\n\"y\"]\nrequires=[\"x\"]\n[service]\nname=\"web\"\nenv = {B=\"2\", A=\"1\"}\nexec = [\"a\", \"b c\"]\n",
		"[service]\nexec = \"a   'b c' \"\nenv = {A=\"1\", B=\"2\"}\ndir=\"/\"\nstatus=\"start\"\n[dependencies]\nrequires=[\"x\"]\nafter=[\"y\",\"z\"]\n[lifecycle]\nmax_restarts=10\n[logging]\nbuffer_bytes=\"256KiB\"",
	} {
		if o := parse(text); !base.Same(o) || !o.Same(base) {
			t.Errorf("not the same:\n%s", text)
		}
	}
	for _, text := range []string{
		"[service]\nexec = \"a b c\"\nenv = {A=\"1\", B=\"2\"}\n[dependencies]\nrequires=[\"x\"]\nafter=[\"y\",\"z\"]\n",
		"[service]\nexec = \"a 'b c'\"\nenv = {A=\"1\"}\n[dependencies]\nrequires=[\"x\"]\nafter=[\"y\",\"z\"]\n",
		"[service]\nexec = \"a 'b c'\"\nenv = {A=\"1\", B=\"2\"}\n[dependencies]\nwants=[\"x\"]\nafter=[\"y\",\"z\"]\n",
	} {
		if base.Same(parse(text)) {
			t.Errorf("the same:\n%s", text)
		}
	}
	if base.Same(nil) || !(*Spec)(nil).Same(nil) {
		t.Error("nil is the same as something")
	}
}

// Every field of Spec that a file can set must count for Same, so that a reload
// cannot overlook a change; also those of the structs within.
func TestSameLooksAtEveryField(t *testing.T) {
	blind := map[string]bool{"File": true, "Source": true, "Named": true, "Warned": true, "Health.Target": true}
	base := *good(t, "web.toml")
	base.Health = &HealthCheck{Type: HealthExec}
	for _, path := range leavesOf(reflect.TypeFor[Spec](), nil) {
		o := base
		v, name := reflect.ValueOf(&o).Elem(), ""
		for _, i := range path {
			if v.Kind() == reflect.Pointer {
				own := reflect.New(v.Type().Elem())
				own.Elem().Set(v.Elem())
				v.Set(own)
				v = own.Elem()
			}
			name += "." + v.Type().Field(i).Name
			v = v.Field(i)
		}
		change(v)
		name = name[1:]
		// How a command is written does not count, unless the shell reads it.
		if same := blind[name] || strings.HasSuffix(name, "Exec.Line"); base.Same(&o) != same {
			t.Errorf("%s: a change makes Same %v", name, !same)
		}
	}
}

// leavesOf lists the ways to all fields that are no structs.
func leavesOf(kind reflect.Type, to []int) (list [][]int) {
	if kind.Kind() == reflect.Pointer && kind.Elem().Kind() == reflect.Struct {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct {
		return [][]int{to}
	}
	for i := range kind.NumField() {
		list = append(list, leavesOf(kind.Field(i).Type, append(to[:len(to):len(to)], i))...)
	}
	return list
}

// change makes a value another one.
func change(v reflect.Value) {
	switch {
	case !v.IsZero():
		v.SetZero()
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.CanFloat():
		v.SetFloat(1.5)
	case v.CanUint():
		v.SetUint(1)
	default:
		v.SetInt(7)
	}
}

func TestMessagesReachNoTerminalWithControlCharacters(t *testing.T) {
	evil := "\x1b[31m\u202e\u0007"
	src := fmt.Sprintf("[service]\n%[1]q = 1\nname = %[1]q\nexec = \"a\"\nstatus = %[1]q\nenv = { %[1]q = 1 }\n[%[1]q]\n", evil)
	src = strings.NewReplacer(`\x1b`, `\u001b`, `\a`, `\u0007`).Replace(src)
	_, problems := Parse("a\x1b.toml", []byte(src), User)
	if len(problems) < 5 {
		t.Errorf("only %v", problems)
	}
	for _, p := range problems {
		for _, line := range strings.Split(p.Error(), "\n") {
			if printable(line) != line {
				t.Errorf("%q would reach a terminal", line)
			}
		}
	}
}

func TestAFileOfAnySizeIsJudgedInBoundedWork(t *testing.T) {
	nest := strings.Repeat("[", 100_000)
	for what, src := range map[string]string{
		"keys":   "[service]\nexec=\"a\"\n" + strings.Repeat("k = 1\n", 100_000),
		"tables": strings.Repeat("[t]\n", 200_000),
		"broken": strings.Repeat("= \n", 300_000),
		"names":  manyKeys(120_000),
		"nested": "[service]\nexec = " + nest,
		"tower":  "[service]\nexec = " + nest[:9000] + strings.Repeat("]", 9000),
		"inline": "[service]\nenv = " + strings.Repeat("{a=", 100_000),
		"quotes": "[service]\nexec = \"" + strings.Repeat("'", 1<<19) + "\"",
		"huge":   strings.Repeat("#", maxFile+1),
		"mine":   "[x-mine]\n" + manyKeys(120_000)[10:],
	} {
		began := time.Now()
		s, problems := Parse("a.toml", []byte(src), User)
		if took := time.Since(began); s != nil || len(problems) == 0 || len(problems) > maxProblems+1 || took > 5*time.Second {
			t.Errorf("%s: %v, %d problems, took %v", what, s, len(problems), took)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString("[service]\n")
	for i := range n {
		fmt.Fprintf(&b, "k%d=1\n", i)
	}
	return b.String()[:min(b.Len(), maxFile)]
}

// lines that make files which are nearly right.
var lines = []string{
	"[service]", "[service.env]", "[target]", "[limits]", "[dependencies]", "[lifecycle]", "[logging]", "[health]", "[x-a]", "[x-a.b]", "[[x-l]]",
	`exec = "a"`, `exec = ["a", "b"]`, `name = "n"`, `env = { A = "1" }`, `env.A = "1"`, `A = "1"`, "nofile = 5", `requires = ["b"]`,
	"oneshot = true", "a.b.c = 1", "a.b = 2", "a = {b = 1}", "restart = \"always\"", "max_restarts = 3", "k = [1, {a = 1}, {a = 2, a = 3}]", "[a.b]",
	"# comment", "", "critical = false", "service.exec = \"b\"", "[x-a.b.c]", "service = {}",
}

// What TOML forbids is never accepted: go-toml's own decoder is the twin.
func TestNothingIsAcceptedThatIsNotTOML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 14).Draw(t, "lines"), "\n"))
		s, problems := Parse("a.toml", src, User)
		var twin map[string]any
		if err := toml.Unmarshal(src, &twin); err != nil && s != nil {
			t.Fatalf("accepted, but %v:\n%s", err, src)
		} else if err == nil {
			for _, p := range problems {
				if strings.Contains(p.Msg, "not TOML") || strings.HasSuffix(p.Msg, "is given twice") || strings.Contains(p.Msg, "already a key") {
					t.Fatalf("go-toml takes it, but %v:\n%s", p, src)
				}
			}
		}
		again, problemsAgain := Parse("a.toml", src, User)
		if !reflect.DeepEqual(s, again) || !reflect.DeepEqual(problems, problemsAgain) {
			t.Fatalf("read twice, understood differently:\n%s", src)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, kind := range []string{"good", "bad"} {
		for _, src := range services(f, kind) {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s, problems := Parse("fuzz.toml", src, User)
		if (s == nil) != Failed(problems) || len(problems) > maxProblems+1 {
			t.Fatalf("%v with %v", s, problems)
		}
		for _, p := range problems {
			if strings.Count(p.Error(), "\n") > 1 || printable(strings.Replace(p.Error(), "\n", "", 1)) != strings.Replace(p.Error(), "\n", "", 1) {
				t.Errorf("%q would reach a terminal", p.Error())
			}
		}
		if s == nil {
			return
		}
		if CheckName(s.Name) != nil || !s.Target && len(s.Exec.Argv) == 0 {
			t.Errorf("accepted %+v", s)
		}
		var twin map[string]any
		if err := toml.Unmarshal([]byte(strings.TrimPrefix(string(src), "\ufeff")), &twin); err != nil {
			t.Errorf("accepted, but %v", err)
		}
	})
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add([]byte("A=1\nexport B='x y'\n# c\nC=\"a\\\"b\"\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		vars, err := ParseEnvFile("/e", src)
		seen := map[string]bool{}
		for _, v := range vars {
			key, _, ok := strings.Cut(v, "=")
			if !ok || !isVariable(key) || seen[key] || strings.IndexByte(v, 0) >= 0 || err != nil {
				t.Errorf("%q among %q, %v", v, vars, err)
			}
			seen[key] = true
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"minimal.toml", "v03.toml", "web.toml"} {
		src := services(b, "good")[file]
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s, _ := Parse(file, src, User); s == nil {
					b.Fatal("broken")
				}
			}
		})
	}
}
