package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/probe"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// A service with a health check is asked while it is starting and running, one
// probe at a time. When the next is due is one of its deadlines (rt.ProbeAt); the
// probe itself is a goroutine (tcp, http) or a helper (exec) that no decision waits
// for, and that is over when its timeout is.

// probeKind is the helper of a health check.
const probeKind = "probe"

// asking is a probe under way.
type asking struct {
	seq    uint64 // of the helper, or of the goroutine
	began  int64
	ctx    context.Context // ends with the probe
	cancel context.CancelFunc
}

// schedule is the probing of sv's latest run.
func (sv *service) schedule() *probe.Schedule {
	h := sv.cur.Health
	return &probe.Schedule{Plan: probe.Plan{Interval: h.Interval, Retries: h.Retries, StartPeriod: h.StartPeriod}, Started: sv.rt.SinceMono,
		Due: sv.rt.ProbeAt, Pause: sv.pause, Running: sv.rt.State == state.Running, Failures: sv.rt.ProbeFailures, Well: sv.rt.Unwell == ""}
}

// probes reports whether sv is to be asked in its present state.
func (sv *service) probes() bool {
	if sv.cur == nil || sv.cur.Health == nil || sv.cur.Oneshot || !sv.rt.Live || sv.rt.Queued {
		return false
	}
	return sv.rt.State == state.Running || sv.rt.State == state.Starting && sv.rt.Pid != 0
}

// watchHealth begins to ask sv when that is due for the first time.
func (t *turn) watchHealth(sv *service) {
	if !sv.probes() || sv.rt.ProbeAt != 0 || sv.asking != nil {
		return
	}
	next := sv.rt
	if next.State == state.Starting {
		sv.pause = int64(probe.FirstPause)
		next.ProbeAt = t.mono + min(sv.pause, int64(sv.cur.Health.Interval))
	} else {
		next.ProbeAt = t.mono + int64(sv.cur.Health.Interval)
	}
	t.touch(sv)
	t.set(sv, next)
}

// askHealth begins a probe that is due.
func (t *turn) askHealth(sv *service) {
	next := sv.rt
	next.ProbeAt = 0
	if !sv.probes() {
		t.set(sv, next)
		return
	}
	next.HookSeq++
	seq, run, h := next.HookSeq, next.Run, sv.cur.Health
	t.set(sv, next)
	t.act(func() { t.s.ask(sv, h, seq, run) })
}

// ask begins a probe. The lock is held.
func (s *Supervisor) ask(sv *service, h *spec.HealthCheck, seq, run uint64) {
	sv.asking = &asking{seq: seq, began: s.opt.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), h.Timeout)
	sv.asking.ctx, sv.asking.cancel = ctx, cancel
	if h.Type == spec.HealthExec {
		s.spawnHelper(sv, probeKind, h.Exec, seq, run, nil)
		go func() {
			<-ctx.Done()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				s.later(func() { s.probeTimedOut(sv.name, seq, h.Timeout) })
			}
		}()
		return
	}
	go func() {
		err := probe.TCP
		if h.Type == spec.HealthHTTP {
			err = func(ctx context.Context, target string) error { return probe.HTTP(ctx, target, h.ExpectStatus) }
		}
		text := ""
		if e := err(ctx, h.Target); e != nil {
			text = e.Error()
		}
		s.later(func() {
			s.onHelperEnded(keeper.Event{Kind: keeper.Exited, Tag: keeper.HelperTag(probeKind, sv.name), Run: seq}, text)
		})
	}()
}

// swallow reads what probe number seq prints, until it is over. Without a reader it
// would die of SIGPIPE, and wait where it prints more than a pipe holds; curl and
// pg_isready print when all is well.
func (s *Supervisor) swallow(name string, seq uint64, held string, fd int) {
	s.mu.Lock()
	ctx, over := context.Background(), true
	if sv := s.services[name]; sv != nil && sv.asking != nil && sv.asking.seq == seq {
		ctx, over = sv.asking.ctx, false
	}
	s.mu.Unlock()
	unix.SetNonblock(fd, true) // so that closing it ends the reading
	f := os.NewFile(uintptr(fd), held)
	forget := func() { f.Close(); s.keeper.Drop(held) }
	if over {
		forget()
		return
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		io.Copy(io.Discard, f)
		stop()
		forget()
	}()
}

