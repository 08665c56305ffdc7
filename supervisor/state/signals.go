package state

// Reach is whom a signal of a service is for. The zero value is nobody.
type Reach uint8

const (
	ToGroup Reach = iota + 1 // the process group of its latest run
	ToMain                   // the main process alone
	ToHook                   // the hook that runs
)

// How many signals are remembered, and how many of these may wait to be sent when
// one more is asked for: what is left is for a stop, which nothing refuses.
const (
	maxSignals = 32
	MaxUnsent  = maxSignals - 8
)

// Signal numbers and remembers one more signal. It is forgotten with its run, or
// when many have come after it.
func (s *Service) Signal(sig int, to Reach) (seq uint64) {
	s.SigSeq++
	s.Sigs += string([]byte{byte(sig-1) | byte(to)<<6})
	s.Sigs = s.Sigs[max(len(s.Sigs)-maxSignals, 0):]
	return s.SigSeq
}

// Signals calls f with the signals that are remembered, the oldest first.
func (s *Service) Signals(f func(seq uint64, sig int, to Reach)) {
	for i, b := range []byte(s.Sigs) {
		if b != 0 {
			f(s.SigSeq-uint64(len(s.Sigs)-1-i), int(b&63)+1, Reach(b>>6))
		}
	}
}

// ForgetHook forgets the signals for a hook, which has ended.
func (s *Service) ForgetHook() {
	b := []byte(s.Sigs)
	for i := range b {
		if Reach(b[i]>>6) == ToHook {
			b[i] = 0
		}
	}
	s.Sigs = string(b)
}
