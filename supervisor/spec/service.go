package spec

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"zinit/graph"
)

// envVar is one variable of [service.env].
type envVar struct{ name, value string }

func readName(r *reader, v value) {
	name, ok := r.filled(v)
	if !ok {
		return
	}
	if err := CheckName(name); err != nil {
		r.fail(v.at, err.Error(), "")
		return
	}
	r.spec.Name = name
}

// readEnv is for an env that is no table; its variables go to variable.
func readEnv(r *reader, v value) {
	r.wrong(v, "a table", `{ PORT = "8080" }`)
}

func (r *reader) variable(key segment, v value) {
	switch {
	case key.name == "" || strings.ContainsAny(key.name, "=\x00"):
		r.fail(key.at, "a variable's name must not be empty or hold = or NUL", "")
	case v.kind != unstable.String:
		r.fail(v.at, "expected a string, found "+v.what(), "write "+bare(key.name)+" = "+strconv.Quote(v.text))
	case strings.IndexByte(v.text, 0) >= 0:
		r.fail(v.at, "holds a NUL, which no variable can", "")
	default:
		r.env = append(r.env, envVar{key.name, v.text})
	}
}

func readEnvFiles(r *reader, v value) {
	r.texts(v, `["-/etc/default/web"]`, func(e value) {
		if e.kind == unstable.String {
			optional := strings.HasPrefix(e.text, "-")
			e.text = strings.TrimPrefix(e.text, "-")
			if path, ok := r.absolute(e); ok {
				r.spec.EnvFiles = append(r.spec.EnvFiles, EnvFile{Path: path, Optional: optional})
			}
			return
		}
		r.fail(e.at, "expected a list of strings, found "+e.what()+" in it", "")
	})
}

func readClass(r *reader, v value) {
	class := r.choice(v, classWords[:])
	switch {
	case class < 0:
	case r.system && Class(class) != System:
		r.warn(v.at, `is ignored: all services of a system directory are of class "system"`, "remove it, or move the file")
	default:
		r.spec.Class = Class(class)
	}
}

func readReady(r *reader, v value) {
	allowed := []string{"auto", "spawned", "health", "notify", "fd:N"}
	r.readyAuto = v.text == allowed[0]
	if number, ok := strings.CutPrefix(v.text, "fd:"); ok && v.kind == unstable.String {
		fd, err := strconv.Atoi(number)
		if err != nil || fd < 3 || fd > 1023 {
			r.fail(v.at, quote(v.text)+" names no descriptor; allowed: fd:3 to fd:1023", "0, 1 and 2 are standard input, output and error")
			return
		}
		r.spec.Ready = Ready{FD, fd}
		return
	}
	switch r.choice(v, allowed) {
	case 2:
		r.spec.Ready.Kind = Health
	case 3:
		r.spec.Ready.Kind = Notify
	case 4:
		r.fail(v.at, `"fd:N" wants a number for N`, `write ready = "fd:3"`)
	}
	r.supportedWord(v.text, v)
}

// identity reads a user or a group: a name, or a number with or without quotes.
func (r *reader) identity(v value) (who string, ok bool) {
	if v.kind == unstable.Integer {
		if n, ok := r.integer(v, 0, math.MaxUint32-1); ok {
			return strconv.FormatInt(n, 10), true
		}
		return "", false
	}
	if who, ok = r.filled(v); !ok {
		return "", false
	}
	if n, err := strconv.ParseUint(who, 10, 64); err == nil && n >= math.MaxUint32 {
		r.fail(v.at, who+" is out of range; allowed: 0 to 4294967294", "")
		return "", false
	}
	if who[0] == '-' || strings.ContainsAny(who, ": /,\\") {
		r.fail(v.at, quote(who)+" is no name of a user or group, and no number", "")
		return "", false
	}
	return who, true
}

func readGroup(r *reader, v value) {
	if v.kind != unstable.String || v.text != "" {
		r.spec.Group, _ = r.identity(v)
	}
}

func readGroups(r *reader, v value) {
	r.texts(v, `["www"]`, func(e value) {
		if who, ok := r.identity(e); ok {
			r.spec.Groups = append(r.spec.Groups, who)
		}
	})
}

func readUmask(r *reader, v value) {
	digits := v.text
	if v.kind == unstable.Integer {
		var octal bool
		if digits, octal = strings.CutPrefix(v.text, "0o"); !octal {
			r.fail(v.at, "expected octal digits in quotes, found an integer", `write umask = "`+pad(v.text)+`"`)
			return
		}
	} else if v.kind != unstable.String {
		r.wrong(v, "octal digits in quotes", `"022"`)
		return
	}
	mask, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || mask > 0o777 {
		r.fail(v.at, quote(v.text)+` is no umask; allowed: "000" to "777", octal`, "")
		return
	}
	r.spec.Umask = int(mask)
}

func pad(digits string) string {
	return strings.Repeat("0", max(0, 3-len(digits))) + digits
}

func readOptionalPath(r *reader, v value) {
	if v.kind != unstable.String || v.text != "" {
		r.absolute(v)
	}
}

// depend reads a list of names.
func (r *reader) depend(v value, kind graph.Kind) {
	r.texts(v, `["db"]`, func(e value) {
		if e.kind != unstable.String {
			r.fail(e.at, "expected a list of strings, found "+e.what()+" in it", "")
			return
		}
		if err := CheckName(e.text); err != nil {
			r.fail(e.at, err.Error(), "")
			return
		}
		if slices.ContainsFunc(r.spec.Deps, func(d graph.Dep) bool { return d.Name == e.text && d.Kind == kind }) {
			r.warn(e.at, quote(e.text)+" is named twice", "")
			return
		}
		line, _ := r.position(e.at)
		r.spec.Deps = append(r.spec.Deps, graph.Dep{Name: e.text, Kind: kind, Line: line})
	})
}

func readRestart(r *reader, v value) {
	if v.kind == unstable.String && v.text == "on_failure" {
		r.warn(v.at, `"on_failure" is an older spelling`, `write restart = "on-failure"`)
		v.text = "on-failure"
	}
	words := []string{"always", "on-failure", "never"}
	policies := [...]Policy{Always, OnFailure, Never}
	if i := r.choice(v, words); i >= 0 {
		r.spec.Restart = policies[i]
	}
}

func readSuccessCodes(r *reader, v value) {
	r.texts(v, "[3]", func(e value) {
		if n, ok := r.integer(e, 0, 255); ok {
			r.spec.SuccessCodes = append(r.spec.SuccessCodes, int(n))
		}
	})
	slices.Sort(r.spec.SuccessCodes)
	r.spec.SuccessCodes = slices.Compact(r.spec.SuccessCodes)
}
