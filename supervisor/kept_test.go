package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"zinit/supervisor/spec"
)

// history is a history before it happens: service files, and steps one after the
// other. It has a text, in which histories that failed once are kept:
//
//	# what it is about
//	= NAME
//	the service file
//	- STEP WORD…
//	- reload
//	= NAME
//	its new file; without text the service is removed
type history struct {
	title string
	files files
	steps []step
}

// step is one thing that happens.
type step struct {
	verb  string
	args  []string
	files files // of a reload: what changes; an empty text removes
}

func (s step) arg(i int) string {
	if i < len(s.args) {
		return s.args[i]
	}
	return ""
}

func (s step) num(i int) int {
	n, _ := strconv.Atoi(s.arg(i))
	return n
}

func do(verb string, args ...any) step {
	s := step{verb: verb}
	for _, a := range args {
		s.args = append(s.args, fmt.Sprint(a))
	}
	return s
}

func (p *history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", p.title)
	write := func(f files) {
		for _, name := range sortedKeys(f) {
			fmt.Fprintf(&b, "= %s\n", name)
			if text := strings.TrimSpace(f[name]); text != "" {
				b.WriteString(text + "\n")
			}
		}
	}
	write(p.files)
	for _, s := range p.steps {
		b.WriteString("- " + strings.TrimSpace(s.verb+" "+strings.Join(s.args, " ")) + "\n")
		write(s.files)
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func readHistory(t tester, path string) *history {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := &history{files: files{}}
	at, name := p.files, ""
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "# "):
			p.title = strings.TrimSpace(p.title + " " + line[2:])
		case strings.HasPrefix(line, "= "):
			name = line[2:]
			at[name] = ""
			if len(p.steps) == 0 {
				at[name] = "\n" // a file that says nothing, not one that is gone
			}
		case strings.HasPrefix(line, "- "):
			words := strings.Fields(line[2:])
			at = files{}
			p.steps = append(p.steps, step{verb: words[0], args: words[1:], files: at})
		default:
			at[name] = strings.TrimPrefix(at[name], "\n") + line + "\n" // "[target]" must come first
		}
	}
	return p
}

// specs are parsed once for each text, as long as they fit here: nobody modifies
// a spec.
var specs struct {
	sync.Mutex
	known map[string]*spec.Spec
}

// configOf judges files as if they lay on disk.
func configOf(t tester, f files) *Config {
	loaded := &spec.Loaded{Broken: map[string]string{}}
	specs.Lock()
	defer specs.Unlock()
	if specs.known == nil || len(specs.known) > 300 {
		specs.known = map[string]*spec.Spec{}
	}
	for _, name := range sortedKeys(f) {
		text := name + "\n" + f[name]
		if f[name] == "" || name == own {
			continue
		}
		if specs.known[text] == nil {
			body := f[name]
			if !strings.HasPrefix(body, "[target]") {
				body = "[service]\nexec = \"/bin/" + name + "\"\n" + body
			}
			sp, problems := spec.Parse("/etc/zinit/services/"+name+".toml", []byte(body), spec.User)
			if sp == nil {
				if _, ok := t.(verdictOf); ok {
					panic(unreadable(name))
				}
				t.Fatalf("%s: %v\n%s", name, problems, body)
			}
			specs.known[text] = sp
		}
		loaded.Specs = append(loaded.Specs, specs.known[text])
	}
	c := judge(loaded)
	c.Settings.MaxParallelStarts, _ = strconv.Atoi(strings.TrimSpace(f[own]))
	return c
}

// own is the file of zinit's own settings, which here is max_parallel_starts.
const own = "zinit"
