package main

import (
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

func self(args []string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	cmd := exec.Command(exe, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}
