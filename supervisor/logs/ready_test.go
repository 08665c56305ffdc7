package logs

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// watched returns the write end of a readiness pipe, our own read end of it
// and a channel that gets a value for each call.
func watched(t *testing.T, p *Pump, before string) (*out, int, chan int) {
	t.Helper()
	r, w := pipe2(t)
	ours, err := unix.Dup(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(ours) })
	w.write(before)
	calls := make(chan int, 10)
	p.WatchReady(r, "pipe/web/1/ready", func() { calls <- 1 })
	return w, ours, calls
}

func TestNewlineMeansReadyAndStaysInThePipe(t *testing.T) {
	p, k := newPump(t)
	w, ours, calls := watched(t, p, "")
	w.write("not yet")
	w.write(" and now\n")
	<-calls
	if n := pending(ours); n != 16 {
		t.Errorf("%d bytes are in the pipe, want all 16", n)
	}
	w.write("more\n")
	p.Unwatch("pipe/web/1/ready")
	waitFor(t, "the pipe is emptied", func() bool { return pending(ours) == 0 })
	w.write("and more\n")
	waitFor(t, "what comes later is thrown away", func() bool { return pending(ours) == 0 })
	w.close()
	waitFor(t, "the name is dropped", func() bool { return k.dropped("pipe/web/1/ready") })
	if len(calls) != 0 {
		t.Error("ready was called twice")
	}
}

func TestNewlineFromBeforeTheTakeoverCounts(t *testing.T) {
	p, _ := newPump(t)
	w, _, calls := watched(t, p, "\n")
	<-calls
	w.close()
}

func TestNewlineOfAWriterThatHasGoneCounts(t *testing.T) {
	p, k := newPump(t)
	r, w := pipe2(t)
	w.write("\n")
	w.close()
	calls := make(chan int, 10)
	p.WatchReady(r, "gone", func() { calls <- 1 })
	<-calls
	if k.dropped("gone") {
		t.Error("dropped before the readiness was recorded")
	}
	p.Unwatch("gone")
	waitFor(t, "the name is dropped", func() bool { return k.dropped("gone") })
}

func TestEndWithoutANewlineIsNotReady(t *testing.T) {
	p, k := newPump(t)
	w, _, calls := watched(t, p, "")
	w.close()
	waitFor(t, "the name is dropped", func() bool { return k.dropped("pipe/web/1/ready") })
	if len(calls) != 0 {
		t.Error("ready was called")
	}
}

// A service that wrote much without a newline was stopped by a full pipe.
func TestReadinessPipeFullOfNothingIsEmptied(t *testing.T) {
	p, _ := newPump(t)
	w, _, calls := watched(t, p, "")
	w.write(strings.Repeat("x", 300_000))
	w.write("\n")
	<-calls
}
