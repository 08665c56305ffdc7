package logs

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

func TestNothingIsMovedBeforeTheHolderAnswered(t *testing.T) {
	p, k := newPump(t)
	k.silent = true
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	o := &out{t, fds[1]}
	defer o.close()
	p.Attach("web", 1, Stdout, fds[0], "pipe/web/1/out")
	o.write("early\n")
	waitFor(t, "both files are offered", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.asked["log/web/data"] == 1 && p.asked["log/web/index"] == 1
	})
	over := p.Drain("web", 1)
	p.Held("log/web/data", nil)
	if n := pending(fds[0]); n != 6 {
		t.Errorf("%d bytes are left in the pipe with one file held, want all 6", n)
	}
	select {
	case <-over:
		t.Error("the drain is over before anything could be moved")
	default:
	}
	p.Held("log/web/index", nil)
	<-over
	if got := text(p.Tail("web", -1)); got != "out:early" {
		t.Errorf("after the answer there is %q", got)
	}
}

func TestRefusedHoldIsSaidOnceAndTriedAgain(t *testing.T) {
	p, k := newPump(t)
	k.mu.Lock()
	k.refuse["log/web/index"] = 2
	k.mu.Unlock()
	o := attach(t, p, "web", 1, Stdout)
	o.write("patience\n")
	waitText(t, p, "web", "out:patience")
	own := text(p.Tail(Own, -1))
	if n := strings.Count(own, "cannot keep the output of \"web\""); n != 1 {
		t.Errorf("said %d times, want once: %s", n, own)
	}
}

func TestServiceThatNeverPrintsHasNoStore(t *testing.T) {
	p, k := newPump(t)
	o := attach(t, p, "quiet", 1, Stdout)
	o.close()
	waitFor(t, "the end of its pipe", func() bool { return k.dropped("pipe/quiet/1/stdout") })
	if stores := p.choose((&Query{}).selects()); len(stores) != 0 {
		t.Errorf("there are %d stores", len(stores))
	}
}

func TestDrainMovesWhatWasThereBeforeItReturns(t *testing.T) {
	p, _ := newPump(t)
	for run := uint64(1); run <= 100; run++ {
		o, e := attach(t, p, "web", run, Stdout), attach(t, p, "web", run, Stderr)
		want := fmt.Sprintf("last words of %d", run)
		o.write(want + "\n")
		e.write("and\n")
		<-p.Drain("web", run)
		found := 0
		for _, l := range queried(p, Query{Services: []string{"web"}, Run: run}) {
			if string(l.Text) == want || string(l.Text) == "and" {
				found++
			}
		}
		if found != 2 {
			t.Fatalf("run %d: %d of 2 lines are there", run, found)
		}
		o.close()
		e.close()
	}
	<-p.Drain("nobody", 1)
}

func TestForgottenServiceIsNeverStoppedByItsPipe(t *testing.T) {
	p, k := newPump(t)
	o := attach(t, p, "web", 1, Stdout)
	o.write("old\n")
	waitText(t, p, "web", "out:old")
	p.Forget("web")
	if len(p.Tail("web", -1)) != 0 || !k.dropped("log/web/data") || !k.dropped("log/web/index") {
		t.Error("the store is still there")
	}
	o.write(strings.Repeat("leftover\n", 100_000)) // blocks for ever when nobody reads
	n := attach(t, p, "web", 2, Stdout)
	n.write("new\n")
	waitText(t, p, "web", "out:new")
	o.close()
	waitFor(t, "the old pipe's name is dropped", func() bool { return k.dropped("pipe/web/1/stdout") })
}

// An answer for the first store came after the second was made and made it
// look held.
func TestLateAnswerDoesNotCountForTheNextStore(t *testing.T) {
	p, k := newPump(t)
	k.silent = true
	one := attach(t, p, "web", 1, Stdout)
	one.write("a\n")
	offered := func(n int) func() bool {
		return func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.asked["log/web/index"] == n
		}
	}
	waitFor(t, "the first store is offered", offered(1))
	p.Forget("web")
	two := attach(t, p, "web", 2, Stdout)
	two.write("b\n")
	waitFor(t, "the second store is offered", offered(2))
	p.Held("log/web/data", nil)
	p.Held("log/web/index", nil)
	if isReady(p, "web") {
		t.Error("the second store counts as held by the first one's answer")
	}
	p.Held("log/web/data", nil)
	p.Held("log/web/index", nil)
	waitText(t, p, "web", "out:b")
}

func TestFloodDoesNotStarveOthers(t *testing.T) {
	p, _ := newPump(t)
	p.LimitTotal(1 << 30)
	flood := attach(t, p, "flood", 1, Stdout)
	calm := attach(t, p, "calm", 1, Stdout)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		chunk := strings.Repeat("flood flood flood\n", 3000)
		for {
			select {
			case <-stop:
				return
			default:
				flood.write(chunk)
			}
		}
	}()
	for i := range 50 {
		calm.write(fmt.Sprintf("%d\n", i))
		waitFor(t, "the calm line", func() bool {
			l := p.Tail("calm", 1)
			return len(l) == 1 && string(l[0].Text) == fmt.Sprint(i)
		})
	}
	close(stop)
	<-ended
}

