package applets_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deaths are the signals that end who does nothing about them, with the names
// that zinit has for them.
func deaths() map[string]syscall.Signal {
	found := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "RTMIN+3": 37, "RTMIN+30": 64}
	for _, name := range strings.Fields("HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM XCPU XFSZ VTALRM PROF IO PWR SYS") {
		found[name] = unix.SignalNum("SIG" + name)
	}
	return found
}

// Scenario 49: each status and each signal that a program can end with is told as
// it was, with the core flag as the kernel set it. No policy but the one written
// down makes another run of any of them.
func TestScenario049EveryStatusAndSignalIsToldAsItWas(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const text = "[service]\nexec = [\"/bin/sh\", \"-c\", %q]\noneshot = true\ndir = %q\n[lifecycle]\nrestart = \"never\"\n"
	for code := range 256 {
		b.service(fmt.Sprintf("c%03d", code), fmt.Sprintf(text, fmt.Sprintf("exit %d", code), b.dir))
	}
	// Two that dump their core to one file at a time are in each other's way.
	core := map[string]bool{}
	signals := deaths()
	for name, sig := range signals {
		script := fmt.Sprintf("ulimit -S -c unlimited; kill -%d $$; exit 99", sig)
		dir := filepath.Join(b.dir, fmt.Sprint(int(sig)))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		b.service(fmt.Sprintf("s%02d", sig), fmt.Sprintf(text, script, dir))
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir = b.dir
		_ = cmd.Run()
		st, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !st.Signaled() || st.Signal() != sig {
			t.Fatalf("%s does not end a shell here: %v", name, cmd.ProcessState)
		}
		core[name] = st.CoreDump()
	}
	b.serve()
	var all []full
	b.await("every end to be known", func() error {
		all = nil
		if err := b.call("service.list_full", nil, &all); err != nil {
			return err
		}
		for _, f := range all {
			if f.State.State != "exited" && f.State.State != "failed" {
				return fmt.Errorf("%s is %s", f.Name, f.State.State)
			}
		}
		return nil
	})
	if len(all) != 256+len(signals) {
		t.Fatalf("%d services are listed", len(all))
	}
	for code := range 256 {
		f := b.full(fmt.Sprintf("c%03d", code))
		if e := f.LastExit; e == nil || e.Code == nil || *e.Code != code || e.Signal != 0 || f.Run != 1 || (f.State.State == "exited") != (code == 0) {
			t.Errorf("exit %d is told as %+v, %s, run %d", code, e, f.State.State, f.Run)
		}
	}
	for name, sig := range signals {
		f := b.full(fmt.Sprintf("s%02d", sig))
		want := "signal " + name
		if core[name] {
			want += " (core dumped)"
		}
		if e := f.LastExit; e == nil || e.Code != nil || e.Signal != int(sig) || e.Core != core[name] || e.Text != want || f.Run != 1 || f.State.State != "failed" {
			t.Errorf("%s, core %v, is told as %+v, %s, run %d", name, core[name], e, f.State.State, f.Run)
		}
	}
}
