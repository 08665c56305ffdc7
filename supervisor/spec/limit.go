package spec

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/sys/unix"
)

const unlimited = ^uint64(0) // RLIM_INFINITY

var resources = [...]struct {
	name   string
	number int
}{
	{"as", unix.RLIMIT_AS}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU}, {"data", unix.RLIMIT_DATA},
	{"fsize", unix.RLIMIT_FSIZE}, {"locks", unix.RLIMIT_LOCKS}, {"memlock", unix.RLIMIT_MEMLOCK},
	{"msgqueue", unix.RLIMIT_MSGQUEUE}, {"nice", unix.RLIMIT_NICE}, {"nofile", unix.RLIMIT_NOFILE},
	{"nproc", unix.RLIMIT_NPROC}, {"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO},
	{"rttime", unix.RLIMIT_RTTIME}, {"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK},
}

func limitNames() []string {
	names := make([]string, 0, len(resources))
	for _, res := range resources {
		names = append(names, res.name)
	}
	return names
}

// LimitName is the key of a limit.
func LimitName(resource int) string {
	for _, res := range resources {
		if res.number == resource {
			return res.name
		}
	}
	return ""
}

// limit reads one key of [limits].
func (r *reader) limit(key segment, v value) {
	at := slices.Index(limitNames(), key.name)
	if at < 0 {
		r.fail(key.at, "unknown key", cmp.Or(meant(key.name, limitNames()), "allowed in [limits]: "+strings.Join(limitNames(), ", ")))
		return
	}
	const forms = `expected an integer, or "SOFT", "SOFT:HARD", "unlimited" in quotes`
	if v.kind != unstable.Integer && v.kind != unstable.String {
		r.fail(v.at, forms+"; found "+v.what(), "")
		return
	}
	soft, hard, both := strings.Cut(v.text, ":")
	limit := Limit{Resource: resources[at].number, Hard: KeepHard}
	ok, okHard := true, true
	if limit.Soft, ok = parseLimit(soft); both {
		limit.Hard, okHard = parseLimit(hard)
	} else if limit.Soft == unlimited {
		limit.Hard = unlimited
	}
	switch {
	case !ok || !okHard:
		r.fail(v.at, quote(v.text)+" is no limit; "+forms, "")
	case both && limit.Soft > limit.Hard:
		r.fail(v.at, quote(v.text)+" has a soft limit above the hard one", "write "+key.name+` = "`+hard+":"+hard+`"`)
	default:
		r.spec.Limits = append(r.spec.Limits, limit)
	}
}

// LimitTexts are the limits by name, as a file spells them: "SOFT:HARD", or
// "SOFT" where the hard one is left as it is.
func (s *Spec) LimitTexts() map[string]string {
	all := map[string]string{}
	for _, l := range s.Limits {
		text := limitText(l.Soft)
		if l.Hard != KeepHard {
			text += ":" + limitText(l.Hard)
		}
		for _, res := range resources {
			if res.number == l.Resource {
				all[res.name] = text
			}
		}
	}
	return all
}

func limitText(n uint64) string {
	if n == unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func parseLimit(text string) (n uint64, ok bool) {
	text = strings.TrimSpace(text)
	if text == "unlimited" || text == "infinity" {
		return unlimited, true
	}
	if n, err := strconv.ParseUint(text, 0, 63); err == nil {
		return n, true
	}
	size, ok := parseSize(text)
	return uint64(size), ok
}