func TestLargestStoreGivesWayFirst(t *testing.T) {
	p, _ := newPump(t)
	p.Configure("big", 1<<20)
	p.Configure("small", 1<<20)
	big, small := attach(t, p, "big", 1, Stdout), attach(t, p, "small", 1, Stdout)
	big.write(strings.Repeat("x\n", 300<<10))
	small.write(strings.Repeat("y\n", 20<<10))
	waitFor(t, "all is stored", func() bool {
		b, _ := p.Size("big")
		s, _ := p.Size("small")
		return b == 600<<10 && s == 40<<10
	})
	p.LimitTotal(300 << 10)
	kept, dropped := p.Size("big")
	if kept+dropped != 600<<10 || kept > 260<<10 || kept < 150<<10 {
		t.Errorf("big: kept %d, dropped %d", kept, dropped)
	}
	if kept, dropped := p.Size("small"); kept != 40<<10 || dropped != 0 {
		t.Errorf("small: kept %d, dropped %d; want all of it", kept, dropped)
	}
	if l := p.Tail("big", -1); l[0].Dropped != dropped {
		t.Errorf("the first line says %d are missing, want %d", l[0].Dropped, dropped)
	}
	p.LimitTotal(1) // can never be kept; must end all the same
}

func TestConfigureDropsAtOnceWhatIsOver(t *testing.T) {
	p, _ := newPump(t)
	o := attach(t, p, "web", 1, Stdout)
	o.write(strings.Repeat("0123456\n", 10_000))
	waitFor(t, "all is stored", func() bool { kept, _ := p.Size("web"); return kept == 80_000 })
	p.Configure("web", 8192)
	if kept, dropped := p.Size("web"); kept < 8192 || kept >= 8192+page() || kept+dropped != 80_000 {
		t.Errorf("kept %d, dropped %d", kept, dropped)
	}
}

func TestOwnWordsAreThereBeforeTheHolderAnswers(t *testing.T) {
	p, k := newPump(t)
	k.silent = true
	p.Write([]byte("hello"))
	p.Write([]byte("two\nlines\n"))
	if got := text(p.Tail(Own, -1)); got != "err:hello err:two err:lines" {
		t.Errorf("got %q", got)
	}
}

func TestSuccessorGoesOnWhereThePredecessorStopped(t *testing.T) {
	k := newKeeper(t)
	first, err := NewPump(k)
	if err != nil {
		t.Fatal(err)
	}
	k.p = first
	first.Write([]byte("first"))
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	o := &out{t, fds[1]}
	defer o.close()
	kept, _ := unix.Dup(fds[0]) // the keeper's own
	first.Attach("a.b:c@d-e_f", 3, Stdout, fds[0], "pipe/a.b:c@d-e_f/3/out")
	o.write("one\ntw")
	waitText(t, first, "a.b:c@d-e_f", "out:one out:tw~")
	seq := first.Tail("a.b:c@d-e_f", 1)[0].Seq
	first.Close(0)
	first.Write([]byte("too late")) // and harmless
	o.write("o\n")
	second, err := NewPump(k)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close(0)
	k.mu.Lock()
	k.p = second
	k.mu.Unlock()
	if err := second.Adopt(k.all(t)); err != nil {
		t.Fatal(err)
	}
	second.Write([]byte("second"))
	second.Attach("a.b:c@d-e_f", 3, Stdout, kept, "pipe/a.b:c@d-e_f/3/out")
	waitText(t, second, "a.b:c@d-e_f", "out:one out:two")
	if got := text(second.Tail(Own, -1)); got != "err:first err:second" {
		t.Errorf("zinit has %q", got)
	}
	if next := second.Tail("a.b:c@d-e_f", 1)[0].Seq; next <= seq {
		t.Errorf("Seq went from %d to %d", seq, next)
	}
}

func TestStoreThatCannotBeReadIsLeftOut(t *testing.T) {
	p, k := newPump(t)
	bad, err := memfd("bad")
	if err != nil {
		t.Fatal(err)
	}
	index, _ := memfd("index")
	alone, _ := memfd("alone")
	data, _ := memfd("data")
	if err := writeAll(data, []byte("whose\n"), 0); err != nil {
		t.Fatal(err)
	}
	other, _ := memfd("other")
	err = p.Adopt(map[string][]int{"log/web/data": {bad}, "log/web/index": {index}, "log/db/index": {alone},
		"log/zinit/data": {data}, "journal": {other}})
	if err == nil || !strings.Contains(err.Error(), "\"web\"") {
		t.Errorf("error %v, want one about web", err)
	}
	waitFor(t, "the useless ones are dropped", func() bool {
		return k.dropped("log/web/data") && k.dropped("log/web/index") && k.dropped("log/db/index")
	})
	if got := text(p.Tail(Own, -1)); got != "err:whose" {
		t.Errorf("data without an index came back as %q", got)
	}
	p.Write([]byte("more"))
	waitText(t, p, Own, "err:whose err:more")
	if _, err := fileSize(other); err != nil {
		t.Error("what is no log was closed")
	}
	unix.Close(other)
}

