package spec

import (
	"math"

	"zinit/graph"
)

// rule is one key of the file format: its path and the function that reads and
// judges its value into the reader's spec.
type rule struct {
	path string
	read func(*reader, value)
}

// rules are all keys but those of [service.env] and [limits], whose names are
// open or come from a list of their own.
var rules = [...]rule{
	{"service.name", readName},
	{"service.exec", func(r *reader, v value) { r.spec.Exec = r.command(v) }},
	{"service.dir", func(r *reader, v value) {
		if path, ok := r.absolute(v); ok {
			r.spec.Dir = path
		}
	}},
	{"service.env", readEnv},
	{"service.env_file", readEnvFiles},
	{"service.description", func(r *reader, v value) { r.spec.Description, _ = r.text(v) }},
	{"service.oneshot", func(r *reader, v value) { r.spec.Oneshot = r.bool(v) }},
	{"service.main", func(r *reader, v value) { r.spec.Main = r.bool(v) }},
	{"service.status", func(r *reader, v value) { r.spec.Status = Status(max(0, r.choice(v, statusWords[:]))) }},
	{"service.class", readClass},
	{"service.critical", func(r *reader, v value) { r.spec.Critical = r.bool(v) }},
	{"service.ready", readReady},
	{"service.user", func(r *reader, v value) { r.spec.User, _ = r.identity(v) }},
	{"service.group", readGroup},
	{"service.groups", readGroups},
	{"service.umask", readUmask},
	{"service.nice", func(r *reader, v value) { r.whole(v, -20, 19, &r.spec.Nice) }},
	{"service.ionice", readIONice},
	{"service.oom_score_adj", readOOMScoreAdj},
	{"service.cpus", readCPUs},
	{"service.no_new_privileges", func(r *reader, v value) { r.spec.NoNewPrivileges = r.bool(v) }},
	{"service.capabilities", readCapabilities},
	{"service.chroot", func(r *reader, v value) { r.optional(v, &r.spec.Chroot) }},
	{"service.tty", func(r *reader, v value) { r.optional(v, &r.spec.TTY) }},
	{"service.ports", readPorts},
	{"service.process_filters", readProcessFilters},
	{"service.kill_others", func(r *reader, v value) { r.spec.KillOthers = r.bool(v) }},

	{"target.name", readName},
	{"target.critical", func(r *reader, v value) { r.spec.Critical = r.bool(v) }},

	{"resources.memory_max", func(r *reader, v value) { r.bytes(v, &r.spec.Resources.MemoryMax) }},
	{"resources.memory_high", func(r *reader, v value) { r.bytes(v, &r.spec.Resources.MemoryHigh) }},
	{"resources.pids_max", func(r *reader, v value) { r.whole(v, 1, math.MaxInt32, &r.spec.Resources.PidsMax) }},
	{"resources.cpu_max", readCores},
	{"resources.cpu_weight", func(r *reader, v value) { r.whole(v, 1, 10000, &r.spec.Resources.CPUWeight) }},
	{"resources.io_weight", func(r *reader, v value) { r.whole(v, 1, 10000, &r.spec.Resources.IOWeight) }},

	{"dependencies.requires", func(r *reader, v value) { r.depend(v, graph.Requires) }},
	{"dependencies.binds_to", func(r *reader, v value) { r.depend(v, graph.BindsTo) }},
	{"dependencies.wants", func(r *reader, v value) { r.depend(v, graph.Wants) }},
	{"dependencies.after", func(r *reader, v value) { r.depend(v, graph.After) }},
	{"dependencies.before", func(r *reader, v value) { r.depend(v, graph.Before) }},
	{"dependencies.conflicts", func(r *reader, v value) { r.depend(v, graph.Conflicts) }},

	{"lifecycle.restart", readRestart},
	{"lifecycle.restart_delay_ms", func(r *reader, v value) { r.millis(v, 1, &r.spec.RestartDelay) }},
	{"lifecycle.restart_delay_max_ms", func(r *reader, v value) { r.millis(v, 1, &r.spec.RestartDelayMax) }},
	{"lifecycle.max_restarts", func(r *reader, v value) { r.whole(v, 0, math.MaxInt32, &r.spec.MaxRestarts) }},
	{"lifecycle.stability_period_ms", func(r *reader, v value) { r.millis(v, 0, &r.spec.StabilityPeriod) }},
	{"lifecycle.start_timeout_ms", func(r *reader, v value) { r.millis(v, 1, &r.spec.StartTimeout) }},
	{"lifecycle.stop_timeout_ms", func(r *reader, v value) { r.millis(v, 1, &r.spec.StopTimeout) }},
	{"lifecycle.stop_signal", func(r *reader, v value) {
		if sig, ok := r.signal(v); ok {
			r.spec.StopSignal = sig
		}
	}},
	{"lifecycle.stop_exec", func(r *reader, v value) { r.hook(v, &r.spec.StopExec) }},
	{"lifecycle.reload_exec", func(r *reader, v value) { r.hook(v, &r.spec.ReloadExec) }},
	{"lifecycle.reload_signal", func(r *reader, v value) { r.spec.ReloadSignal, _ = r.signal(v) }},
	{"lifecycle.pre_exec", func(r *reader, v value) { r.hook(v, &r.spec.PreExec) }},
	{"lifecycle.post_exec", func(r *reader, v value) { r.hook(v, &r.spec.PostExec) }},
	{"lifecycle.success_codes", readSuccessCodes},

	{"health.type", readHealthType},
	{"health.target", func(r *reader, v value) { r.health.target = v }},
	{"health.expect_status", func(r *reader, v value) { r.whole(v, 100, 599, &r.health.ExpectStatus) }},
	{"health.interval_ms", func(r *reader, v value) { r.millis(v, 1, &r.health.Interval) }},
	{"health.timeout_ms", func(r *reader, v value) { r.millis(v, 1, &r.health.Timeout) }},
	{"health.retries", func(r *reader, v value) { r.whole(v, 1, math.MaxInt32, &r.health.Retries) }},
	{"health.start_period_ms", func(r *reader, v value) { r.millis(v, 0, &r.health.StartPeriod) }},
	{"health.on_failure", func(r *reader, v value) { r.health.OnFailure = OnLost(max(0, r.choice(v, lostWords[:]))) }},

	{"logging.buffer_lines", func(r *reader, v value) { r.whole(v, 1, math.MaxInt32, &r.spec.BufferLines) }},
	{"logging.buffer_bytes", func(r *reader, v value) { r.bytes(v, &r.spec.BufferBytes) }},
	{"logging.file", readOptionalPath},
	{"logging.file_max_bytes", func(r *reader, v value) { r.size(v) }},
	{"logging.file_keep", func(r *reader, v value) { r.integer(v, 0, math.MaxInt32) }},
	{"logging.file_format", func(r *reader, v value) { r.choice(v, []string{"raw", "text", "json"}) }},
	{"logging.forward", readForward},
	{"logging.console", func(r *reader, v value) { r.bool(v) }},
}

// older are spellings that documents of zinit 0.3 use for a key of ours.
var older = [...][2]string{
	{"service.process_filter", "service.process_filters"},
	{"health.endpoint", "health.target"},
}

// find returns the rule of a key, or nil.
func find(table, key string) *rule {
	for i := range rules {
		path := rules[i].path
		if len(path) == len(table)+1+len(key) && path[len(table)] == '.' &&
			path[len(table)+1:] == key && path[:len(table)] == table {
			return &rules[i]
		}
	}
	return nil
}

var tables = [...]string{"service", "target", "limits", "resources", "dependencies", "lifecycle", "health", "logging"}
