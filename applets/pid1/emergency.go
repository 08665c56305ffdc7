package pid1

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zinit/applets"
	"zinit/applets/client"
)

const shell = "/bin/sh"

// Emergency is the applet that a person meets on the console when something
// critical has failed: a root shell where there is one, else a prompt that
// knows the words which matter then.
func Emergency(args []string, std applets.Streams) int {
	why := "a shell was asked for"
	if len(args) > 1 {
		why = args[1]
	}
	fmt.Fprintf(std.Out, "\nzinit: emergency: %s\n", why)
	if unix.Access(shell, unix.X_OK) == nil {
		fmt.Fprintln(std.Out, "This is a root shell. Useful: zinit list, zinit why NAME, zinit logs NAME, reboot. exit closes it.")
		err := unix.Exec(shell, []string{"-sh"}, os.Environ())
		fmt.Fprintf(std.Out, "cannot run %s: %v\n", shell, err)
	}
	prompt(std)
	return 0
}

// words are what the prompt takes: verbs of the client.
var words = []string{"list", "why", "logs", "start", "stop", "status", "reload", "reboot", "poweroff"}

// prompt reads commands until it is told to exit or the console hangs up.
func prompt(std applets.Streams) {
	help := strings.Join(words, ", ") + ", exit"
	fmt.Fprintf(std.Out, "There is no %s. Commands: %s.\n", shell, help)
	in := bufio.NewScanner(std.In)
	for {
		fmt.Fprint(std.Out, "zinit> ")
		if !in.Scan() {
			return
		}
		f := strings.Fields(in.Text())
		switch {
		case len(f) == 0:
		case f[0] == "exit":
			return
		case !slices.Contains(words, f[0]):
			fmt.Fprintf(std.Out, "commands: %s\n", help)
		default:
			obey(f, std)
		}
	}
}

// noServer is the client's exit status when none answers.
const noServer = 6

// obey runs a client. Without a server, the two ends still work: the keeper
// takes them as signals.
func obey(f []string, std applets.Streams) {
	status := client.Main(append([]string{"zinit"}, f...), std)
	if status != noServer {
		return
	}
	switch f[0] {
	case "reboot":
		unix.Kill(1, unix.SIGINT)
	case "poweroff":
		unix.Kill(1, unix.SIGTERM)
	}
}
