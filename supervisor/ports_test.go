package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// busyPort makes a /proc in which pid 77 listens on port 8080.
func busyPort(t *testing.T) (proc string) {
	t.Helper()
	proc = t.TempDir()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write(t, proc+"/self/net/tcp", head+
		"   0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 555 1 0 100 0 0 10 0\n", 0o644)
	write(t, proc+"/self/net/tcp6", head+
		"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n", 0o644)
	write(t, proc+"/77/comm", "nginx\n", 0o644)
	write(t, proc+"/77/cmdline", "nginx: \x1b[31mmaster\x00-g\x00", 0o644)
	write(t, proc+"/77/stat", "77 (nginx) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0", 0o644)
	if err := os.MkdirAll(proc+"/77/fd", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[4711]", filepath.Join(proc, "77/fd/3")); err != nil {
		t.Fatal(err)
	}
	return proc
}

// A service whose port is held waits, says who holds it, and starts by itself when
// the port is free; an operator's start is told at once.
func TestAHeldPortBlocksAndNamesItsHolder(t *testing.T) {
	proc := busyPort(t)
	sm := newSimWith(t, files{"a": "ports = [8080, 9]\n", "b": "ports = [9]\n"}, func(o *Options) { o.Proc = proc })
	defer sm.close()
	sm.run()
	sm.wantStates("a=blocked b=running")
	const want = "port 8080 (held by pid 77 nginx:  [31mmaster -g)" // without its control character
	f, err := sm.s.full("a")
	if err != nil || f.PortConflict != want || !strings.Contains(f.Reason, want) || f.State.WaitingOn[0] != "port 8080" {
		t.Errorf("%+v, %v", f, err)
	}
	if w, _ := sm.s.Why("a"); w.PortConflict != want || !strings.Contains(w.ASCII, want) {
		t.Errorf("why: %+v", w)
	}
	sm.sleep(3500 * time.Millisecond)
	sm.wantStates("a=blocked b=running")
	write(t, proc+"/self/net/tcp6", "", 0o644)
	sm.sleep(time.Second)
	sm.wantStates("a=running b=running")
}

// Each run looks again, also after a crash of the service or the server.
func TestPortsAreLookedAtBeforeEachRun(t *testing.T) {
	proc := busyPort(t)
	table, _ := os.ReadFile(proc + "/self/net/tcp6")
	write(t, proc+"/self/net/tcp6", "", 0o644)
	sm := newSimWith(t, files{"a": "ports = [8080]\n[lifecycle]\nrestart_delay_ms = 1000\n"}, func(o *Options) { o.Proc = proc })
	defer sm.close()
	sm.run()
	sm.wantStates("a=running")
	write(t, proc+"/self/net/tcp6", string(table), 0o644)
	sm.die("a", 1, 0)
	sm.sleep(2 * time.Second)
	sm.wantStates("a=blocked")
	sm.crash()
	sm.wantStates("a=blocked")
	write(t, proc+"/self/net/tcp6", "", 0o644)
	sm.sleep(2 * time.Second)
	sm.wantStates("a=running")
}
