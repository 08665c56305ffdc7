package applets_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goList asks the go command about packages of the shipped program.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, errs.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// mayImport says which rooms of the house each may enter; a room stands for
// itself and those below it. What has no entry may enter none.
var mayImport = map[string][]string{
	"zinit":                    {"zinit/applets", "zinit/supervisor/keeper"},
	"zinit/applets":            {"zinit/applets", "zinit/supervisor", "zinit/graph", "zinit/rpc"},
	"zinit/supervisor":         {"zinit/supervisor", "zinit/graph"},
	"zinit/supervisor/spec":    {"zinit/graph"},
	"zinit/supervisor/journal": {"zinit/supervisor/bus"},
	"zinit/supervisor/logs":    {"zinit/supervisor/bus"},
	"zinit/supervisor/probe":   {"zinit/supervisor/bus"},
}

// roomOf is the entry of the table that holds for a package: all applets are
// one room, every other package is one.
func roomOf(pkg string) string {
	if strings.HasPrefix(pkg, "zinit/applets/") {
		return "zinit/applets"
	}
	return pkg
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		f := strings.Fields(line)
		for _, imp := range f[1:] {
			if imp != "zinit" && !strings.HasPrefix(imp, "zinit/") {
				continue
			}
			allowed := slices.ContainsFunc(mayImport[roomOf(f[0])], func(room string) bool {
				return imp == room || strings.HasPrefix(imp, room+"/")
			})
			if !allowed {
				t.Errorf("%s imports %s", f[0], imp)
			}
		}
	}
}

func TestTheBinaryHoldsNoForbiddenPackage(t *testing.T) {
	t.Parallel()
	for _, pkg := range goList(t, "-deps", ".") {
		switch pkg {
		case "os/exec", "net/http", "encoding/gob", "plugin", "runtime/cgo":
			t.Errorf("the binary holds %s", pkg)
		}
	}
}

func TestTheKeeperStandsOnTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	for _, pkg := range goList(t, "-deps", "./supervisor/keeper") {
		first, _, _ := strings.Cut(pkg, "/")
		foreign := strings.Contains(first, ".") || first == "zinit"
		if foreign && pkg != "zinit/supervisor/keeper" && pkg != "golang.org/x/sys/unix" {
			t.Errorf("the keeper depends on %s", pkg)
		}
		if pkg == "encoding/json" {
			t.Errorf("the keeper depends on %s", pkg)
		}
	}
}

// The shipped binary, built as make build does: static, and small.
func TestTheBinaryIsSmallAndStatic(t *testing.T) {
	t.Parallel()
	file := filepath.Join(built, "zinit-static")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 6_000_000 {
		t.Errorf("the binary has %d bytes; 6,000,000 are allowed", st.Size())
	}
	t.Logf("%d bytes", st.Size())
	tool, out := filepath.Join(built, "initramfs"), filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{{"-o", out, "-zinit", file}, {"-verify", out}} {
		if msg, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, msg)
		}
	}
}

// README's table of commands and the client know the same verbs.
func TestREADMEListsTheCommandsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	told := readmeVerbs(string(text))
	if len(told) < 10 {
		t.Fatalf("README's table of commands holds %q", told)
	}
	for _, verb := range told {
		if out, errs, code := b.zinit(verb, "--help"); code != 0 || !strings.Contains(out, verb) {
			t.Errorf("README lists %s; zinit %s --help ends with %d: %s", verb, verb, code, errs)
		}
	}
	help := b.must("help")
	known := regexp.MustCompile(`(?m)^ {2,}([a-z][a-z-]*)(?:,? [^ ]+)* {2,}`).FindAllStringSubmatch(help, -1)
	for _, m := range known {
		if !slices.Contains(told, m[1]) {
			t.Errorf("zinit help lists %s, README does not", m[1])
		}
	}
	if len(known) < 10 {
		t.Errorf("zinit help lists few commands:\n%s", help)
	}
}

// readmeVerbs are the first words in backquotes in the first column of the
// table below "## Commands".
func readmeVerbs(text string) []string {
	_, section, _ := strings.Cut(text, "\n## Commands\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var verbs []string
	quoted := regexp.MustCompile("`([a-z][a-z-]*)")
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		column, _, _ := strings.Cut(line[2:], "|")
		for _, m := range quoted.FindAllStringSubmatch(column, -1) {
			verbs = append(verbs, m[1])
		}
	}
	return verbs
}
