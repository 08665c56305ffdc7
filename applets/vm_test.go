package applets_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// guest is a virtual machine whose /init is zinit. Its serial console is all
// there is to see of it.
type guest struct {
	t       *testing.T
	entries []string // of the initramfs, see testdata/initramfs
	words   string   // more words for the kernel
	flags   []string // more flags for QEMU
	monitor string   // path of QEMU's own socket; "": none
	console *said
	keys    io.WriteCloser // what is typed on the console
	gone    chan struct{}
	cmd     *exec.Cmd
}

// kernelFile is where testdata/setup.sh vm puts a kernel.
func kernelFile() string {
	if dir := os.Getenv("ZINIT_TEST_CACHE"); dir != "" {
		return filepath.Join(dir, "vmlinuz")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/root/.cache"
	}
	return filepath.Join(dir, "zinit", "vmlinuz")
}

// wantVM skips the ring where it cannot run.
func wantVM(t *testing.T) {
	t.Helper()
	notShort(t)
	wantPrograms(t, "vm", "qemu-system-x86_64", "busybox", "redis-server")
	if _, err := os.Stat(kernelFile()); err != nil {
		skipRing(t, "vm", "no kernel: "+err.Error(), "as root, run: testdata/setup.sh vm")
	}
}

// newGuest prepares a machine with the witness in it.
func newGuest(t *testing.T) *guest {
	t.Helper()
	wantVM(t)
	return &guest{t: t, console: &said{}, entries: []string{"bin/wit=" + filepath.Join(built, "wit")}}
}

// file puts text at a path of the guest.
func (g *guest) file(path, text string) {
	src := filepath.Join(g.t.TempDir(), "file")
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		g.t.Fatal(err)
	}
	g.entries = append(g.entries, strings.TrimPrefix(path, "/")+"="+src)
}

// program copies a program and the libraries it is linked with.
func (g *guest) program(dest, src string) {
	path, err := findProgram(src)
	if err != nil {
		g.t.Fatal(err)
	}
	g.entries = append(g.entries, strings.TrimPrefix(dest, "/")+"="+path)
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return // static
	}
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
		g.entries = append(g.entries, strings.TrimPrefix(lib, "/")+"="+lib)
	}
}

// image makes the initramfs by the shipped recipe and has it verified.
func (g *guest) image(init string) string {
	image := filepath.Join(g.t.TempDir(), "initramfs.cpio")
	args := append([]string{"-zinit", init, "-o", image}, g.entries...)
	for _, a := range [][]string{args, {"-verify", image}} {
		if out, err := exec.Command(filepath.Join(built, "initramfs"), a...).CombinedOutput(); err != nil {
			g.t.Fatalf("initramfs %q: %v\n%s", a, err, out)
		}
	}
	return image
}

// boot starts the machine. Emulation only: what runs the tests may itself be
// a virtual machine. A panic ends the machine at once and fails the test.
func (g *guest) boot(init string) {
	g.t.Helper()
	qemu, _ := findProgram("qemu-system-x86_64")
	monitor := "none"
	if g.monitor != "" {
		monitor = "unix:" + g.monitor + ",server=on,wait=off"
	}
	g.cmd = exec.Command(qemu, append([]string{
		"-accel", "tcg", "-m", "384", "-smp", "2", "-nodefaults", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-monitor", monitor,
		"-kernel", kernelFile(), "-initrd", g.image(init),
		"-append", "console=ttyS0 panic=-1 quiet " + g.words}, g.flags...)...)
	g.cmd.Stdout, g.cmd.Stderr = g.console, g.console
	keys, err := g.cmd.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	g.keys = keys
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.gone = make(chan struct{})
	go func() {
		_ = g.cmd.Wait()
		close(g.gone)
	}()
	g.t.Cleanup(g.end)
}

func (g *guest) end() {
	if !closed(g.gone) {
		_ = g.cmd.Process.Kill()
		<-g.gone
	}
	if text := g.console.String(); strings.Contains(text, "Attempted to kill init") {
		g.t.Error("the kernel panicked: Attempted to kill init")
	}
	if g.t.Failed() {
		g.t.Logf("console:\n%s", g.console)
	}
}

// sees waits until the console shows an expression and returns its groups.
func (g *guest) sees(expr string) []string {
	g.t.Helper()
	re := regexp.MustCompile("(?m)" + expr)
	var found []string
	err := until(180*time.Second, fmt.Sprintf("%q on the console", expr), func() error {
		if found = re.FindStringSubmatch(g.console.String()); found != nil {
			return nil
		}
		if closed(g.gone) {
			return final{fmt.Errorf("the machine has ended")}
		}
		return fmt.Errorf("not seen")
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

// powersOff waits until the machine has ended by itself.
func (g *guest) powersOff() {
	g.t.Helper()
	err := until(120*time.Second, "the machine to end", func() error {
		if !closed(g.gone) {
			return fmt.Errorf("it runs")
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.t.Errorf("qemu ended with status %d", code)
	}
}

// The ring itself is tried with the witness as /init: should this fail, the
// trouble is the kernel, the emulator or the recipe, and not zinit.
func TestTheVMRingBootsAnyStaticProgram(t *testing.T) {
	g := newGuest(t)
	g.words = "-- -f /dev/console -n trivial"
	g.boot(filepath.Join(built, "wit"))
	g.sees(`^START trivial 1 `)
}
