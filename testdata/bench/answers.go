package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// talk is a connection to zinit that many calls go over.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

func (p *peer) talk() (*talk, error) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("unix", p.sock)
		if err == nil {
			return &talk{c, bufio.NewReaderSize(c, 1<<20)}, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// call is one question and its answer, and the time between them.
func (t *talk) call(method string, params any) (json.RawMessage, time.Duration, error) {
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if _, err := t.conn.Write(append(text, '\n')); err != nil {
		return nil, 0, err
	}
	line, err := t.in.ReadBytes('\n')
	took := time.Since(began)
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, 0, err
	}
	if answer.Error != nil {
		return nil, 0, fmt.Errorf("%s: %s", method, answer.Error)
	}
	return answer.Result, took, nil
}

// often is the median of so many calls, in milliseconds.
func (t *talk) often(times int, method string, params any) (float64, error) {
	var took []float64
	for range times {
		_, d, err := t.call(method, params)
		if err != nil {
			return 0, err
		}
		took = append(took, ms(d))
	}
	return median(took), nil
}

// answers is how long a reload of n unchanged files and the reasons of one of n
// services take: of one that runs, and of the last of a chain of n that waits
// for the first of them.
func (b *bench) answers() error {
	p, _, err := b.ready(b.n)
	if err != nil {
		return err
	}
	t, err := p.talk()
	if err != nil {
		return err
	}
	defer t.conn.Close()
	reload, err := t.often(20, "system.reload", nil)
	if err != nil {
		return err
	}
	why, err := t.often(50, "service.why", map[string]string{"name": fmt.Sprintf("s%05d", b.n-1)})
	if err != nil {
		return err
	}
	b.figures.add("reload", "zinit", reload)
	b.figures.add("why", "zinit", why)
	return p.stop()
}

// decisions is the time of a restart of the first of many targets that need each
// other, for each of them: a chain of 1000, a chain of 10,000, and 10,000 that
// all need the first. Targets have no processes, so that it is the time of
// decisions alone. It is flat when a longer chain and a fan cost no more than what
// ten times the memory to go through explains: what grew with their number would
// cost ten times as much.
func (b *bench) decisions() error {
	p, err := b.start("zinit", "d", 0)
	if err != nil {
		return err
	}
	t, err := p.talk()
	if err != nil {
		return err
	}
	defer t.conn.Close()
	chain := func(i int) int { return i - 1 }
	first := func(int) int { return 0 }
	each := map[string]float64{}
	for _, shape := range []struct {
		name  string
		n     int
		needs func(i int) int
	}{{"chain 1000", 1000, chain}, {"chain 10000", 10_000, chain}, {"fan 10000", 10_000, first}} {
		if err := p.targets(shape.n, shape.needs); err != nil {
			return err
		}
		_, took, err := t.call("system.reload", nil)
		if err != nil {
			return fmt.Errorf("%w\n%.2000s", err, p.out.String())
		}
		b.figures.add("load "+shape.name, "zinit", ms(took))
		again, err := t.often(5, "service.restart", map[string]any{"name": "t00000", "wait": true})
		if err != nil {
			return fmt.Errorf("%w\n%.2000s", err, p.out.String())
		}
		each[shape.name] = again * 1000 / float64(shape.n)
		b.figures.add(shape.name, "zinit", each[shape.name])
	}
	b.figures.add("flat chain", "zinit", each["chain 10000"]/each["chain 1000"])
	b.figures.add("flat fan", "zinit", each["fan 10000"]/each["chain 1000"])
	return p.stop()
}

// targets writes n of them in place of those that are there; all but the first
// need one before.
func (p *peer) targets(n int, needs func(i int) int) error {
	dir := filepath.Join(p.dir, "etc", "services")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		var text strings.Builder
		text.WriteString("[target]\n")
		if i > 0 {
			fmt.Fprintf(&text, "[dependencies]\nrequires = [\"t%05d\"]\n", needs(i))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("t%05d.toml", i)), []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// answerRows are the lines of the table that answers and decisions fill.
func (b *bench) answerRows() []row {
	return []row{
		{"reload", fmt.Sprintf("reload of %d unchanged files", b.n), "ms", 100},
		{"why", fmt.Sprintf("why, with %d services", b.n), "ms", 2},
		{"load chain 1000", "reload that adds a chain of 1000 targets", "ms", 1000},
		{"load chain 10000", "reload that adds a chain of 10,000 targets", "ms", 1000},
		{"load fan 10000", "reload that makes it 10,000 on one", "ms", 1000},
		{"chain 1000", "restart of a chain of 1000 targets, for each", "µs", 100},
		{"chain 10000", "restart of a chain of 10,000, for each", "µs", 100},
		{"fan 10000", "restart of one that 9999 need, for each", "µs", 100},
		{"flat chain", "the longer chain to the shorter, each", "times", 3},
		{"flat fan", "the fan to the shorter chain, each", "times", 3},
	}
}
