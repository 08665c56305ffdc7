package keeper

import (
	"strconv"
	"strings"
)

// A helper is a short-lived run on behalf of a service: a hook or a probe. It
// is spawned, signalled, reaped and acknowledged like any run, under a tag of
// its own, "KIND/SERVICE". No service can have that tag, for no service's name
// holds a slash. Several helpers of one service may run at a time, one of each
// kind.
//
// What a helper prints goes to the service's log without the keeper's doing:
// it has pipes of its own, "pipe/KIND/SERVICE/RUN/out", and the server pumps
// them into the store of the service that ParseTag names. A pipe shared with
// the service would lose the end of file of both, and a hook before the first
// run has none to share.

// HelperTag is the tag of a helper. The kind is a word without a slash, such as
// "pre", "post", "stop", "reload" or "probe".
func HelperTag(kind, service string) string { return kind + "/" + service }

// ParseTag says whose run a tag is: the service, and for a helper its kind, ""
// for the service itself.
func ParseTag(tag string) (kind, service string) {
	kind, service, helper := strings.Cut(tag, "/")
	if !helper {
		return "", tag
	}
	return kind, service
}

// ParsePipe splits the name by which a run's pipe is held, "pipe/TAG/RUN/END";
// END is "out", "err" or "ready".
func ParsePipe(name string) (tag string, run uint64, end string, ok bool) {
	rest, ok := strings.CutPrefix(name, "pipe/")
	at := strings.LastIndexByte(rest, '/')
	if !ok || at < 0 {
		return "", 0, "", false
	}
	rest, end = rest[:at], rest[at+1:]
	if at = strings.LastIndexByte(rest, '/'); at < 1 {
		return "", 0, "", false
	}
	run, err := strconv.ParseUint(rest[at+1:], 10, 64)
	return rest[:at], run, end, err == nil
}
