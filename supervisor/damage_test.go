package supervisor

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/state"
)

// troubled is a history with everything in it that a journal tells: a crash
// and its restart, a stop that is not over, a oneshot, one that gave up.
func troubled(t *testing.T) *sim {
	sm := newSim(t, files{"db": "", "web": deps + `["db"]`, "job": oneshot, "bad": "[lifecycle]\nmax_restarts = 1\nrestart_delay_ms = 1000", "slow": ""})
	sm.run()
	sm.die("job", 0, 0)
	sm.run()
	sm.die("db", 9, 0)
	sm.run()
	sm.sleep(2 * time.Second)
	sm.die("bad", 1, 0)
	sm.sleep(2 * time.Second)
	sm.die("bad", 1, 0)
	sm.run()
	sm.ignoresTerm["slow"] = true
	sm.stop("slow")
	sm.run()
	return sm
}

// damaged runs the history, damages the journal, and has a successor begin. It
// must come up with what was decided before the damage, agree with what lives,
// start nothing beside a living process (the sim sees to that), and reach an
// end where operators are obeyed.
func damaged(t *testing.T, what string, at int64, damage func(fd int, at int64)) {
	t.Helper()
	sm := troubled(t)
	defer sm.close()
	damage(sm.held["journal"], at)
	sm.crash()
	sm.sleep(time.Minute)
	for _, name := range sm.s.names {
		sv, p := sm.s.services[name], sm.procs[name]
		lives := p != nil && p.alive
		if known := sv.rt.State == state.Running || sv.rt.State == state.Stopping || sv.rt.State == state.Starting; lives != known {
			t.Errorf("%s at byte %d: %s is %s and a process of it lives: %v", what, at, name, sv.rt.State, lives)
		}
	}
	for _, name := range []string{"db", "slow", "web"} {
		sm.ignoresTerm[name] = false
		sm.stop(name)
		sm.sleep(15 * time.Second)
		if p := sm.procs[name]; p.alive {
			t.Errorf("%s at byte %d: %s lives after its stop", what, at, name)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// Every byte of the last frames, and every seventh before them, is cut off and
// turned over in turn. A successor used to spin for ever on a deadline of a run
// that the damaged journal still knew, when a later run lived.
func TestADamagedJournalIsAnEarlierOne(t *testing.T) {
	var st unix.Stat_t
	sm := troubled(t)
	if err := unix.Fstat(sm.held["journal"], &st); err != nil {
		t.Fatal(err)
	}
	sm.close()
	few, many := int64(7), int64(1)
	if testing.Short() || raced {
		few, many = 61, 17
	}
	for at, step := int64(0), few; at < st.Size; at += step {
		if at > st.Size-600 {
			step = many
		}
		damaged(t, "cut", at, func(fd int, at int64) {
			if err := unix.Ftruncate(fd, at); err != nil {
				t.Fatal(err)
			}
		})
		damaged(t, "turned over", at, func(fd int, at int64) {
			var b [1]byte
			if _, err := unix.Pread(fd, b[:], at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 0xff
			if _, err := unix.Pwrite(fd, b[:], at); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Logf("%d bytes, cut and turned over", st.Size)
}
