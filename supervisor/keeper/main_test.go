package keeper

import (
	"fmt"
	"os"
	"testing"
)

// The test binary is also the keeper, the servers and the exec-steps applet
// of its own tests. What it is follows from its name alone: a server can never
// become a keeper by what it inherits.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "exec-steps" {
		os.Exit(ExecSteps(os.Args))
	}
	switch os.Args[0] {
	case "keeper":
		os.Exit(keeperMain())
	case "attributes":
		fmt.Print(attributes())
		os.Exit(0)
	case "server":
		os.Exit(serverMain())
	}
	inheritNothing()
	os.Exit(m.Run())
}
