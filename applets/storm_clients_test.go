package applets_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// drive has a client for each service that is there to be stopped, started
// and restarted: half of them by calls, half of them by commands.
func (s *storm) drive() {
	byCommand := false
	for _, r := range s.cast {
		order := s.order
		if byCommand {
			order = s.command
		}
		switch r.act {
		case "":
			continue
		case "cycle":
			s.beside(func() { s.cycle(r.name, order) })
		case "restart":
			s.beside(func() { s.restarts(r.name, order) })
		}
		byCommand = !byCommand
	}
}

// command is order by the command line: zinit stop NAME.
func (s *storm) command(method, name string) error {
	return s.run(strings.TrimPrefix(method, "service."), name)
}

// run runs the client, which must succeed.
func (s *storm) run(args ...string) error {
	begin := time.Now()
	out, errs, code, err := s.client(args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("zinit %q: exit %d after %v\n%s%s", args, code, time.Since(begin), out, errs)
	}
	if err != nil {
		s.fault("calls that failed", "%v", err)
	}
	s.commands.Add(1)
	return err
}

// client is bed.zinit for many goroutines.
func (s *storm) client(args ...string) (stdout, stderr string, code int, err error) {
	var out, errs strings.Builder
	cmd := s.bed.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err = cmd.Run(); errors.As(err, &exit) {
		err = nil
	}
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	return out.String(), errs.String(), code, err
}

// questions asks one thing after the other. The status of `zinit status` tells
// of the service; 6 would be nobody there.
func (s *storm) questions(i int) {
	for n := i; s.pause(20 * time.Millisecond); n++ {
		name := s.cast[n%len(s.cast)].name
		args := [][]string{{"status", name}, {"list"}, {"why", name}, {"logs", name, "-n", "3"}}[n%4]
		out, errs, code, err := s.client(args...)
		if err != nil || code != 0 && (args[0] != "status" || code != 1 && code != 4) {
			s.fault("calls that failed", "zinit %q: exit %d %v\n%s%s", args, code, err, out, errs)
		}
		s.commands.Add(1)
	}
}

// order makes a call that changes something, with a token, and wants success.
func (s *storm) order(method, name string) error {
	var r struct {
		Outcomes []struct {
			OK     bool   `json:"ok"`
			State  string `json:"state"`
			Reason string `json:"reason"`
		} `json:"outcomes"`
	}
	err := s.ask(method, named{"name": name, "wait": true, "token": rand.Text()}, &r)
	if err == nil && (len(r.Outcomes) != 1 || !r.Outcomes[0].OK) {
		err = fmt.Errorf("%s %s: %+v", method, name, r.Outcomes)
	}
	if err != nil {
		s.fault("calls that failed", "%v", err)
	}
	return err
}

// cycle stops and starts one service. When a stop is answered the process is
// gone; when a start is answered it comes.
func (s *storm) cycle(name string, order func(method, name string) error) {
	run := int64(1)
	for s.pause(50 * time.Millisecond) {
		if err := s.arrived(name, run); err != nil {
			s.fault("starts too many or too few", "%v", err)
			return
		}
		if order("service.stop", name) != nil {
			return
		}
		if list := s.matchingNow(name); len(list) > 0 {
			s.fault("calls that failed", "%s: its stop was answered and it lives: %v", name, list)
		}
		if order("service.start", name) != nil {
			return
		}
		run = s.told(name) + 1
	}
	if err := s.arrived(name, run); err != nil {
		s.fault("starts too many or too few", "%v", err)
	}
}

// matchingNow are the living processes that the witness file names so.
func (s *storm) matchingNow(name string) (found []proc) {
	text, _ := s.newRecords(0)
	records, _ := parseRecords(text)
	for _, r := range records {
		if r.kind == "START" && r.name == name && r.proc.alive() {
			found = append(found, r.proc)
		}
	}
	return found
}

// restarts restarts one service again and again; each time it acts once.
func (s *storm) restarts(name string, order func(method, name string) error) {
	run := int64(1)
	for s.pause(100 * time.Millisecond) {
		if err := s.arrived(name, run); err != nil {
			s.fault("starts too many or too few", "%v", err)
			return
		}
		if order("service.restart", name) != nil {
			return
		}
		run = s.told(name) + 1
	}
	if err := s.arrived(name, run); err != nil {
		s.fault("starts too many or too few", "%v", err)
	}
}
