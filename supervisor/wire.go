package supervisor

import (
	"encoding/json"
	"strconv"
)

// MarshalJSON gives each state the fields that zinit 0.3 gives it, no matter
// whether they are empty: its clients refuse a running service without a pid,
// and a target has none but 0.
func (s State) MarshalJSON() ([]byte, error) {
	head := append([]byte(`{"state":`), strconv.Quote(s.State)...)
	var key string
	var value any
	switch s.State {
	case "starting", "running", "stopping": // the most, and without reflection
		head = strconv.AppendInt(append(head, `,"pid":`...), int64(s.PID), 10)
		return append(head, '}'), nil
	case "blocked":
		key, value = "waiting_on", append([]string{}, s.WaitingOn...)
	case "exited":
		key, value = "exit_code", s.ExitCode
	case "failed":
		key, value = "reason", s.Reason
	default:
		return append(head, '}'), nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	head = append(append(head, `,"`+key+`":`...), b...)
	return append(head, '}'), nil
}
