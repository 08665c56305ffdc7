package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A stray is ours when its environment says so and nobody else can have given it
// that: the services of a container inside of a machine bear the same names and
// runs.
func TestWhoseStrayAProcessIs(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	lay := func(pid, space, environ string) {
		dir := filepath.Join(proc, pid, "ns")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("pid:["+space+"]", filepath.Join(dir, "pid")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "environ"), []byte(environ), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const web = "A=1\x00ZINIT_SERVICE=web\x00ZINIT_RUN=3\x00"
	lay("self", "1", "")
	lay("10", "1", web)
	lay("11", "2", web) // in a container
	lay("12", "1", web+"ZINIT_SOCKET=/s\x00")
	lay("13", "2", web+"ZINIT_SOCKET=/s\x00")
	for socket, ours := range map[string][]int{"": {10}, "/s": {12, 13}} {
		s := New(Options{Proc: proc, Socket: socket}, nil, &quiet{})
		var found []int
		for pid := 10; pid <= 14; pid++ {
			if s.bears(pid, deadRun{name: "web", run: 3}) {
				found = append(found, pid)
			}
			if s.bears(pid, deadRun{name: "web", run: 2}) || s.bears(pid, deadRun{name: "we", run: 3}) {
				t.Errorf("pid %d is of another run too", pid)
			}
		}
		if fmt.Sprint(found) != fmt.Sprint(ours) {
			t.Errorf("with socket %q: %v, want %v", socket, found, ours)
		}
	}
}
