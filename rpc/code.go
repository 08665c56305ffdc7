package rpc

import "fmt"

// Codes of errors. Those from -32768 to -32600 are the standard's, -32000 to
// -32014 are zinit 0.3's, below that they are ours.
const (
	CodeParse          = -32700 // standard: not JSON, or not UTF-8
	CodeInvalidRequest = -32600 // standard: JSON, but no request
	CodeMethodNotFound = -32601 // standard
	CodeInvalidParams  = -32602 // standard
	CodeInternal       = -32603 // standard

	CodeNotFound      = -32000 // 0.3: no such service
	CodeNotRunning    = -32002 // 0.3: it has no process
	CodeExists        = -32001 // 0.3: the name is taken
	CodeInvalidConfig = -32003 // 0.3: a file or value is bad
	CodeCycle         = -32004 // 0.3: it would wait for itself
	CodeUnsafe        = -32005 // 0.3: others require what is to be removed
	CodeInvalid       = -32011 // 0.3: a definition that does not load
	CodeUnwritten     = -32014 // 0.3: a file could not be written

	CodeNotAllowed   = -32020 // ours: the peer may not
	CodeRefused      = -32021 // ours: would break others
	CodeShuttingDown = -32022 // ours: nothing new starts
	CodeTimedOut     = -32023 // ours: the caller's patience ended
	CodeUnrecorded   = -32024 // ours: could not be recorded; nothing was done
	CodeTooMuch      = -32025 // ours: a limit of this package
)

// Error is an error as it travels.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    *Data  `json:"data,omitempty"`
}

// Data says more about an error. Empty fields are left out.
type Data struct {
	Kind    string `json:"kind,omitempty"`
	Service string `json:"service,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error without data.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
