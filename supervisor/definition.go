package supervisor

import (
	"fmt"
	"strings"
	"time"

	"zinit/graph"
	"zinit/supervisor/spec"
)

// Definition is service.get: a definition with all defaults filled in, in the
// shape that zinit 0.3 gives, extended by our keys.
type Definition struct {
	Service      *ServiceDefinition     `json:"service,omitempty"`
	Name         string                 `json:"name,omitempty"` // of a target
	IsTarget     bool                   `json:"is_target,omitempty"`
	Critical     bool                   `json:"critical,omitempty"` // of a target
	Dependencies DependenciesDefinition `json:"dependencies"`
	Lifecycle    *LifecycleDefinition   `json:"lifecycle,omitempty"`
	Health       *HealthDefinition      `json:"health"` // null: there is no check
	Logging      *LoggingDefinition     `json:"logging,omitempty"`
	Limits       map[string]string      `json:"limits,omitzero"`
	Resources    *spec.Resources        `json:"resources,omitempty"` // 0: no limit
}

// ServiceDefinition is the table [service].
type ServiceDefinition struct {
	Name           string            `json:"name"`
	Exec           string            `json:"exec"`
	Dir            *string           `json:"dir"`
	Oneshot        bool              `json:"oneshot"`
	Env            map[string]string `json:"env"`
	EnvFile        []string          `json:"env_file"`
	Umask          string            `json:"umask"`
	Status         string            `json:"status"`
	Class          string            `json:"class"`
	Main           bool              `json:"main"`
	Critical       bool              `json:"critical"`
	Ports          []uint16          `json:"ports"`
	KillOthers     bool              `json:"kill_others"`
	ProcessFilters []string          `json:"process_filters"`
	User           string            `json:"user"`
	Group          string            `json:"group"`
	Groups         []string          `json:"groups"`
	Ready          string            `json:"ready"`
	Description    string            `json:"description"`

	Nice            int       `json:"nice"`
	IONice          string    `json:"ionice"`        // "": as nice says
	OOMScoreAdj     *int      `json:"oom_score_adj"` // null: zinit's own
	CPUs            string    `json:"cpus"`          // "": all
	NoNewPrivileges bool      `json:"no_new_privileges"`
	Capabilities    *[]string `json:"capabilities"` // all that are kept; null: every one
	Chroot          string    `json:"chroot"`
	TTY             string    `json:"tty"`
}

// DependenciesDefinition is the table [dependencies].
type DependenciesDefinition struct {
	After     []string `json:"after"`
	Requires  []string `json:"requires"`
	Wants     []string `json:"wants"`
	Conflicts []string `json:"conflicts"`
	Before    []string `json:"before"`
	BindsTo   []string `json:"binds_to"`
}

// LifecycleDefinition is the table [lifecycle]; times are milliseconds.
type LifecycleDefinition struct {
	Restart           string `json:"restart"`
	RestartDelayMS    int64  `json:"restart_delay_ms"`
	RestartDelayMaxMS int64  `json:"restart_delay_max_ms"`
	MaxRestarts       int    `json:"max_restarts"`
	StabilityPeriodMS int64  `json:"stability_period_ms"`
	StartTimeoutMS    int64  `json:"start_timeout_ms"`
	StopTimeoutMS     int64  `json:"stop_timeout_ms"`
	StopSignal        string `json:"stop_signal"`
	SuccessCodes      []int  `json:"success_codes"`
	PreExec           string `json:"pre_exec"`
	PostExec          string `json:"post_exec"`
	StopExec          string `json:"stop_exec"` // "": stop_signal
	ReloadExec        string `json:"reload_exec"`
	ReloadSignal      string `json:"reload_signal"` // "": there is none
}

// HealthDefinition is the table [health]; times are milliseconds.
type HealthDefinition struct {
	Type          string `json:"type"`
	Target        string `json:"target"`
	ExpectStatus  int    `json:"expect_status,omitempty"` // of http
	IntervalMS    int64  `json:"interval_ms"`
	TimeoutMS     int64  `json:"timeout_ms"`
	Retries       int    `json:"retries"`
	StartPeriodMS int64  `json:"start_period_ms"`
	OnFailure     string `json:"on_failure"`
}

