package probe

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Sender is who sent a notification, as the kernel says. Pid is 0 when it is
// of another PID namespace. By the time we look, a short-lived sender is often
// dead: who it was still counts.
type Sender struct {
	Pid      int
	UID, GID uint32
}

// Accept says whether a service's notification is to be believed, nil if so.
// uid is the service's own user. Root is believed, and the service's user,
// unless the sender is provably of another service: owner is the service that it
// belongs to, "" when that is not known. Another program of the same user is not
// told apart without cgroups.
func Accept(from Sender, service string, uid uint32, owner string) error {
	if from.UID != 0 && from.UID != uid {
		return fmt.Errorf("a notification for %q came from user %d, who is neither root nor the service's user %d", service, from.UID, uid)
	}
	if owner != "" && owner != service {
		return fmt.Errorf("a notification for %q came from process %d, which is of %q", service, from.Pid, owner)
	}
	return nil
}

// Session returns the session of a process, which in a service is the number of
// the run's main process; 0 when it is gone or has none. A process that has
// called setsid(2) itself has one that nobody knows.
func Session(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// Field 6; the name in field 2 may hold anything, a ")" too.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 4 {
		return 0
	}
	session, _ := strconv.Atoi(fields[3])
	return max(session, 0)
}
