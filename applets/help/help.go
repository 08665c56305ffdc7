// Package help is the manual: a file a topic, and the table of states as the
// state machine itself has it.
package help

import (
	"embed"
	"fmt"
	"strings"

	"zinit/supervisor/state"
)

//go:embed *.md
var files embed.FS

// states is the topic that is made from the table.
const states = "states"

// Topics names every topic, sorted.
func Topics() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".md"))
	}
	return names
}

// Topic returns the text of a topic. It ends with a newline.
func Topic(name string) (text string, ok bool) {
	b, err := files.ReadFile(name + ".md")
	if err != nil {
		return "", false
	}
	if name == states {
		return string(b) + "\n" + statesTable(), true
	}
	return string(b), true
}

// statesTable renders every row of the state machine.
func statesTable() string {
	var b strings.Builder
	for _, from := range state.States() {
		fmt.Fprintf(&b, "%s %s\n", from.Symbol(), from)
		for _, ev := range state.Events() {
			to, do, why, ok := state.Row(from, ev)
			switch {
			case !ok:
			case why != "":
				fmt.Fprintf(&b, "    %-20s -> %-9s (%s)\n", ev, to, why)
			case do != 0:
				fmt.Fprintf(&b, "    %-20s -> %-9s %s\n", ev, to, do)
			default:
				fmt.Fprintf(&b, "    %-20s -> %s\n", ev, to)
			}
		}
	}
	return b.String()
}
