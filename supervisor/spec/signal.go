package spec

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2/unstable"
)

// The real-time signals that programs may use; the two below are the threads
// library's own.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// signals are the names of Linux; the first of a number is the one we say.
var signals = [...]struct {
	name   string
	number syscall.Signal
}{
	{"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"ILL", 4}, {"TRAP", 5}, {"ABRT", 6}, {"IOT", 6}, {"BUS", 7},
	{"FPE", 8}, {"KILL", 9}, {"USR1", 10}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14},
	{"TERM", 15}, {"STKFLT", 16}, {"CHLD", 17}, {"CLD", 17}, {"CONT", 18}, {"STOP", 19}, {"TSTP", 20},
	{"TTIN", 21}, {"TTOU", 22}, {"URG", 23}, {"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26}, {"PROF", 27},
	{"WINCH", 28}, {"IO", 29}, {"POLL", 29}, {"PWR", 30}, {"SYS", 31},
}

// ParseSignal reads the name of a signal, with or without SIG and in any case,
// RTMIN+n or RTMAX-n, or its number from 1 to 64.
func ParseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > sigRTMax {
			return 0, fmt.Errorf("%d is no signal; allowed: 1 to %d", n, sigRTMax)
		}
		return syscall.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for _, s := range signals {
		if s.name == name {
			return s.number, nil
		}
	}
	for _, at := range [...]struct {
		base, sign string
		first      int
	}{{"RTMIN", "+", sigRTMin}, {"RTMAX", "-", sigRTMax}} {
		rest, ok := strings.CutPrefix(name, at.base)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(rest)
		if rest == "" {
			n, err, rest = 0, nil, at.sign
		}
		if n += at.first; err == nil && strings.HasPrefix(rest, at.sign) && n >= sigRTMin && n <= sigRTMax {
			return syscall.Signal(n), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %s; allowed: the names of Linux (SIGTERM, HUP, …), RTMIN+0 to RTMIN+30, 1 to %d", quote(text), sigRTMax)
}

func signalNames() []string {
	names := make([]string, 0, len(signals))
	for _, s := range signals {
		names = append(names, "SIG"+s.name)
	}
	return names
}

// signal reads a signal, also as an integer.
func (r *reader) signal(v value) (sig syscall.Signal, ok bool) {
	if v.kind != unstable.String && v.kind != unstable.Integer {
		r.wrong(v, "the name or number of a signal", `"SIGTERM"`)
		return 0, false
	}
	text := v.text
	if v.kind == unstable.Integer {
		n, ok := r.integer(v, 1, sigRTMax)
		if !ok {
			return 0, false
		}
		text = strconv.FormatInt(n, 10)
	}
	sig, err := ParseSignal(text)
	if err != nil {
		name := strings.ToUpper(text)
		if !strings.HasPrefix(name, "SIG") {
			name = "SIG" + name
		}
		r.fail(v.at, err.Error(), meant(name, signalNames()))
		return 0, false
	}
	return sig, true
}
