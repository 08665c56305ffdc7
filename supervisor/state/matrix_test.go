package state

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// The whole matrix of policies and ends, as it is written down.
const matrix = `
end                    never       on-failure       always
0                      exited      exited           exited, restart
1                      failed      failed, restart  failed, restart
listed code            exited      exited           exited, restart
TERM                   failed      failed, restart  failed, restart
SEGV                   failed      failed, restart  failed, restart
0 before ready         failed      failed, restart  failed, restart
no such program        failed      failed, restart  failed, restart
start timeout          failed      failed, restart  failed, restart
stopped by operator    exited      exited           exited
stopped, then KILL     exited      exited           exited
budget spent           failed      failed           failed
budget spent, 0        exited      exited           failed
0, spent, post_exec    exited      exited           failed
oneshot 0              exited      exited           exited
oneshot 1              failed      failed, restart  failed, restart`

// lives are the ways to end, each from the beginning of a run.
var lives = map[string]func(Service, Rules) Service{
	"0":           func(s Service, r Rules) Service { return exits(ready(s), r, Exit{}) },
	"1":           func(s Service, r Rules) Service { return exits(ready(s), r, Exit{Code: 1}) },
	"listed code": func(s Service, r Rules) Service { return exits(ready(s), r, Exit{Code: 42}) },
	"TERM":        func(s Service, r Rules) Service { return exits(ready(s), r, Exit{Signal: int(syscall.SIGTERM)}) },
	"SEGV": func(s Service, r Rules) Service {
		return exits(ready(s), r, Exit{Signal: int(syscall.SIGSEGV), Core: true})
	},
	"0 before ready": func(s Service, r Rules) Service { return exits(s, r, Exit{}) },
	"no such program": func(s Service, r Rules) Service {
		s, ev := ClassifySpawn(s, "no such file", r, 5, false)
		return must(s, ev)
	},
	"start timeout": func(s Service, r Rules) Service {
		return gone(must(s, StartTimeout), r, Exit{Signal: int(syscall.SIGKILL)})
	},
	"stopped by operator": func(s Service, r Rules) Service {
		return gone(must(ready(s), Stop), r, Exit{Signal: int(syscall.SIGTERM)})
	},
	"stopped, then KILL": func(s Service, r Rules) Service {
		return gone(must(must(ready(s), Stop), StopTimeout), r, Exit{Signal: int(syscall.SIGKILL)})
	},
	"budget spent": func(s Service, r Rules) Service {
		s.Attempts = r.MaxRestarts
		return exits(ready(s), r, Exit{Code: 1})
	},
	"budget spent, 0": func(s Service, r Rules) Service {
		s.Attempts = r.MaxRestarts
		return exits(ready(s), r, Exit{})
	},
	"0, spent, post_exec": func(s Service, r Rules) Service {
		s.Attempts = r.MaxRestarts
		s, ev := ClassifyEnding(ready(s), Exit{}, r, 5)
		s, ev = ClassifyGone(must(s, ev), r, 6, false)
		return must(s, ev)
	},
	"oneshot 0": func(s Service, r Rules) Service { r.Oneshot = true; return exits(s, r, Exit{}) },
	"oneshot 1": func(s Service, r Rules) Service { r.Oneshot = true; return exits(s, r, Exit{Code: 1}) },
}

func ready(s Service) Service { return must(s, Ready) }

func exits(s Service, r Rules, e Exit) Service {
	s, ev := ClassifyExit(s, e, r, 5)
	return must(s, ev)
}

func gone(s Service, r Rules, e Exit) Service {
	s = exits(s, r, e)
	s, ev := ClassifyGone(s, r, 6, false)
	return must(s, ev)
}

// must applies ev, and arms the restart as the supervisor does.
func must(s Service, ev Event) Service {
	next, do, err := s.Step(ev, 1, 1)
	if err != nil {
		panic(err)
	}
	if do&ArmRetry != 0 {
		next.RetryAt = 9
	}
	return next
}

func TestEveryPolicyAndEveryEndComeOutAsWrittenDown(t *testing.T) {
	var got strings.Builder
	for i, line := range strings.Split(strings.TrimPrefix(matrix, "\n"), "\n") {
		end := strings.TrimSpace(line[:min(len(line), 23)])
		if i == 0 {
			got.WriteString("\n" + line)
			continue
		}
		text := fmt.Sprintf("%-22s", end)
		for _, column := range []struct {
			policy Policy
			width  int
		}{{Never, 11}, {OnFailure, 16}, {Always, 0}} {
			s := must(Service{State: Inactive}, StartFree)
			s = lives[end](s, Rules{Policy: column.policy, MaxRestarts: 3, Stability: 100, SuccessCodes: []int{42}})
			word := s.State.String()
			if s.RetryAt != 0 {
				word += ", restart"
			}
			if (s.State == Failed) != (s.Failure.Kind != NoFailure) {
				t.Errorf("%s with policy %d: %s with failure %q", end, column.policy, s.State, s.Failure.Kind)
			}
			text += fmt.Sprintf(" %-*s", column.width, word)
		}
		got.WriteString("\n" + strings.TrimRight(text, " "))
	}
	if got.String() != matrix {
		t.Errorf("the matrix is%s", got.String())
	}
}
