package logs

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/testdata/ring"
)

// readAll returns everything that comes out of a descriptor until its end.
func readAll(fd int) chan string {
	got := make(chan string, 1)
	go func() {
		f := os.NewFile(uintptr(fd), "reader")
		defer f.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(f)
		got <- b.String()
	}()
	return got
}

func TestConsoleShowsWholeLinesOfChosenServices(t *testing.T) {
	p, _ := newPump(t)
	o, e, x := attach(t, p, "web", 1, Stdout), attach(t, p, "web", 1, Stderr), attach(t, p, "secret", 1, Stdout)
	o.write("before\n")
	waitText(t, p, "web", "out:before")
	r, w := pipe2(t)
	p.Console(w.fd, ConsoleOptions{Only: func(s string) bool { return s != "secret" }})
	got := readAll(r)
	o.write("half")
	e.write("other\x1b[0m\n")
	x.write("hidden\n")
	waitText(t, p, "web", "out:before err:other\x1b[0m out:half~")
	o.write(" and half\nlast words")
	o.close()
	waitText(t, p, "web", "out:before err:other\x1b[0m out:half and half out:last words~")
	p.Write([]byte("bye"))
	p.Close(20 * time.Second)
	w.close()
	want := "web | before\nweb | other\x1b[0m\nweb | half and half\n"
	text := <-got
	for _, line := range []string{"web | last words\n", "zinit | bye\n"} { // side by side
		if strings.Count(text, line) != 1 {
			t.Errorf("%q is not there once", line)
		}
		text = strings.Replace(text, line, "", 1)
	}
	if text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

func TestConsoleGoesOnWhereTheLastOneStopped(t *testing.T) {
	k := newKeeper(t)
	var want strings.Builder
	r, w := pipe2(t)
	got := readAll(r)
	for i := range 5 {
		p, err := NewPump(k)
		if err != nil {
			t.Fatal(err)
		}
		k.mu.Lock()
		k.p = p
		k.mu.Unlock()
		if err := p.Adopt(k.all(t)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "zinit | server %d\n", i)
		p.Write(fmt.Appendf(nil, "server %d", i))
		waitFor(t, "the store is held", func() bool { return isReady(p, Own) })
		p.Console(w.fd, ConsoleOptions{})
		p.Close(20 * time.Second)
	}
	w.close()
	if text := <-got; text != want.String() {
		t.Errorf("got %q, want %q", text, want.String())
	}
}

func TestConsoleThatNobodyReadsStopsNobody(t *testing.T) {
	p, _ := newPump(t)
	r, w := pipe2(t)
	c := p.Console(w.fd, ConsoleOptions{})
	o := attach(t, p, "web", 1, Stdout)
	o.write(strings.Repeat("0123456789\n", 200_000)) // far more than the pipe and the buffer hold
	o.write("end\n")
	waitFor(t, "the end", func() bool { l := p.Tail("web", 1); return len(l) == 1 && string(l[0].Text) == "end" })
	began := time.Now()
	p.Close(50 * time.Millisecond)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	unix.Close(r) // lets the goroutine go
	<-c.done
}

func TestConsoleSaysWhatItMissed(t *testing.T) {
	p, _ := newPump(t)
	r, w := pipe2(t)
	p.Console(w.fd, ConsoleOptions{})
	o := attach(t, p, "web", 1, Stdout)
	o.write(strings.Repeat("0123456789\n", 200_000))
	waitFor(t, "all is stored", func() bool { k, d := p.Size("web"); return k+d == 2_200_000 })
	got := readAll(r)
	p.Close(20 * time.Second)
	w.close()
	bytes, missed := 0, 0
	for line := range strings.Lines(<-got) {
		var n int
		if _, err := fmt.Sscanf(line, "web | (%d bytes were dropped here)", &n); err == nil {
			missed += n
			continue
		}
		bytes += len(line) - len("web | ")
	}
	// A line cut by a gap shows as two, each with a newline of its own.
	if missed == 0 || bytes+missed < 2_200_000 || bytes+missed > 2_200_010 {
		t.Errorf("%d bytes shown, %d missed, of 2200000", bytes, missed)
	}
}

func TestConsoleWithAClosedReaderEnds(t *testing.T) {
	p, _ := newPump(t)
	r, w := pipe2(t)
	unix.Close(r)
	c := p.Console(w.fd, ConsoleOptions{})
	p.Write([]byte("anybody there?"))
	<-c.done
}

func TestConsoleWithoutSpaceDropsAndCounts(t *testing.T) {
	fd, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		ring.Skip(t, "terminals", err.Error(), "mount a whole /dev")
	}
	defer unix.Close(fd)
	p, _ := newPump(t)
	c := p.Console(fd, ConsoleOptions{})
	p.Write([]byte("one\ntwo\n"))
	p.Write([]byte("three\n"))
	waitFor(t, "three lines are counted", func() bool { return c.Dropped() == 3 })
	p.Close(20 * time.Second)
}

func TestConsoleOnANonBlockingPipeWaitsForIt(t *testing.T) {
	p, _ := newPump(t)
	r, w := pipe2(t)
	if err := unix.SetNonblock(w.fd, true); err != nil {
		t.Fatal(err)
	}
	p.Console(w.fd, ConsoleOptions{})
	p.Write([]byte(strings.Repeat("x\n", 50_000)))
	got := readAll(r)
	p.Close(20 * time.Second)
	w.close()
	if n := strings.Count(<-got, "zinit | x\n"); n != 50_000 {
		t.Errorf("%d lines, want 50000", n)
	}
}

func TestTerminalNeverGetsControlCharacters(t *testing.T) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		ring.Skip(t, "terminals", err.Error(), "mount devpts on /dev/pts")
	}
	defer unix.Close(master)
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		ring.Skip(t, "terminals", err.Error(), "mount devpts on /dev/pts")
	}
	_ = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	tty, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		ring.Skip(t, "terminals", err.Error(), "mount devpts on /dev/pts")
	}
	defer unix.Close(tty)
	p, _ := newPump(t)
	p.Console(tty, ConsoleOptions{})
	p.Write([]byte("a\x1b]0;title\x07b\n"))
	p.Close(20 * time.Second)
	var got []byte
	for !bytes.HasSuffix(got, []byte("\n")) { // a terminal gives a line in parts if it likes
		b := make([]byte, 1000)
		n, err := unix.Read(master, b)
		if err != nil {
			t.Fatalf("the terminal got %q, %v", got, err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "zinit | a\\x1b]0;title\\x07b\r\n" {
		t.Errorf("the terminal got %q", got)
	}
}

func TestVisibleText(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext äöü 世界 👍": "plain\ttext äöü 世界 👍",
		"\x1b[2J\r\b\x00\x7f":  `\x1b[2J\x0d\x08\x00\x7f`,
		"\u009b31m\xff":        `\u009b31m\xff`,
		"\u202egnp.exe\u2066":  `\u202egnp.exe\u2066`,
		"\u2028\U000e0001\n":   `\u2028\U000e0001\x0a`,
	} {
		if got := string(AppendVisible(nil, []byte(in))); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}