// probeTimedOut ends an exec probe with its children, and counts it as failed.
func (s *Supervisor) probeTimedOut(name string, seq uint64, after time.Duration) {
	s.decide("health check timed out", func(t *turn) error {
		sv := s.services[name]
		if sv == nil || sv.asking == nil || sv.asking.seq != seq {
			return nil
		}
		t.killProbe(sv)
		t.probed(sv, seq, fmt.Sprintf("no answer within %s", after))
		return nil
	})
}

// killProbe ends the helper of a probe under way.
func (t *turn) killProbe(sv *service) {
	order := keeper.Signal{Tag: keeper.HelperTag(probeKind, sv.name), Run: sv.asking.seq, Seq: 1, Sig: unix.SIGKILL, ToGroup: true}
	t.act(func() { t.s.keeper.Signal(order) })
}

// dropProbe ends the asking of a run that is over or being stopped.
func (t *turn) dropProbe(sv *service) {
	if sv.asking == nil {
		return
	}
	t.killProbe(sv)
	sv.asking.cancel()
	sv.asking = nil
}

// probed is the answer of a probe; text says what is wrong, "" that sv is well.
func (t *turn) probed(sv *service, seq uint64, text string) {
	if sv.asking == nil || sv.asking.seq != seq {
		return
	}
	sv.asking.cancel()
	sv.asking = nil
	if !sv.probes() {
		return
	}
	sc := sv.schedule()
	sc.Due = probe.Never
	verdict := sc.End(t.mono, text == "")
	sv.pause, sv.answer, sv.answered = sc.Pause, text, t.mono
	next := sv.rt
	next.ProbeAt, next.ProbeFailures = sc.Due, sc.Failures
	switch verdict {
	case probe.Healthy:
		next.Unwell = ""
	case probe.Lost:
		next.Unwell = fmt.Sprintf("health check failed %d times: %s", sc.Failures, text)
	}
	t.touch(sv)
	t.set(sv, next)
	switch {
	case text == "" && sv.rt.State == state.Starting && sv.cur.Ready.Kind == spec.Health:
		t.apply(sv, state.Ready, "its health check succeeded")
	case verdict == probe.Lost:
		t.healthLost(sv)
	case verdict == probe.Healthy && sv.rt.State == state.Running:
		t.s.say(LevelInfo, "%s: well again", sv.name)
	}
}

// healthLost does what the service's on_failure says.
func (t *turn) healthLost(sv *service) {
	t.s.say(LevelWarn, "%s: %s", sv.name, sv.rt.Unwell)
	h := sv.cur.Health
	if h.OnFailure == spec.LostReport {
		return
	}
	next := sv.rt
	next.Failure = state.Failure{Kind: state.HealthCheckFailed, Code: next.ProbeFailures, Text: next.Unwell}
	if next.ReadyAt != 0 && t.mono-next.ReadyAt >= int64(sv.cur.StabilityPeriod) {
		next.Attempts = 0
	}
	if h.OnFailure == spec.LostStop {
		next.Wanted = false
	}
	t.set(sv, next)
	t.apply(sv, state.HealthLost, next.Unwell)
}

// Health is a service's check, as status shows it.
type Health struct {
	Type     string `json:"type"`
	Target   string `json:"target"`
	State    string `json:"state"`             // healthy, unhealthy, unknown
	Failures int    `json:"failures"`          // in a row that count
	Last     string `json:"last,omitempty"`    // what was wrong with the last answer; "": nothing
	LastAge  int64  `json:"last_ms,omitempty"` // milliseconds since it came
	NextMS   int64  `json:"next_ms,omitempty"` // until the next is asked
}

// healthOf is nil for a service without a check.
func (s *Supervisor) healthOf(sv *service) *Health {
	if sv.cur == nil || sv.cur.Health == nil {
		return nil
	}
	h := &Health{Type: sv.cur.Health.Type.String(), Target: sv.cur.Health.Target, State: "unknown", Failures: sv.rt.ProbeFailures, Last: sv.answer}
	switch {
	case sv.rt.Unwell != "":
		h.State = "unhealthy"
	case sv.answered != 0 && sv.answer == "":
		h.State = "healthy"
	}
	if sv.answered != 0 {
		h.LastAge = (s.opt.Now() - sv.answered) / 1e6
	}
	if sv.rt.ProbeAt != 0 {
		h.NextMS = max(sv.rt.ProbeAt-s.opt.Now(), 0) / 1e6
	}
	return h
}
