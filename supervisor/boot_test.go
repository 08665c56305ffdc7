package supervisor

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// booted is what the boot is said to have started, and when that was ready.
func (sm *sim) booted() string {
	b := sm.s.Boot()
	var all []string
	for _, v := range b.Services {
		all = append(all, fmt.Sprintf("%s %d-%d", v.Name, v.StartMS, v.ReadyMS))
	}
	return fmt.Sprintf("%dms: %s", b.TookMS, strings.Join(all, ", "))
}

// A boot is what the boot started, whoever starts something, or the same again,
// afterwards; also for a successor.
func TestABootIsOfTheBootOnly(t *testing.T) {
	sm := newSim(t, files{"hand": "status = \"stop\"", "web": "", "slow": oneshot, "halt": oneshot,
		"held": deps + `["slow"]`, "late": deps + `["slow"]`, "back": oneshot})
	sm.run()
	defer sm.close()
	sm.sleep(time.Second)
	sm.start("hand")
	sm.stop("halt", "held") // while it starts; before it did
	sm.restart("back")
	sm.run()
	sm.start("halt", "held")
	sm.sleep(time.Second)
	sm.die("halt", 0, 0)
	sm.die("back", 0, 0)
	sm.die("slow", 0, 0)
	sm.run()
	sm.wantStates("back=exited halt=exited hand=running held=running late=running slow=exited web=running")
	want := "2000ms: late 2000-2000, slow 0-2000, web 0-0, back 0--1, halt 0--1"
	if got := sm.booted(); got != want {
		t.Errorf("the boot is said to be\n  %s\nwant\n  %s", got, want)
	}
	sm.restart("web", "slow")
	sm.sleep(time.Second)
	sm.crash()
	if got := sm.booted(); got != want {
		t.Errorf("a successor says that the boot was\n  %s\nwant\n  %s", got, want)
	}
}

// What fails in the boot and comes up by itself belongs to it; not what somebody
// has started since.
func TestABootGoesOnUntilSomebodyElseHasASay(t *testing.T) {
	sm := newSim(t, files{"a": oneshot + "[lifecycle]\nrestart = \"on-failure\"\nrestart_delay_ms = 1000\n", "b": oneshot + "[lifecycle]\nrestart = \"never\"\n"})
	defer sm.close()
	sm.run()
	sm.die("a", 1, 0)
	sm.die("b", 1, 0)
	sm.sleep(2 * time.Second)
	sm.start("b")
	sm.die("a", 0, 0)
	sm.die("b", 0, 0)
	sm.run()
	sm.wantStates("a=exited b=exited")
	if got, want := sm.booted(), "2000ms: a 0-2000, b 0--1"; got != want {
		t.Errorf("the boot is said to be %s, want %s", got, want)
	}
}
