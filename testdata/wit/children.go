package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// leave starts a child that stays: in our group, in a session of its own, or
// (double) as the child of one that is gone at once.
func leave(p *plan, n *notes, mode string) {
	args := []string{"-f", p.file, "-n", p.name}
	if !p.between {
		args[3] += ".child"
	}
	if p.forkTerm {
		args = append(args, "-ignore-term", "-fork-ignore-term")
	}
	if mode == "double" {
		args = append(args, "-between")
	}
	cmd := self(args)
	if mode == "session" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "wit: cannot start a child:", err)
		return
	}
	if mode == "double" {
		_ = cmd.Wait()
		return
	}
	n.put("CHILD", strconv.Itoa(cmd.Process.Pid))
}

// hold leaves a grandchild in a new session that keeps our stdout and prints
// ten lines a second until its time is over.
func hold(p *plan, n *notes) {
	cmd := self([]string{
		"-f", p.file, "-n", p.name + ".holder",
		"-after", p.holdStdout.String(), "-lines", "-1", "-rate", "10",
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "wit: cannot start the holder:", err)
		return
	}
	n.put("CHILD", strconv.Itoa(cmd.Process.Pid))
}

// lookBack notes each child of an earlier run that still lives: what must be
// gone before a new run may start.
func lookBack(n *notes) {
	for _, r := range n.earlier("CHILD") {
		if len(r) > 5 && living(r[5]) {
			n.put("LEFT", r[5])
		}
	}
}

// living says whether a process has this pid and is not a zombie.
func living(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	return len(f) > 0 && f[0][0] != 'Z' && f[0][0] != 'X'
}

func self(args []string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	cmd := exec.Command(exe, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}
