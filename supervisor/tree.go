package supervisor

import "zinit/graph"

// Draw returns the accepted graph with the state of each service.
func (s *Supervisor) Draw() graph.Drawing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.graph.Draw(func(name string) (symbol, state string) {
		st := s.services[name].rt.State
		return st.Symbol(), st.String()
	})
}

// Tree draws services with what they depend on below them, each with its
// state; reverse draws dependents. name "" draws all that nothing depends on.
func (s *Supervisor) Tree(name string, reverse bool) (string, error) {
	if name != "" {
		s.mu.Lock()
		known := s.services[name] != nil
		err := s.unknown(name)
		s.mu.Unlock()
		if !known {
			return "", err
		}
	}
	return s.Draw().Tree(name, reverse), nil
}
