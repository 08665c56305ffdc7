package supervisor

import (
	"fmt"
	"strings"
	"time"

	"zinit/supervisor/spec"
)

// OwnLog is the service name under which zinit's own messages are kept.
const OwnLog = spec.Reserved

// Level is the weight of one of zinit's own messages.
type Level int

const (
	LevelDebug Level = iota - 1
	LevelInfo        // the default: every transition
	LevelWarn
	LevelError
)

// ParseLevel reads debug, info, warn or error.
func ParseLevel(word string) (Level, bool) {
	switch strings.ToLower(word) {
	case "debug", "trace":
		return LevelDebug, true
	case "info", "":
		return LevelInfo, true
	case "warn", "warning":
		return LevelWarn, true
	case "error":
		return LevelError, true
	}
	return LevelInfo, false
}

// say writes one of zinit's own messages into the store, as service "zinit".
func (s *Supervisor) say(level Level, format string, args ...any) {
	if level < s.opt.LogLevel {
		return
	}
	prefix := ""
	switch level {
	case LevelWarn:
		prefix = "warning: "
	case LevelError:
		prefix = "error: "
	}
	s.logs.Write([]byte(prefix + fmt.Sprintf(format, args...) + "\n"))
}

// sayTransition writes one line for a transition. What failed is a warning.
func (s *Supervisor) sayTransition(tr Transition) {
	level := LevelInfo
	if tr.To == "failed" && (s.opt.Main == nil || tr.Name != MainName) { // a command's status speaks for itself
		level = LevelWarn
	}
	if level < s.opt.LogLevel {
		return
	}
	line := fmt.Sprintf("%s %s: %s -> %s", symbolOf(tr.To), tr.Name, tr.From, tr.To)
	if tr.PID != 0 && tr.To == "running" {
		line += fmt.Sprintf(" (pid %d)", tr.PID)
	}
	if tr.Reason != "" {
		line += ": " + tr.Reason
	}
	s.logs.Write([]byte(line + "\n"))
}

func (s *Supervisor) sayUnkillable(name string, pid int) {
	s.say(LevelError, "%s: still present %s after SIGKILL: pid %d, kernel state %s; nothing new starts until it is gone",
		name, time.Duration(killGrace), pid, kernelState(pid))
}