func TestLeastMemoryLimitCounts(t *testing.T) {
	files := map[string]string{
		"/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "1000\n", "/sys/fs/cgroup/memory.max": "5000\n",
		"/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "700\n",
	}
	read := func(name string) ([]byte, error) {
		if s, ok := files[name]; ok {
			return []byte(s), nil
		}
		return nil, unix.ENOENT
	}
	for groups, want := range map[string]int64{
		"0::/a/b\n": 1000, "0::/\n": 5000, "4:memory:/x/y\n3:cpu:/\n": 700, "0::/a/b\n4:memory:/x\n": 700, "rubbish\n": 1 << 62,
	} {
		if got := groupLimit(groups, read); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
	if n := DefaultTotal(); n <= 0 || n > maxTotal {
		t.Errorf("the default is %d", n)
	}
}

// The nearest control group counts who was killed for want of memory: one above it
// counts others too.
func TestTheNearestGroupCountsWhoWasKilled(t *testing.T) {
	files := map[string]string{
		"/sys/fs/cgroup/a/memory.events":                "low 0\noom 2\noom_kill 7\noom_group_kill 1\n",
		"/sys/fs/cgroup/memory.events":                  "oom_kill 9\n",
		"/sys/fs/cgroup/memory/x/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"/sys/fs/cgroup/memory/x/y/memory.oom_control":  "oom_kill_disable 0\nunder_oom 0\n", // before Linux 4.13
		"/sys/fs/cgroup/memory/old/memory.oom_control":  "oom_kill_disable 1\nunder_oom 0\n",
		"/sys/fs/cgroup/memory/bad/memory.oom_control":  "oom_kill many\n",
		"/sys/fs/cgroup/memory/last/memory.oom_control": "oom_kill 5",
	}
	read := func(name string) ([]byte, error) {
		if s, ok := files[name]; ok {
			return []byte(s), nil
		}
		return nil, unix.ENOENT
	}
	for groups, want := range map[string]int64{
		"0::/a/b\n": 7, "0::/\n": 9, "4:memory:/x\n3:cpu:/\n": 3, "4:memory:/x/y\n": 3, "4:memory:/last\n": 5,
		"4:memory:/old\n": -1, "4:memory:/bad\n": -1, "4:memory:/x\n0::/a\n": 3, "4:memory:/none\n0::/a\n": 7, "rubbish\n": -1, "": -1,
	} {
		if got := oomKills(groups, read); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
}

// sealed returns a store one of whose files cannot grow any more.
func sealed(t *testing.T, s *store, file int) *store {
	t.Helper()
	fd := [...]int{s.data, s.index}[file]
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		ring.Skip(t, "kernel", "files in memory cannot be sealed: "+err.Error(), "run the tests on Linux itself")
	}
	return s
}

func TestWhoseTheyAreIsKnownBeforeBytesMove(t *testing.T) {
	s := sealed(t, filled(t, DefaultBuffer), indexFile)
	r, w := pipe2(t)
	defer unix.Close(r)
	w.write("whose?\n")
	if n, err := s.splice(r, 1, Stdout, turnBytes, 1); err == nil || n != 0 || pending(r) != 7 || s.size() != 0 {
		t.Errorf("%d bytes moved (%v), %d are in the pipe, %d in the store; want none moved", n, err, pending(r), s.size())
	}
}

func TestStoreThatRefusesBytesLeavesThemInThePipe(t *testing.T) {
	p, _ := newPump(t)
	o := attach(t, p, "web", 1, Stdout)
	o.write("one\n")
	waitText(t, p, "web", "out:one")
	p.mu.Lock()
	sealed(t, p.stores["web"], dataFile)
	pi := p.runs[runKey{"web", 1}][0]
	p.mu.Unlock()
	// The file may still take what is left of its size: none.
	o.write("two\n")
	waitFor(t, "the pipe rests", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !pi.polled
	})
	if n := pending(pi.fd); n != 4 {
		t.Errorf("%d bytes are in the pipe, want 4", n)
	}
	<-p.Drain("web", 1) // must not try for ever
	own := text(p.Tail(Own, -1))
	if strings.Count(own, "cannot store the output of \"web\"") != 1 {
		t.Errorf("zinit says %q, want it said once", own)
	}
	other := attach(t, p, "db", 1, Stdout)
	other.write("fine\n")
	waitText(t, p, "db", "out:fine")
}

// A parent's ulimit -f killed the process with SIGXFSZ at that offset.
func TestFileSizeLimitIsLifted(t *testing.T) {
	var was, now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	newPump(t)
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &now); err != nil || now.Cur < was.Max {
		t.Errorf("the limit is %d (%v), want %d", now.Cur, err, was.Max)
	}
}
