package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIdleKeeperNeverWakes(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.do(order{Op: "ready"})
	sleeper := run(1, "exec sleep 1000")
	sleeper.Tag = "sleeper"
	s.alive(sleeper)
	s.drill(100, 100, truth())
	var quiet time.Time
	last := ""
	waitUntil(t, "two seconds without a switch of context", func() bool {
		if now := w.switches(); now != last {
			last, quiet = now, time.Now()
		}
		return time.Since(quiet) > 2*time.Second
	})
	s.end(0)
}

// The end of a child wakes the reaper, and no thread for a signal besides.
func TestNoThreadOfTheKeeperWakesForSIGCHLD(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.alive(run(1, "exec sleep 1000")) // it keeps by now
	var set uint64
	if _, err := fmt.Sscanf(w.status("SigCgt:"), "%x", &set); err != nil {
		t.Fatal(err)
	}
	for sig, want := range map[unix.Signal]bool{unix.SIGCHLD: false, unix.SIGTERM: true} {
		if got := set&(1<<(sig-1)) != 0; got != want {
			t.Errorf("%v is caught: %t, want %t", sig, got, want)
		}
	}
	s.end(0)
}

func TestIdleKeeperIsSmall(t *testing.T) {
	const most = 2 << 10
	w := newWorld(t)
	s := w.server().ready()
	sleeper := run(1, "exec sleep 1000")
	sleeper.Tag = "sleeper"
	s.alive(sleeper)
	fresh := w.rssAnon()
	s.drill(300, 100, truth())
	var used int
	waitUntil(t, "the keeper to give memory back", func() bool { used = w.rssAnon(); return used < fresh+memoryVaries })
	t.Logf("the keeper has %d KiB of its own, %d after 300 spawns", fresh, used)
	if fresh > most {
		t.Errorf("the keeper has %d KiB of its own, want at most %d", fresh, most)
	}
	s.end(0)
}

// DESIGN §2: the keeper is as small with a thousand runs as with one.
func TestKeeperIsSmallWithAThousandRuns(t *testing.T) {
	const runs, most = 1000, 2<<10 + 384 // 2 MiB, and what a test binary brings
	w := newWorld(t)
	s := w.server().ready()
	before := w.rssAnon()
	sleeper := Spawn{Run: 1, Paths: []string{"/bin/sleep", "/usr/bin/sleep"}, Argv: []string{"sleep", "1000"}, Umask: -1}
	for n := range runs {
		sleeper.Tag = fmt.Sprint("sleeper", n)
		s.spawn(sleeper)
	}
	for alive := 0; alive < runs; {
		switch ev := s.next2(); ev.Kind {
		case Execed:
			alive++
		case Busy:
			sleeper.Tag = ev.Tag
			s.spawn(sleeper)
		}
	}
	used := w.rssAnon()
	t.Logf("the keeper has %d KiB of its own, %d with %d runs", before, used, runs)
	if used > most {
		t.Errorf("with %d runs the keeper has %d KiB of its own, want at most %d", runs, used, most)
	}
	s.end(0)
}

// memoryVaries is by how much two keepers that did the same may differ, in
// KiB: the collector keeps its own notes for the largest heap and for each
// thread there was. Measured 480 to 760, more where the machine is loaded.
const memoryVaries = 1280

// rssAnon is how much memory of its own the keeper has, in KiB.
func (w *world) rssAnon() (kib int) {
	w.t.Helper()
	if _, err := fmt.Sscan(w.status("RssAnon:"), &kib); err != nil {
		w.t.Fatal(err)
	}
	return kib
}

// status returns what follows a field's name in the keeper's status. Source: proc(5).
func (w *world) status(field string) string {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field)
	return strings.TrimSpace(rest)
}

// switches says how often each thread of the keeper has run.
func (w *world) switches() string {
	dir := fmt.Sprintf("/proc/%d/task", w.cmd.Process.Pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, task := range list {
		text, _ := os.ReadFile(filepath.Join(dir, task.Name(), "status"))
		_, counts, _ := strings.Cut(string(text), "voluntary_ctxt_switches:")
		all.WriteString(task.Name() + counts)
	}
	return all.String()
}