// LoggingDefinition is the table [logging].
type LoggingDefinition struct {
	BufferLines int     `json:"buffer_lines"`
	BufferBytes int64   `json:"buffer_bytes"`
	File        *string `json:"file"`
	Forward     *string `json:"forward"`
}

// Get returns the accepted definition of a service.
func (s *Supervisor) Get(name string) (Definition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.services[name]
	if sv == nil {
		return Definition{}, s.unknown(name)
	}
	sp := sv.spec
	d := Definition{Dependencies: dependenciesOf(sp)}
	if sp.Target {
		d.Name, d.IsTarget, d.Critical = name, true, sp.Critical
		return d, nil
	}
	d.Service, d.Limits, d.Resources = serviceOf(sp), sp.LimitTexts(), &sp.Resources
	d.Health = healthOf(sp.Health)
	d.Lifecycle = lifecycleOf(sp)
	d.Logging = &LoggingDefinition{BufferLines: sp.BufferLines, BufferBytes: sp.BufferBytes}
	return d, nil
}

func lifecycleOf(sp *spec.Spec) *LifecycleDefinition {
	d := &LifecycleDefinition{Restart: sp.Restart.String(), RestartDelayMS: millis(sp.RestartDelay),
		RestartDelayMaxMS: millis(sp.RestartDelayMax), MaxRestarts: sp.MaxRestarts, StabilityPeriodMS: millis(sp.StabilityPeriod),
		StartTimeoutMS: millis(sp.StartTimeout), StopTimeoutMS: millis(sp.StopTimeout),
		StopSignal: "SIG" + signalName(int(sp.StopSignal)), SuccessCodes: listOf(sp.SuccessCodes),
		PreExec: sp.PreExec.Line, PostExec: sp.PostExec.Line, StopExec: sp.StopExec.Line, ReloadExec: sp.ReloadExec.Line}
	if sp.ReloadSignal != 0 {
		d.ReloadSignal = "SIG" + signalName(int(sp.ReloadSignal))
	}
	return d
}

func healthOf(h *spec.HealthCheck) *HealthDefinition {
	if h == nil {
		return nil
	}
	d := &HealthDefinition{Type: h.Type.String(), Target: h.Target, IntervalMS: millis(h.Interval),
		TimeoutMS: millis(h.Timeout), Retries: h.Retries, StartPeriodMS: millis(h.StartPeriod), OnFailure: h.OnFailure.String()}
	if h.Type == spec.HealthHTTP {
		d.ExpectStatus = h.ExpectStatus
	}
	return d
}

func serviceOf(sp *spec.Spec) *ServiceDefinition {
	d := &ServiceDefinition{Name: sp.Name, Exec: sp.Exec.Line, Oneshot: sp.Oneshot, Env: map[string]string{}, Status: sp.Status.String(),
		Class: sp.Class.String(), Main: sp.Main, Critical: sp.Critical, Ports: listOf(sp.Ports), ProcessFilters: []string{}, User: sp.User, Group: sp.Group,
		Groups: listOf(sp.Groups), Ready: sp.Ready.String(), Description: sp.Description}
	if sp.Dir != "" {
		d.Dir = &sp.Dir
	}
	d.attributes(sp)
	mask := sp.Umask
	if mask < 0 {
		mask = 0o022
	}
	d.Umask, d.EnvFile = fmt.Sprintf("%03o", mask), []string{}
	for _, f := range sp.EnvFiles {
		if f.Optional {
			f.Path = "-" + f.Path
		}
		d.EnvFile = append(d.EnvFile, f.Path)
	}
	for _, v := range sp.Env {
		key, value, _ := strings.Cut(v, "=")
		d.Env[key] = value
	}
	return d
}

func dependenciesOf(sp *spec.Spec) DependenciesDefinition {
	by := map[graph.Kind][]string{}
	for _, dep := range sp.Deps {
		by[dep.Kind] = append(by[dep.Kind], dep.Name)
	}
	return DependenciesDefinition{After: listOf(by[graph.After]), Requires: listOf(by[graph.Requires]), Wants: listOf(by[graph.Wants]),
		Conflicts: listOf(by[graph.Conflicts]), Before: listOf(by[graph.Before]), BindsTo: listOf(by[graph.BindsTo])}
}

// listOf makes an absent list an empty one, which JSON shows as [].
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func millis(d time.Duration) int64 { return d.Milliseconds() }
