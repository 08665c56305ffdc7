package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// span is the time from the start of a peer to its last record.
func (p *peer) span(n int) (time.Duration, error) {
	all, err := p.await(n)
	if err != nil {
		return 0, err
	}
	last := slices.MaxFunc(all, func(a, b record) int { return int(a.at - b.at) })
	return time.Duration(last.at - p.begin), nil
}

func (b *bench) timed(name, kind string, n int) (time.Duration, error) {
	p, err := b.start(name, kind, n)
	if err != nil {
		return 0, err
	}
	took, err := p.span(n)
	if err2 := p.stop(); err == nil {
		err = err2
	}
	return took, err
}

// cold is the time from before the supervisor is executed to the last of n
// daemons at work.
func (b *bench) cold(peer string) error {
	took, err := b.timed(peer, "d", b.n)
	b.figures.add("cold start", peer, ms(took))
	return err
}

// chained is the same for oneshots that each need the one before.
func (b *bench) chained(peer string) error {
	took, err := b.timed(peer, "o", b.chain)
	b.figures.add("chain", peer, ms(took))
	return err
}

// restart is the median time from SIGKILL to the next run at work, less the
// delay that was configured.
func (b *bench) restart(name string) error {
	p, err := b.start(name, "d", 10)
	if err != nil {
		return err
	}
	delay := int64(0)
	if name == "zinit" {
		delay = int64(time.Millisecond)
	}
	var took []float64
	for i := range b.kills {
		all, err := p.await(10 + i)
		if err != nil {
			return err
		}
		last := all[len(all)-1]
		time.Sleep(5 * time.Millisecond) // the one before has settled
		at := now()
		if err := syscall.Kill(last.pid, syscall.SIGKILL); err != nil {
			return err
		}
		if all, err = p.await(11 + i); err != nil {
			return err
		}
		took = append(took, float64(all[10+i].at-at-delay)/1e3)
	}
	b.figures.add("restart", name, median(took))
	return p.stop()
}

// settles is how long after its start zinit has given back what that took.
const settles = 3 * time.Second

// memory is the proportional size of keeper and server, with no services and
// with n idle ones.
func (b *bench) memory() error {
	for _, n := range []int{0, b.n} {
		p, pids, err := b.ready(n)
		if err != nil {
			return err
		}
		time.Sleep(settles)
		total := 0.0
		for _, pid := range pids {
			total += pss(pid)
		}
		b.figures.add(fmt.Sprintf("memory %d", n), "zinit", total)
		if err := p.stop(); err != nil {
			return err
		}
	}
	return nil
}

// idleness counts how often any thread of keeper and server ran while nothing
// happened.
func (b *bench) idleness() error {
	p, pids, err := b.ready(b.n)
	if err != nil {
		return err
	}
	time.Sleep(settles)
	before := switches(pids)
	time.Sleep(b.idle)
	b.figures.add("idle", "zinit", float64(switches(pids)-before))
	return p.stop()
}

// takeovers is the time from SIGKILL of the server to an answer.
func (b *bench) takeovers() error {
	for _, n := range []int{100, b.n} {
		p, pids, err := b.ready(n)
		if err != nil {
			return err
		}
		var took []float64
		for range 5 {
			at := now()
			if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
				return err
			}
			old := pids[1]
			for pids[1] == old {
				if _, pids, err = p.version(); err != nil {
					return err
				}
			}
			took = append(took, float64(now()-at)/1e6)
			time.Sleep(200 * time.Millisecond)
		}
		b.figures.add(fmt.Sprintf("takeover %d", n), "zinit", median(took))
		if err := p.stop(); err != nil {
			return err
		}
	}
	return nil
}

// ready is a zinit with n idle daemons, and the pids of keeper and server.
func (b *bench) ready(n int) (*peer, []int, error) {
	p, err := b.start("zinit", "d", n)
	if err != nil {
		return nil, nil, err
	}
	if _, err := p.await(n); err != nil {
		return nil, nil, err
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, pids, err := p.version()
		if err == nil || time.Now().After(deadline) {
			return p, pids, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// version asks zinit, on a connection of its own.
func (p *peer) version() (generation int, pids []int, err error) {
	c, err := net.Dial("unix", p.sock)
	if err != nil {
		return 0, nil, err
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, `{"jsonrpc":"2.0","id":1,"method":"system.version"}`); err != nil {
		return 0, nil, err
	}
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return 0, nil, err
	}
	var answer struct {
		Result struct {
			PID        int `json:"pid"`
			KeeperPID  int `json:"keeper_pid"`
			Generation int `json:"generation"`
		} `json:"result"`
	}
	err = json.Unmarshal(line, &answer)
	return answer.Result.Generation, []int{answer.Result.KeeperPID, answer.Result.PID}, err
}

// pss is the proportional set size of a process in MiB.
func pss(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// switches sums how often the threads of these processes went to sleep.
func switches(pids []int) int {
	total := 0
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			for line := range strings.Lines(string(text)) {
				if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
					v, _ := strconv.Atoi(strings.TrimSpace(n))
					total += v
				}
			}
		}
	}
	return total
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
