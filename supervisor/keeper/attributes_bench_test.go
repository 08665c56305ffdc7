package keeper

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A run with every attribute that is a step of its start, beside one with none:
// together they may cost 0.1 ms. oom_score_adj is measured by itself too: it costs a
// fork, see ownMemory. Runs follow each other, so ns/op is the whole life of one, from the
// order to the last acknowledgement.
func BenchmarkSpawn(b *testing.B) {
	all := truth()
	all.Dir, all.Umask, all.IONice, all.NoNewPrivs = "/usr", 0o027, IONice{2, 6}, true
	for _, what := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_NPROC, unix.RLIMIT_CORE, unix.RLIMIT_STACK, unix.RLIMIT_MEMLOCK} {
		var own unix.Rlimit // raising one takes a privilege
		if err := unix.Getrlimit(what, &own); err != nil {
			b.Fatal(err)
		}
		all.Limits = append(all.Limits, Limit{what, own.Cur, own.Max})
	}
	for range 20 {
		all.Env = append(all.Env, "SOME_NAME=some value of some length")
	}
	if os.Getuid() == 0 {
		all.Nice = -1 // above zero it would wait for others
		all.Cred = &Cred{UID: 65534, GID: 65534, Groups: []uint32{1, 2, 3}}
		all.Caps = pointer(uint64(1 << unix.CAP_NET_BIND_SERVICE))
	}
	all.AtExit = syscall.SIGKILL
	both := all
	both.OOMScoreAdj = pointer(ownOOMScore() + 5)
	score := truth()
	score.OOMScoreAdj = pointer(ownOOMScore() + 5)
	for _, c := range []struct {
		name string
		s    Spawn
	}{{"plain", truth()}, {"all but oom_score_adj", all}, {"all", both}, {"oom_score_adj", score}} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			s := w.server()
			s.drill(100, 1, c.s)
			b.ResetTimer()
			s.drill(b.N, 1, c.s)
			b.StopTimer()
			s.end(0)
		})
	}
}
