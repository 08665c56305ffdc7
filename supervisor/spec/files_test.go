package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the .want files of testdata/services anew; read the difference before committing")

// services returns the sample files of one kind. Their base name stands for
// the file in messages.
func services(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/services/" + kind + "/*.toml")
	if err != nil || len(paths) < 12 {
		t.Fatalf("found %d files in testdata/services/%s: %v", len(paths), kind, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestGoodFilesLoadWithoutAWord(t *testing.T) {
	for file, src := range services(t, "good") {
		s, problems := Parse(file, src, User)
		for _, p := range problems {
			t.Errorf("%v", p)
		}
		if s != nil && s.Name != strings.TrimSuffix(file, ".toml") {
			t.Errorf("%s: name %q", file, s.Name)
		}
	}
}

// Beside each bad file NAME.toml stands NAME.want with what is said of it, to
// the letter.
func TestEachMistakeIsToldToTheLetter(t *testing.T) {
	for file, src := range services(t, "bad") {
		t.Run(file, func(t *testing.T) {
			s, problems := Parse(file, src, User)
			var said strings.Builder
			for _, p := range problems {
				said.WriteString(p.Error() + "\n")
			}
			if (s == nil) != Failed(problems) {
				t.Errorf("a spec comes with errors, or none comes without")
			}
			golden := "../../testdata/services/bad/" + strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(said.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if said.String() != string(want) {
				t.Errorf("said\n%swant\n%s", said.String(), want)
			}
			if len(problems) == 0 {
				t.Error("nothing was said")
			}
		})
	}
}
