package applets_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// joined puts log lines together to the bytes that were written.
func joined(lines []logLine, stream string) []byte {
	var b []byte
	for _, l := range lines {
		if l.Stream != stream {
			continue
		}
		if len(l.Bytes) > 0 {
			b = append(b, l.Bytes...)
		} else {
			b = append(b, l.Content...)
		}
		if !l.Partial {
			b = append(b, '\n')
		}
	}
	return b
}

// Scenario 103: any byte comes back as it was written. The pattern is printed
// once by the witness alone and once by the witness as a service.
func TestScenario103ArbitraryBytesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	patterns := []string{"all256", "crlf", "escape", "utf8", "partial"}
	for _, p := range patterns {
		b.service(p, fmt.Sprintf("[service]\nexec = \"wit -raw %s -exit 0\"\noneshot = true\n", p))
	}
	b.serve()
	for _, p := range patterns {
		b.awaitState(p, "exited")
		want, err := exec.Command(filepath.Join(built, "wit"), "-raw", p, "-exit", "0").Output()
		if err != nil {
			t.Fatal(err)
		}
		var lines []logLine
		b.mustCall("logs.tail", named{"name": p, "lines": 1000}, &lines)
		if got := joined(lines, "stdout"); !bytes.Equal(got, want) {
			t.Errorf("%s: wrote %q\ngot %q", p, want, got)
		}
		if errs := joined(lines, "stderr"); len(errs) > 0 {
			t.Errorf("%s: the witness complains: %s", p, errs)
		}
	}
}
