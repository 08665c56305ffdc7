package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// goFloor is floor.c in Go: the least program that does the work.
func goFloor(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("gofloor d|o FILE SVC N")
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	f := floor{file: args[1], svc: args[2]}
	if args[0] == "o" {
		for i := range n {
			if err := f.start("o", i, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return f.daemons(n)
}

type floor struct{ file, svc string }

// start runs one; with ended it returns at once, and the index is sent there
// when the process has ended.
func (f floor) start(kind string, i int, ended chan<- int) error {
	argv := []string{f.svc, kind, f.file, fmt.Sprintf("s%05d", i)}
	p, err := os.StartProcess(f.svc, argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	if ended == nil {
		_, err = p.Wait()
		return err
	}
	go func() {
		_, _ = p.Wait()
		ended <- i
	}()
	return nil
}

func (f floor) daemons(n int) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	ended := make(chan int, n)
	for i := range n {
		if err := f.start("d", i, ended); err != nil {
			return err
		}
	}
	for {
		select {
		case i := <-ended:
			if err := f.start("d", i, ended); err != nil {
				return err
			}
		case <-term:
			signal.Ignore(syscall.SIGTERM)
			_ = syscall.Kill(0, syscall.SIGTERM) // our group: the services and nobody else
			for range n {
				<-ended
			}
			return nil
		}
	}
}
