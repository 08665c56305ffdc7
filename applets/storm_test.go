package applets_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// storm is a zinit whose servers are killed, stopped and replaced at any
// moment, while services print, crash and wait, and clients ask. What is true
// is taken from the witness file, the tallies and /proc; what zinit says is
// compared with that afterwards.
type storm struct {
	*bed
	t      *testing.T
	cast   []role
	keeper int
	stop   chan struct{} // closed when the trouble is over
	work   sync.WaitGroup
	begin  time.Time

	mu     sync.Mutex
	faults map[string][]string // by row of the table
	rows   []row

	events   []transition // of the follower, who owns it until work is done
	acts     sync.Map     // name → *atomic.Int64: how often it was told to start
	killed   int
	stopped  int
	cut      atomic.Int64 // calls that a kill cut off and that were made again
	asked    atomic.Int64 // calls answered
	longest  atomic.Int64 // ns that a call waited for its answer
	samples  atomic.Int64
	commands atomic.Int64 // of the client's, run to their end
}

// row is a line of the table at the end.
type row struct {
	name  string
	value any
}

// stormKills is how many kills were asked for by ZINIT_STORM, which makes a
// storm a full one; else few.
func stormKills(few int) (kills int, whole bool) {
	if n, err := strconv.Atoi(os.Getenv("ZINIT_STORM")); err == nil && n > 0 {
		return n, true
	}
	return few, false
}

// newStorm lays a bed and starts zinit on this cast.
func newStorm(t *testing.T, cast []role) *storm {
	t.Helper()
	s := &storm{bed: newBed(t), t: t, cast: cast, stop: make(chan struct{}), faults: map[string][]string{}, begin: time.Now()}
	t.Cleanup(s.calm)
	if err := os.Mkdir(filepath.Join(s.dir, "tally"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("zinit.toml", "[logging]\ntotal_bytes = \"4GiB\"\n")
	for _, r := range cast {
		s.service(r.name, r.file(s.dir))
	}
	s.serve("--shutdown-timeout", "20s")
	var v version
	s.mustCall("system.version", nil, &v)
	s.keeper = v.KeeperPID
	return s
}

// calm ends the trouble, once, and waits for all that took part in it.
func (s *storm) calm() {
	if !closed(s.stop) {
		close(s.stop)
	}
	s.work.Wait()
}

// beside runs f until the trouble is over.
func (s *storm) beside(f func()) {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		f()
	}()
}

// pause waits, and reports false when the trouble is over.
func (s *storm) pause(d time.Duration) bool {
	select {
	case <-s.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// moment is what lies between two blows.
func moment() time.Duration {
	return 5*time.Millisecond + time.Duration(rand.Int64N(int64(495*time.Millisecond)))
}

// fault is something that must not happen; the test goes on, the table counts.
func (s *storm) fault(what, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[what] = append(s.faults[what], fmt.Sprintf(format, args...))
}

// must0 puts a count into the table that has to be 0.
func (s *storm) must0(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.faults[what]
	s.rows = append(s.rows, row{what, len(list)})
	if len(list) > 0 {
		s.t.Errorf("%s: %d\n  %s", what, len(list), strings.Join(list[:min(len(list), 10)], "\n  "))
	}
}

func (s *storm) tellRow(what string, value any) { s.rows = append(s.rows, row{what, value}) }

// table prints what was counted.
func (s *storm) table(title string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %v\n", title, time.Since(s.begin).Round(100*time.Millisecond))
	for _, r := range s.rows {
		fmt.Fprintf(&b, "  %-38s %v\n", r.name, r.value)
	}
	s.t.Log(b.String())
}

// servers are the living servers of this keeper; more than one is a fault.
func (s *storm) servers() []proc {
	var found []proc
	for _, pid := range childrenOf(s.keeper) {
		p := processOf(pid)
		if !strings.Contains(p.cmdline(), " --keeper-fd ") || !p.alive() {
			continue
		}
		found = append(found, p)
	}
	if len(found) > 1 {
		s.fault("two servers at once", "%v", found)
	}
	return found
}

// childrenOf lists the children of a process, zombies too.
func childrenOf(pid int) []int {
	var all []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range lists {
		text, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(text)) {
			n, _ := strconv.Atoi(f)
			all = append(all, n)
		}
	}
	return all
}

// server waits for a living one, ready or not.
func (s *storm) server() proc {
	var p proc
	err := until(90*time.Second, "a server", func() error {
		if list := s.servers(); len(list) > 0 {
			p = list[0]
			return nil
		}
		return errors.New("there is none")
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// blow sends a signal to the server that lives now.
func (s *storm) blow(sig syscall.Signal) proc {
	p := s.server()
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Fatal(err)
	}
	return p
}

// kills ends n servers, each at a random moment of its life.
func (s *storm) kills(n int) {
	for i := range n {
		s.respite(i)
		s.pause(moment())
		s.blow(syscall.SIGKILL)
		s.killed++
	}
}

// respite lets one server of four live until it has answered. Where a machine is so
// busy that none gets that far within a moment, the keeper pauses and clients wait,
// as they should, but for minutes.
func (s *storm) respite(blow int) {
	if blow%4 != 0 {
		return
	}
	before := s.asked.Load()
	err := until(2*time.Minute, "an answer while nobody is killed", func() error {
		if s.asked.Load() == before {
			return errors.New("there is none")
		}
		return nil
	})
	if err != nil {
		s.fault("calls that failed", "%v", err)
	}
}

// finish ends the trouble, stops all services and judges.
func (s *storm) finish(title string) {
	s.calm()
	var names []string
	for _, r := range s.cast {
		names = append(names, r.name)
		if r.most > 0 { // a short storm may be over before it has given up
			s.await(r.name+" to give up", func() error {
				if f := s.full(r.name); f.Run <= uint64(r.most) || f.State.State != "failed" {
					return fmt.Errorf("run %d is %s", f.Run, f.State.State)
				}
				return nil
			})
		}
	}
	if err := s.ask("service.stop", named{"names": names, "wait": true, "token": title}, nil); err != nil {
		s.t.Fatalf("stop everything: %v", err)
	}
	s.catchUp()
	s.verdict()
	s.tellRow("servers killed", s.killed)
	if s.stopped > 0 {
		s.tellRow("servers stopped", s.stopped)
	}
	s.tellRow("calls answered", s.asked.Load())
	s.tellRow("commands run", s.commands.Load())
	s.tellRow("calls cut off and made again", s.cut.Load())
	s.tellRow("longest wait for an answer", time.Duration(s.longest.Load()).Round(time.Millisecond))
	s.tellRow("looks at /proc", s.samples.Load())
	s.table(title)
}

// Scenario 145, and the promise of the whole design: the server is killed
// again and again at any moment, and nothing is lost, repeated, refused or
// started twice (F71 too: no pipe dies with a server).
func TestStormOfKills(t *testing.T) {
	t.Parallel()
	notShort(t)
	kills, whole := stormKills(40)
	rate := 100
	if whole {
		rate = 1000
	}
	s := newStorm(t, fifty(rate))
	before := keeperCosts(s.keeper)
	s.watch()
	s.drive()
	s.kills(kills)
	after := keeperCosts(s.keeper)
	s.finish(fmt.Sprintf("storm of kills: %d services × 2 streams × %d lines/s", len(s.cast), rate))
	t.Logf("the keeper before: %+v, after: %+v", before, after)
}
