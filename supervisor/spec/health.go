package spec

import (
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// What an absent key of [health] means.
const (
	DefaultExpectStatus   = 200
	DefaultHealthInterval = 10 * time.Second
	DefaultHealthTimeout  = 5 * time.Second
	DefaultHealthRetries  = 3
)

// HealthCheck is how a service is asked whether it is well.
type HealthCheck struct {
	Type         HealthType
	Target       string        // http: an URL; tcp: HOST:PORT; exec: the command as a person writes it
	Exec         Command       // of exec
	ExpectStatus int           // of http
	Interval     time.Duration // between the end of a probe and the next
	Timeout      time.Duration // of one probe
	Retries      int           // failures in a row that mean the service is lost
	StartPeriod  time.Duration // failures within it, counted from the start of the run, do not count
	OnFailure    OnLost
}

// HealthType is the kind of a probe.
type HealthType uint8

// The kinds of probes.
const (
	HealthHTTP HealthType = iota // a GET is answered with the status expected
	HealthTCP                    // a connection is accepted
	HealthExec                   // a command succeeds
)

// String returns the kind as service files spell it.
func (h HealthType) String() string { return word(healthTypes[:], int(h)) }

// OnLost is what follows when a service is lost.
type OnLost uint8

// Zero is LostRestart, the default.
const (
	LostRestart OnLost = iota // a failure that the restart policy judges
	LostStop                  // it is stopped
	LostReport                // it is said, and nothing else happens
)

// String returns it as service files spell it.
func (o OnLost) String() string { return word(lostWords[:], int(o)) }

var (
	healthTypes = [...]string{HealthHTTP: "http", HealthTCP: "tcp", HealthExec: "exec"}
	lostWords   = [...]string{LostRestart: "restart", LostStop: "stop", LostReport: "report"}
)

// unjudged is [health] before its keys are known to fit each other.
type unjudged struct {
	HealthCheck
	typed  bool  // Type is given
	target value // judged when the type is known
}

func initialHealth() unjudged {
	return unjudged{HealthCheck: HealthCheck{ExpectStatus: DefaultExpectStatus, Interval: DefaultHealthInterval,
		Timeout: DefaultHealthTimeout, Retries: DefaultHealthRetries}}
}

func readHealthType(r *reader, v value) {
	if i := r.choice(v, healthTypes[:]); i >= 0 {
		r.health.Type, r.health.typed = HealthType(i), true
	}
}

// judgeHealth looks at [health] as a whole.
func (r *reader) judgeHealth() {
	if _, there := r.lines["health"]; !there {
		return
	}
	r.need("health", "type", `type = "http"`)
	r.need("health", "target", `target = "http://127.0.0.1:8080/"`)
	r.path = "health.target"
	h := &r.health
	if h.target.kind == 0 || !h.typed {
		return
	}
	if h.Type == HealthExec {
		h.Exec = r.command(h.target)
		h.Target = h.Exec.Line
	} else if text, ok := r.filled(h.target); ok {
		h.Target = text
		switch {
		case h.Type == HealthHTTP && strings.HasPrefix(text, "https://"):
			r.fail(h.target.at, quote(text)+` is https, which zinit does not speak`, `write type = "exec" and a command such as "curl -fsS URL"`)
		case h.Type == HealthHTTP && !httpURL(text):
			r.fail(h.target.at, quote(text)+" is no address; expected http://HOST[:PORT]/PATH", "")
		case h.Type == HealthTCP && !hostPort(text):
			r.fail(h.target.at, quote(text)+" is no address; expected HOST:PORT", "")
		}
	}
	if r.spec.Oneshot {
		r.path = "health"
		r.warn(r.offset(r.lines["health"]), "says nothing for a oneshot, which is not probed", "remove it")
		return
	}
	r.spec.Health = &h.HealthCheck
}

func httpURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "http://")
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	if ok && !strings.Contains(host[strings.LastIndexByte(host, ']')+1:], ":") {
		host += ":80"
	}
	return ok && hostPort(host) && !strings.ContainsAny(host, "@") && !strings.ContainsAny(text, " \n\t")
}

func hostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && n > 0 && host != "" && !strings.ContainsAny(host, " /\n\t")
}

// Resources are the limits of a service's cgroup. Zero: none is set.
type Resources struct {
	MemoryMax  int64   `json:"memory_max"`  // bytes; beyond, the kernel ends processes of the service
	MemoryHigh int64   `json:"memory_high"` // bytes; beyond, it is slowed down
	PidsMax    int     `json:"pids_max"`    // processes and threads
	CPUMax     float64 `json:"cpu_max"`     // processors
	CPUWeight  int     `json:"cpu_weight"`  // 1 to 10000; the kernel's own is 100
	IOWeight   int     `json:"io_weight"`   // the same
}

func readCores(r *reader, v value) {
	n, ok := r.number(v, "a number of processors", "1.5")
	if ok && (math.IsNaN(n) || n <= 0 || n > 1e6) {
		r.fail(v.at, v.text+" is out of range; expected a number of processors above 0", "")
	}
	r.spec.Resources.CPUMax = n
}
