package spec

import (
	"bytes"
	"sort"

	"zinit/graph"
)

// finish fills in what follows from several keys and judges the file as a whole.
func (r *reader) finish() {
	s := r.spec
	_, service := r.lines["service"]
	r.path = ""
	r.judgeKind(service)
	r.finishName()
	switch {
	case s.Target && !service:
		r.judgeTarget()
		s.Exec, s.Dir = Command{}, ""
	case service:
		r.need("service", "exec", `exec = "/usr/bin/program"`)
		r.finishLifecycle()
		r.judgeHealth()
		r.judgeReady()
	}
	r.judgeDeps()
	sort.Slice(r.env, func(i, j int) bool { return r.env[i].name < r.env[j].name })
	for _, v := range r.env {
		s.Env = append(s.Env, v.name+"="+v.value)
	}
	sort.Slice(s.Limits, func(i, j int) bool { return s.Limits[i].Resource < s.Limits[j].Resource })
	r.problems = sorted(r.problems)
}

// judgeKind wants exactly one of [service] and [target].
func (r *reader) judgeKind(service bool) {
	s := r.spec
	switch {
	case service && s.Target:
		r.fail(r.offset(r.lines["target"]), "both [service] and [target]: a file describes one of the two", "put the target into a file of its own")
	case service || s.Target || r.broken || Failed(r.problems) && len(r.lines) == 0:
	case len(r.lines) == 0:
		r.report(Problem{Msg: "describes nothing: it holds no key and no table", Hint: `write [service] and exec = "…", or remove the file`})
	default:
		r.report(Problem{Msg: "has neither [service] nor [target]", Hint: `write [service] and exec = "…" above the other tables`})
	}
}

// finishName takes the file's name when the file gives none.
func (r *reader) finishName() {
	s := r.spec
	if s.Name != "" {
		s.Named = true
		return
	}
	s.Name = stem(r.file)
	for _, key := range [...]string{"service.name", "target.name"} {
		if _, given := r.lines[key]; given {
			return // and was told to be wrong
		}
	}
	if err := CheckName(s.Name); err != nil {
		r.report(Problem{Key: "name", Msg: "the file's name gives no name for a service: " + err.Error(), Hint: `rename the file, or write name = "…"`})
	}
}

// judgeTarget refuses what only a process has.
func (r *reader) judgeTarget() {
	for _, table := range tables {
		line, there := r.lines[table]
		if there && table != "target" && table != "dependencies" {
			r.path = ""
			r.fail(r.offset(line), "["+table+"] in a target, which has no process", "a target has [target] and [dependencies] alone")
		}
	}
}

// need reports a key that its table cannot do without.
func (r *reader) need(table, key, example string) {
	if _, given := r.lines[table+"."+key]; given || r.broken {
		return
	}
	r.path = table + "." + key
	r.fail(r.offset(r.lines[table]), "is missing", "write "+example+" in ["+table+"]")
}

func (r *reader) finishLifecycle() {
	s := r.spec
	_, given := r.lines["lifecycle.start_timeout_ms"]
	if s.Oneshot && !given {
		s.StartTimeout = 0
	}
	if s.RestartDelayMax < s.RestartDelay {
		line, given := r.lines["lifecycle.restart_delay_max_ms"]
		if given {
			r.path = "lifecycle.restart_delay_max_ms"
			r.fail(r.offset(line), "is less than restart_delay_ms", "the delay doubles up to it")
		}
		s.RestartDelayMax = s.RestartDelay
	}
	_, command := r.lines["lifecycle.reload_exec"]
	if line, signal := r.lines["lifecycle.reload_signal"]; signal && command {
		r.path = "lifecycle.reload_signal"
		r.fail(r.offset(line), "is given beside reload_exec", "keep one of the two")
	}
}

// judgeReady looks at ready together with the kind of service.
func (r *reader) judgeReady() {
	s := r.spec
	line, given := r.lines["service.ready"]
	_, health := r.lines["health"]
	r.path = "service.ready"
	switch {
	case r.readyAuto && s.Health != nil && !s.Oneshot:
		s.Ready.Kind = Health
	case !given:
	case s.Oneshot && s.Ready.Kind != Spawned:
		r.warn(r.offset(line), "says nothing for a oneshot, which is done when it has succeeded", "remove it")
		s.Ready = Ready{}
	case s.Ready.Kind == Health && !health:
		r.fail(r.offset(line), `is "health", but there is no [health]`, "")
	}
}

// judgeDeps refuses what names itself. The graph tells of those that wait for
// themselves, with the path.
func (r *reader) judgeDeps() {
	for _, d := range r.spec.Deps {
		if d.Name == r.spec.Name && (d.Kind == graph.Wants || d.Kind == graph.Conflicts) {
			r.path = "dependencies." + d.Kind.String()
			r.fail(r.offset(d.Line), "names the service itself", "")
		}
	}
}

// offset returns where the first word of a line begins.
func (r *reader) offset(line int) int {
	at := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte(r.src[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	for at < len(r.src) && (r.src[at] == ' ' || r.src[at] == '\t') {
		at++
	}
	return at
}
