package supervisor

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// heard is an Output that keeps zinit's own words.
type heard struct {
	quiet
	*strings.Builder
}

func (h heard) Write(text []byte) { h.Builder.Write(text) }

func TestTheLastWordsOfAServerAreShownOnce(t *testing.T) {
	fd, err := writeMemfd("stderr", []byte("panic: no\n\ngoroutine 1"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	h := heard{Builder: &strings.Builder{}}
	s := &Supervisor{logs: h}
	for range 2 {
		dup, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		s.showStderr([]int{dup})
	}
	const want = "error: the server before this one wrote 22 bytes to its standard error:\npanic: no\n\ngoroutine 1\n"
	if h.String() != want {
		t.Errorf("said %q, want %q", h.String(), want)
	}
}

func TestMuchOnStandardErrorIsCut(t *testing.T) {
	fd, err := writeMemfd("stderr", []byte(strings.Repeat("x", stderrMost+7)))
	if err != nil {
		t.Fatal(err)
	}
	h := heard{Builder: &strings.Builder{}}
	(&Supervisor{logs: h}).showStderr([]int{fd})
	if !strings.HasSuffix(h.String(), "x\nerror: ... and 7 bytes more\n") || h.Len() > stderrMost+200 {
		t.Errorf("said %d bytes, the last %q", h.Len(), h.String()[h.Len()-40:])
	}
}
