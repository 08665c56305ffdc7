package applets_test

import (
	"crypto/rand"
	"fmt"
	"time"
)

// drive has a client for each service that is there to be stopped, started
// and restarted.
func (s *storm) drive() {
	for _, r := range s.cast {
		switch r.act {
		case "cycle":
			s.beside(func() { s.cycle(r.name) })
		case "restart":
			s.beside(func() { s.restarts(r.name) })
		}
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
func (s *storm) cycle(name string) {
	run := int64(1)
	for s.pause(50 * time.Millisecond) {
		if err := s.arrived(name, run); err != nil {
			s.fault("starts too many or too few", "%v", err)
			return
		}
		if s.order("service.stop", name) != nil {
			return
		}
		if list := s.matchingNow(name); len(list) > 0 {
			s.fault("calls that failed", "%s: its stop was answered and it lives: %v", name, list)
		}
		if s.order("service.start", name) != nil {
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
func (s *storm) restarts(name string) {
	run := int64(1)
	for s.pause(100 * time.Millisecond) {
		if err := s.arrived(name, run); err != nil {
			s.fault("starts too many or too few", "%v", err)
			return
		}
		if s.order("service.restart", name) != nil {
			return
		}
		run = s.told(name) + 1
	}
	if err := s.arrived(name, run); err != nil {
		s.fault("starts too many or too few", "%v", err)
	}
}
