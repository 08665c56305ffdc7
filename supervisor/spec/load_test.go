package spec

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that has the bytes it had is not parsed again, and one that has others
// is, though its size and its times are what they were.
func TestWhatIsKnownIsKnownByItsBytes(t *testing.T) {
	dir := t.TempDir()
	then := time.Unix(1_700_000_000, 0)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	load := func(known map[string]*Spec, class Class) map[string]*Spec {
		t.Helper()
		byFile := map[string]*Spec{}
		for _, s := range Load([]Root{{dir, class}}, true, known).Specs {
			byFile[s.File] = s
		}
		if len(byFile) != 2 {
			t.Fatalf("loaded are %v", byFile)
		}
		return byFile
	}
	write("same.toml", "[service]\nexec = \"one\"\n")
	write("other.toml", "[service]\nexec = \"one\"\n")
	first := load(nil, User)
	write("other.toml", "[service]\nexec = \"two\"\n")
	again := load(first, User)
	same, other := filepath.Join(dir, "same.toml"), filepath.Join(dir, "other.toml")
	if again[same] != first[same] {
		t.Error("the same bytes were parsed again")
	}
	if again[other].Exec.Line != "two" {
		t.Errorf("other bytes were not: %q", again[other].Exec.Line)
	}
	if system := load(first, System); system[same].Class != System {
		t.Error("what was read for another class was taken")
	}
}
