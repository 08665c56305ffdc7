// Package ring leaves tests out, loudly. A ring is a set of tests that need the
// same thing of the machine.
package ring

import (
	"fmt"
	"os"
	"testing"
)

// Skip ends a test that cannot run here: `make test` shows the reason and what
// would help at its end. Where CI is set nothing may be left out.
func Skip(t testing.TB, ring, why, help string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("ring %s cannot run here, and CI must not skip: %s\n  %s", ring, why, help)
	}
	if name := os.Getenv("ZINIT_SKIPPED"); name != "" {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			fmt.Fprintf(f, "ring %s: %s\n  %s\n", ring, why, help)
			f.Close()
		}
	}
	t.Skipf("ring %s: %s; %s", ring, why, help)
}
