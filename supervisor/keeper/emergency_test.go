package keeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Servers that come to nothing bring somebody to the console, once as long as
// that lasts. What runs goes on, and a server that gets ready is told of both.
func TestServersThatFailAgainAndAgainAreAnEmergency(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: pauses grow to seconds before it is one")
	}
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	w := newWorld(t, "KEEPER_TEST_EMERGENCY="+mark)
	s := w.server()
	s.alive(run(1, "exec sleep 1000"))
	fail := w.file("fail")
	s.send(unix.SIGKILL)
	begun := func() int {
		text, _ := os.ReadFile(mark)
		return strings.Count(string(text), "\n")
	}
	lets(t, "the pauses to grow", 10*time.Second)
	waitUntil(t, "somebody to be asked", func() bool { return begun() > 0 })
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	n := w.server()
	var tags []string
	for _, ch := range n.welcome.Children {
		if ch.Phase == Execed {
			tags = append(tags, ch.Tag)
		}
	}
	if len(tags) != 2 || tags[1] != "emergency/x" {
		t.Errorf("the next server is told of %q", tags)
	}
	if begun() != 1 {
		t.Errorf("%d emergencies were opened", begun())
	}
	n.end(0)
}
