package spec

import (
	"slices"
	"strings"
)

// The reader below only judges: nothing acts on its key yet (later.go).

var forwards = [...]string{"syslog", "syslog+udp://HOST:PORT", "syslog+tcp://HOST:PORT", "tcp://HOST:PORT", "unix:/PATH", "http://HOST:PORT/PATH"}

func readForward(r *reader, v value) {
	text, ok := r.text(v)
	if !ok || text == "" || text == "syslog" {
		return
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok && strings.HasPrefix(path, "/") {
		return
	}
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme == "http" && httpURL(text) || slices.Contains([]string{"syslog+udp", "syslog+tcp", "tcp"}, scheme) && hostPort(rest) {
		return
	}
	r.fail(v.at, "unknown value "+quote(text)+"; allowed: "+strings.Join(forwards[:], ", "), "")
}
