package supervisor

import (
	"errors"

	"zinit/supervisor/journal"
)

// A request that may not be done twice carries a token. It is recorded in the
// frame of its decision, so that a caller whose server died before it answered
// can ask again: what was decided is not decided a second time.
const (
	tokensKept = 1000
	tokenLife  = int64(600e9) // nanoseconds
	tokenMax   = 128          // bytes
)

// errKnown ends a turn whose token has been decided already.
var errKnown = errors.New("already decided")

// tokens are the recent ones, oldest first.
type tokens struct {
	at    map[string]int64 // CLOCK_MONOTONIC
	order []string
}

func (k *tokens) add(token string, now int64) {
	if k.at == nil {
		k.at = map[string]int64{}
	}
	if _, known := k.at[token]; !known {
		k.order = append(k.order, token)
	}
	k.at[token] = now
	for len(k.order) > 0 && (len(k.order) > tokensKept || now-k.at[k.order[0]] > tokenLife) {
		delete(k.at, k.order[0])
		k.order = k.order[1:]
	}
}

func (k *tokens) known(token string, now int64) bool {
	at, ok := k.at[token]
	return ok && now-at <= tokenLife
}

// encode writes them all, for a journal that begins afresh.
func (k *tokens) encode(e *journal.Encoder) {
	for _, token := range k.order {
		encodeToken(e, token, k.at[token])
	}
}

func encodeToken(e *journal.Encoder, token string, at int64) {
	var one journal.Encoder
	one.String(1, token)
	one.Int(2, at)
	e.Bytes(frameToken, one.Payload())
}

func decodeToken(payload []byte) (token string, at int64) {
	for d := journal.NewDecoder(payload); d.Next(); {
		switch d.ID() {
		case 1:
			token = d.String()
		case 2:
			at = d.Int()
		}
	}
	return token, at
}

// decideBy is decide for a request, once for each of its tokens: the second time
// it does nothing and succeeds.
func (s *Supervisor) decideBy(by Cause, f func(t *turn) error) error {
	err := s.decide(by.String(), func(t *turn) error {
		if by.Token != "" {
			if len(by.Token) > tokenMax {
				return refuse(Invalid, "", "", "cannot use a token of %d bytes: at most %d", len(by.Token), tokenMax)
			}
			if s.tokens.known(by.Token, t.mono) {
				return errKnown
			}
			t.token = by.Token
		}
		return f(t)
	})
	if err == errKnown {
		return nil
	}
	return err
}

// decided reports whether a request has been decided already.
func (s *Supervisor) decided(by Cause) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return by.Token != "" && s.tokens.known(by.Token, s.opt.Now())
}
