package main

import (
	"os"
	"strings"
	"syscall"
	"time"
)

// badServer is what happens when somebody upgrades zinit to the witness: it
// is started as a server and is a bad one, in the way that the file named in
// WIT_SERVER says: "exit N", "die DURATION", "hang".
func badServer() int {
	text, _ := os.ReadFile(os.Getenv("WIT_SERVER"))
	how, arg, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	switch how {
	case "die":
		d, _ := time.ParseDuration(arg)
		time.Sleep(d)
		mortal(syscall.SIGSEGV)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		time.Sleep(10 * time.Second)
	case "hang":
		time.Sleep(time.Hour)
	}
	return 1
}
