// Command zinit is a supervisor and init in one static file.
//
// What it is called as decides what it does; the table below is every way in.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"zinit/applets"
	"zinit/applets/client"
	"zinit/applets/pid1"
	"zinit/applets/server"
	"zinit/supervisor/keeper"
)

// version is set by the linker.
var version = "dev"

// table holds the names that lead somewhere else than the client, which is
// what people type.
var table = map[string]applets.Func{
	"init":         pid1.Main, // the kernel runs us as /sbin/init
	"pid1":         pid1.Main,
	"zinit-pid1":   pid1.Main,
	"server":       server.Main, // a supervisor without the duties of PID 1
	"zinit-server": server.Main,
	"emergency":    pid1.Emergency, // on the console of a machine in trouble
	"exec-steps":   execSteps,      // where clone is refused: see supervisor/keeper
}

func main() {
	std := applets.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	applets.Version = version
	applet, args := choose(os.Args, os.Getpid())
	os.Exit(applet(args, std))
}

// choose finds the applet for the name we are called by, then for the first
// argument; PID 1 without arguments is an init.
func choose(args []string, pid int) (applets.Func, []string) {
	if len(args) == 0 {
		args = []string{"zinit"}
	}
	name := filepath.Base(args[0])
	if f, ok := table[name]; ok {
		return f, args
	}
	if len(args) > 1 {
		if f, ok := table[args[1]]; ok {
			return f, args[1:]
		}
	}
	if pid == 1 {
		return pid1.Main, args
	}
	return client.Main, args
}

func execSteps(args []string, std applets.Streams) int {
	if len(args) < 2 {
		fmt.Fprintln(std.Err, "exec-steps is for zinit itself; see zinit help")
		return 2
	}
	return keeper.ExecSteps(args)
}
