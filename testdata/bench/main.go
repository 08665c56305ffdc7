// Bench measures zinit beside two floors, in one run on one machine: a C
// program that only spawns and waits (c/floor.c) and the same in Go. It
// prints a table of medians and ratios. What is started, and when, is known
// from records that the services write (c/svc.c), never from zinit.
//
//	go run ./testdata/bench -zinit ./zinit [-runs 5] [-n 1000] [-chain 500] [-idle 10s] [-cgroups=false] [-only cold,chain,…]
//
// Peers take turns within each run, so that a machine that is slow for a
// while is slow for all of them. Working files are on tmpfs where there is one.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bench is one call of this program.
type bench struct {
	dir    string // of programs and working files
	zinit  string
	svc    string
	cfloor string
	self   string

	runs, n, chain, kills int
	idle                  time.Duration
	cgroups               bool // each service of zinit's gets one
	peers                 []string
	figures               figures
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "gofloor" {
		if err := goFloor(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "gofloor:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{figures: figures{}}
	flag.StringVar(&b.zinit, "zinit", "./zinit", "the zinit binary")
	flag.IntVar(&b.runs, "runs", 5, "runs of each")
	flag.IntVar(&b.n, "n", 1000, "daemons")
	flag.IntVar(&b.chain, "chain", 500, "oneshots in the chain")
	flag.IntVar(&b.kills, "kills", 50, "kills of one service")
	flag.DurationVar(&b.idle, "idle", 10*time.Second, "how long idleness is watched")
	flag.BoolVar(&b.cgroups, "cgroups", false, "zinit makes a cgroup for each service, also in the root of their tree")
	peers := flag.String("peers", "C floor,Go floor,zinit", "who is measured, in turns")
	only := flag.String("only", "cold,chain,restart,memory,idle,takeover,answers,decisions", "what is measured")
	strict := flag.Bool("strict", false, "end with status 1 when a figure is over its bound")
	flag.Parse()
	b.peers = strings.Split(*peers, ",")
	if err := b.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for i := range b.runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, b.runs)
		for _, what := range strings.Split(*only, ",") {
			if err := b.measure(what); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	over := b.table(os.Stdout)
	if over > 0 && *strict {
		return fmt.Errorf("%d figures are over their bounds", over)
	}
	return nil
}

// prepare compiles the C programs and finds a place for working files.
func (b *bench) prepare() error {
	var err error
	if b.zinit, err = filepath.Abs(b.zinit); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	place := "/dev/shm"
	if st, err := os.Stat(place); err != nil || !st.IsDir() {
		place = ""
	}
	if b.dir, err = os.MkdirTemp(place, "zinit-bench"); err != nil {
		return err
	}
	b.svc, b.cfloor = filepath.Join(b.dir, "svc"), filepath.Join(b.dir, "floor")
	for _, out := range []string{b.svc, b.cfloor} {
		src := filepath.Join("testdata", "bench", "c", filepath.Base(out)+".c")
		if msg, err := exec.Command("gcc", "-O2", "-static", "-Wall", "-o", out, src).CombinedOutput(); err != nil {
			return fmt.Errorf("gcc %s: %w\n%s\n  as root, run: testdata/setup.sh bench; call this from the top of the source tree", src, err, msg)
		}
	}
	return nil
}

func (b *bench) measure(what string) error {
	switch what {
	case "cold":
		return b.everyPeer(b.cold)
	case "chain":
		return b.everyPeer(b.chained)
	case "restart":
		return b.everyPeer(b.restart)
	case "memory":
		return b.memory()
	case "idle":
		return b.idleness()
	case "takeover":
		return b.takeovers()
	case "answers":
		return b.answers()
	case "decisions":
		return b.decisions()
	}
	return fmt.Errorf("unknown; there are cold, chain, restart, memory, idle, takeover, answers, decisions")
}

func (b *bench) everyPeer(f func(peer string) error) error {
	for _, peer := range b.peers {
		if err := f(peer); err != nil {
			return fmt.Errorf("%s: %w", peer, err)
		}
	}
	return nil
}
