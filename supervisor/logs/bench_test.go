package logs

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The floor reads a pipe into 64 KiB and writes them to a file in memory, with
// one thread, as a plain program would; it keeps everything, the store drops
// what is over its buffer. Writers are processes, so that cpu-s/GiB is the
// reader's alone.

func writeMuch(fd, total, chunk int) {
	b := make([]byte, chunk)
	for i := range b {
		b[i] = 'x'
		if i%100 == 99 {
			b[i] = '\n'
		}
	}
	for total > 0 {
		n, err := unix.Write(fd, b[:min(chunk, total)])
		if err != nil && err != unix.EINTR {
			panic(err)
		}
		total -= max(n, 0)
	}
}

// writerProcess writes into fd from a process of its own, so that the CPU
// time of this one is the reader's.
func startWriter(b *testing.B, fd, total, chunk int) *os.Process {
	b.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	w := os.NewFile(uintptr(fd), "w")
	defer w.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"writer", fmt.Sprint(total), fmt.Sprint(chunk)},
		&os.ProcAttr{Env: append(os.Environ(), stormChild+"=writer"), Files: []*os.File{null, w, os.Stderr}})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func measure(b *testing.B, chunk int, read func(fd, total int)) {
	const total = 256 << 20
	b.SetBytes(total)
	var cpu time.Duration
	for b.Loop() {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			b.Fatal(err)
		}
		before := cpuTime()
		p := startWriter(b, fds[1], total, chunk)
		read(fds[0], total)
		cpu += cpuTime() - before
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N)*float64(1<<30)/total, "cpu-s/GiB")
}

func copyPlainly(fd, _ int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	file, err := memfd("floor")
	if err != nil {
		panic(err)
	}
	defer unix.Close(file)
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		if _, err := unix.Write(file, buf[:n]); err != nil {
			panic(err)
		}
	}
}

func BenchmarkStore(b *testing.B) {
	for _, chunk := range []int{100, 4000, 65536} {
		b.Run(fmt.Sprintf("floor/%d", chunk), func(b *testing.B) {
			measure(b, chunk, copyPlainly)
		})
		b.Run(fmt.Sprintf("pump/%d", chunk), func(b *testing.B) {
			p, _ := newPump(b)
			run := uint64(0)
			measure(b, chunk, func(fd, total int) {
				run++
				p.Attach("web", run, Stdout, fd, "pipe")
				waitFor(b, "all is stored", func() bool {
					kept, dropped := p.Size("web")
					return kept+dropped == int64(total)*int64(run)
				})
			})
		})
	}
}

func BenchmarkTail(b *testing.B) {
	p, _ := newPump(b)
	r, w := pipe2(b)
	p.Attach("web", 1, Stdout, r, "pipe")
	writeMuch(w.fd, 1<<20, 4000)
	waitFor(b, "all is stored", func() bool { k, d := p.Size("web"); return k+d == 1<<20 })
	for _, n := range []int{10, -1} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(p.Tail("web", n)) == 0 {
					b.Fatal("nothing there")
				}
			}
		})
	}
}
