package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// peer is one supervisor at work: zinit, or a floor.
type peer struct {
	dir     string
	records string // the file that its services append to
	sock    string // of zinit
	cmd     *exec.Cmd
	begin   int64 // CLOCK_MONOTONIC just before it was started
	out     bytes.Buffer
}

// record is one line of a service.
type record struct {
	name string
	pid  int
	at   int64 // CLOCK_MONOTONIC
}

func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// start begins a peer with n services of a kind: d (daemons) or o (a chain of
// oneshots).
func (b *bench) start(name, kind string, n int) (*peer, error) {
	dir, err := os.MkdirTemp(b.dir, "p")
	if err != nil {
		return nil, err
	}
	p := &peer{dir: dir, records: filepath.Join(dir, "records"), sock: filepath.Join(dir, "z.sock")}
	if err := os.WriteFile(p.records, nil, 0o644); err != nil {
		return nil, err
	}
	var argv []string
	switch name {
	case "C floor":
		argv = []string{b.cfloor, kind, p.records, b.svc, strconv.Itoa(n)}
	case "Go floor":
		argv = []string{b.self, "gofloor", kind, p.records, b.svc, strconv.Itoa(n)}
	default:
		if err := b.services(p, kind, n); err != nil {
			return nil, err
		}
		argv = []string{b.zinit, "server", "--config-dir", filepath.Join(dir, "etc"), "--socket", p.sock, "--log-level", "warn"}
	}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir}
	if b.cgroups {
		p.cmd.Env = append(p.cmd.Env, "ZINIT_CGROUPS=1")
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.begin = now()
	return p, p.cmd.Start()
}

// services writes zinit's files.
func (b *bench) services(p *peer, kind string, n int) error {
	dir := filepath.Join(p.dir, "etc", "services")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		name := fmt.Sprintf("s%05d", i)
		text := fmt.Sprintf("[service]\nexec = \"%s %s %s %s\"\n", b.svc, kind, p.records, name)
		if kind == "o" {
			text += "oneshot = true\n"
			if i > 0 {
				text += fmt.Sprintf("[dependencies]\nrequires = [\"s%05d\"]\n", i-1)
			}
		} else {
			text += "[lifecycle]\nrestart = \"always\"\nrestart_delay_ms = 1\nrestart_delay_max_ms = 1\nmax_restarts = 0\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// stop ends a peer and what it started.
func (p *peer) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case <-done:
		return os.RemoveAll(p.dir)
	case <-time.After(60 * time.Second):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("it did not stop in 60 s")
	}
}

func parse(text string) ([]record, error) {
	var all []record
	for line := range strings.Lines(text) {
		var r record
		if n, err := fmt.Sscanf(line, "%s %d %d\n", &r.name, &r.pid, &r.at); n != 3 {
			return nil, fmt.Errorf("record %q: %w", line, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// await waits until there are n records, and returns them.
func (p *peer) await(n int) ([]record, error) {
	deadline := time.Now().Add(120 * time.Second)
	for {
		text, err := os.ReadFile(p.records)
		if err != nil {
			return nil, err
		}
		if bytes.Count(text, []byte("\n")) >= n {
			return parse(string(text))
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d services started in 120 s\n%.2000s", bytes.Count(text, []byte("\n")), n, p.out.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}
