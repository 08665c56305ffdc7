package applets_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the shell's own completion offers, with a server and without one.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		skipRing(t, "shells", "there is no bash", "as root, run: apt-get install bash")
	}
	b := newBed(t)
	b.service("web", "[service]\nexec = \"wit\"\nstatus = \"stop\"\n")
	b.service("web-2", "[service]\nexec = \"wit\"\nstatus = \"stop\"\ndescription = \"},{\\\"name\\\":\\\"false\\\"\"\n")
	b.needs("db", "wit", "status = \"stop\"", "requires web")
	b.serve()
	file := filepath.Join(b.dir, "zinit.bash")
	if err := os.WriteFile(file, []byte(b.must("completion", "bash")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ typed, want string }{
		{"zinit st", "start start-all stats status stop stop-all"},
		{"zinit --socket " + b.sock + " pin", "ping"},
		{"zinit start ", "db web web-2"},
		{"zinit start web", "web web-2"},
		{"zinit --socket " + b.sock + " why d", "db"},
		{"zinit --socket /nowhere why d", ""},
		{"zinit stop --dr", "--dry-run"},
		{"zinit help st", "start start-all states stats status stop stop-all"},
		{"zinit completion ", "bash fish zsh"},
		{"zinit check etc/serv", "etc/services"},
		{"zinit ping ", ""},
		{"zinit debug-procs w", "web web-2"},
	} {
		script := `source "$1"; COMP_WORDS=($2); [[ $2 == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _zinit; printf '%s\n' "${COMPREPLY[@]}"`
		cmd := exec.Command(bash, "--norc", "-c", script, "bash", file, c.typed)
		cmd.Env, cmd.Dir = b.env, b.dir
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q offers %q, %v; want %q", c.typed, got, err, c.want)
		}
	}
}

// The other shells read what is made for them.
func TestCompletionsParse(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text := b.must("completion", shell)
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("there is no %s", shell)
			continue
		}
		cmd := exec.Command(path, "-n", "/dev/stdin")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
