package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// fileWith returns a memfd that holds b.
func fileWith(t testing.TB, b []byte) int {
	t.Helper()
	fd, err := memfd("test")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := pwrite(fd, b, 0); err != nil || n != len(b) {
		t.Fatalf("wrote %d of %d: %v", n, len(b), err)
	}
	return fd
}

// written returns the bytes of a journal with the given payloads.
func written(t testing.TB, payloads ...string) []byte {
	t.Helper()
	j, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, p := range payloads {
		if err := j.Append([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := readAll(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != j.Size() {
		t.Fatalf("the file has %d bytes, Size says %d", len(b), j.Size())
	}
	return b
}

// reopen opens b as a journal, adds one frame and opens it once more; it
// returns what the first Open gave.
func reopen(t testing.TB, b []byte) []string {
	t.Helper()
	j, frames, err := Open(fileWith(t, b))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Append([]byte("after")); err != nil {
		t.Fatal(err)
	}
	again, err := unix.Dup(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	j2, frames2, err := Open(again)
	if err != nil {
		t.Fatal(err)
	}
	defer j2.Close()
	if len(frames2) != len(frames)+1 || string(frames2[len(frames)]) != "after" {
		t.Fatalf("after one more frame there are %d, want %d with the new one last", len(frames2), len(frames)+1)
	}
	var got []string
	for _, f := range frames {
		got = append(got, string(f))
	}
	return got
}

var story = []string{"first", "", "a longer third frame", "\x00\x00\x00\x00\x00\x00\x00\x00", "last"}

func TestWhatWasAppendedIsReadAgain(t *testing.T) {
	if got := reopen(t, written(t, story...)); fmt.Sprint(got) != fmt.Sprint(story) {
		t.Errorf("got %q, want %q", got, story)
	}
	if got := reopen(t, nil); len(got) != 0 {
		t.Errorf("an empty journal gave %q", got)
	}
}

func TestTruncatedAtEveryByteKeepsAllWholeFrames(t *testing.T) {
	b := written(t, story...)
	for cut := range len(b) {
		want, at := 0, 0
		for _, p := range story {
			if at += header + len(p); at > cut {
				break
			}
			want++
		}
		if got := reopen(t, b[:cut]); fmt.Sprint(got) != fmt.Sprint(story[:want]) {
			t.Fatalf("cut at byte %d: got %q, want the first %d frames", cut, got, want)
		}
	}
}

func TestEveryFlippedByteCutsOffItsFrameAndWhatFollows(t *testing.T) {
	b := written(t, story...)
	for i := range b {
		want, at := 0, 0
		for _, p := range story {
			if at += header + len(p); at > i {
				break
			}
			want++
		}
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(b)
			damaged[i] ^= flip
			if got := reopen(t, damaged); fmt.Sprint(got) != fmt.Sprint(story[:want]) {
				t.Fatalf("byte %d flipped by %#x: got %q, want the first %d frames", i, flip, got, want)
			}
		}
	}
}

func TestZerosHoldNoFrame(t *testing.T) {
	b := append(written(t, "one"), make([]byte, 4096)...)
	if got := reopen(t, b); len(got) != 1 {
		t.Errorf("got %q, want one frame", got)
	}
}

// A frame that did not fit used to leave its bytes behind, and the next,
// shorter one ended where a frame inside those bytes began.
func TestFailedAppendRecordsNothing(t *testing.T) {
	j, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Append([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	before := j.Size()
	if err := j.Append(make([]byte, MaxPayload+1)); err == nil {
		t.Error("a frame over the limit was accepted")
	}
	// What a torn write leaves: the beginning of a long frame with a whole one inside.
	inner := written(t, "never recorded")
	long := append(make([]byte, header+5), inner...)
	binary.LittleEndian.PutUint32(long, 1<<20)
	if _, err := pwrite(j.fd, long, j.end); err != nil {
		t.Fatal(err)
	}
	j.torn = true
	if err := j.Append([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if want := before + header + 5; j.Size() != want {
		t.Errorf("size %d, want %d", j.Size(), want)
	}
	b, err := readAll(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	frames, end := split(b)
	if len(frames) != 2 || end != int64(len(b)) {
		t.Errorf("%d frames up to %d of %d bytes, want 2 and nothing behind them", len(frames), end, len(b))
	}
}

func TestAppendOnAFileThatCannotGrowRecordsNothing(t *testing.T) {
	fd, err := unix.MemfdCreate("sealed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := Open(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Append([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := j.Append([]byte("lost")); err == nil {
			t.Fatal("a frame was accepted where nothing can be written")
		}
	}
	b, err := readAll(fd)
	if err != nil {
		t.Fatal(err)
	}
	if frames, end := split(b); len(frames) != 1 || end != int64(len(b)) || j.Size() != end {
		t.Errorf("%d frames, end %d, size %d, file %d; want what was there before", len(frames), end, j.Size(), len(b))
	}
}

func TestPagesAreAllocatedAhead(t *testing.T) {
	j, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var st unix.Stat_t
	for range 3 {
		if err := j.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fstat(j.FD(), &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 != Step || st.Size != j.Size() {
			t.Fatalf("%d bytes allocated for a file of %d, want %d", st.Blocks*512, st.Size, Step)
		}
	}
	if err := j.Append(make([]byte, Step)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstat(j.FD(), &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*512 != 2*Step {
		t.Errorf("%d bytes allocated after the step was full, want %d", st.Blocks*512, 2*Step)
	}
}

func FuzzOpen(f *testing.F) {
	b := written(f, story...)
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add(append(bytes.Clone(b), 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, end := split(b)
		total := int64(0)
		for _, fr := range frames {
			total += int64(header + len(fr))
		}
		if total != end || end > int64(len(b)) {
			t.Fatalf("frames of %d bytes end at %d of %d", total, end, len(b))
		}
		reopen(t, b)
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{64, 256, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, err := Create()
			if err != nil {
				b.Fatal(err)
			}
			defer func() { j.Close() }()
			payload := make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				if j.Size() > 64<<20 { // a journal is written anew long before
					j.Close()
					j, _ = Create()
				}
				if err := j.Append(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
