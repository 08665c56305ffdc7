package supervisor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"zinit/supervisor/bus"
	"zinit/supervisor/journal"
	"zinit/supervisor/keeper"
	"zinit/supervisor/spec"
	"zinit/supervisor/state"
)

// New returns a supervisor that does nothing yet: give its Deliver to the
// keeper's client, then call Begin, then Run.
func New(opt Options, k Keeper, out Output) *Supervisor {
	if opt.Now == nil {
		opt.Now = monotonic
	}
	if opt.Wall == nil {
		opt.Wall = func() int64 { return time.Now().UnixNano() }
	}
	if opt.Proc == "" {
		opt.Proc = procRoot
	}
	if opt.Jitter == nil {
		opt.Jitter = rand.Float64
	}
	if opt.After == nil {
		opt.After = func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	}
	s := &Supervisor{opt: opt, keeper: k, logs: out, bus: &bus.Bus[Transition]{}, news: make(chan *news, 4096),
		ended: make(chan struct{}), lost: make(chan struct{}), services: map[string]*service{}, holding: map[string]int{}, notifyPaths: map[string]string{}, started: opt.Wall()}
	s.history = -1
	s.backlog.Store(1)
	return s
}

// Begin takes over where the last server stopped, or, when there was none,
// loads the service files and starts what they say.
func (s *Supervisor) Begin(w *keeper.Welcome) error {
	s.generation, s.keeperPID = w.Generation, w.KeeperPID
	s.probation = w.Probation
	s.openGroups()
	s.openHistory(w.Held[historyName])
	if err := s.logs.Adopt(w.Held); err != nil {
		s.say(LevelError, "cannot take over a log: %v", err)
	}
	s.makeRoom(w)
	s.showStderr(w.Held[stderrName])
	if fds := w.Held["journal"]; len(fds) == 1 {
		return s.takeOver(w, fds[0])
	}
	return s.boot()
}

// boot starts from the service files.
func (s *Supervisor) boot() error {
	j, err := journal.Create()
	if err != nil {
		return fmt.Errorf("cannot make the journal: %w", err)
	}
	s.mu.Lock()
	s.journal, s.booted = j, s.opt.Now()
	s.keeper.Hold("journal", j.FD())
	s.mu.Unlock()
	c, err := s.loadFirst()
	if err != nil {
		return err
	}
	for _, p := range c.Problems {
		if s.opt.Main != nil && s.nothingThere(p) {
			continue
		}
		level := LevelError
		if p.Warning {
			level, p.Warning = LevelWarn, false // which says so once
		}
		s.say(level, "%s", strings.TrimSpace(p.Error()))
	}
	return s.decide("boot", func(t *turn) error {
		s.install(c)
		if err := t.holdSpecs(c); err != nil {
			return err
		}
		if s.opt.Rescue {
			t.emergency(spec.Reserved, "the kernel's command line asks for a rescue; services start when the shell ends")
			return nil
		}
		return t.startBoot()
	})
}

// install makes c the accepted configuration of a supervisor that has none.
func (s *Supervisor) install(c *Config) {
	s.config, s.graph = c, c.Graph
	s.names = slices.Clone(c.Names)
	for _, name := range c.Names {
		sp := c.Specs[name]
		s.services[name] = &service{name: name, spec: sp, cur: sp, rt: state.Service{State: state.Inactive}}
		s.logs.Configure(name, sp.BufferBytes)
	}
	for _, name := range s.names {
		s.recount(s.services[name])
	}
	s.logs.LimitTotal(c.Settings.TotalBytes)
}

// takeOver continues what the last server did: the journal says what was
// decided, the keeper what has happened since.
func (s *Supervisor) takeOver(w *keeper.Welcome, fd int) error {
	j, frames, err := journal.Open(fd)
	if err != nil {
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	if n := j.Lost(); n > 0 {
		s.say(LevelWarn, "the last %d bytes of the journal were not whole and are left out; what runs is compared with what was decided before them", n)
	}
	m := readFrames(s.unpoisoned(frames, w.Failures))
	if w.Failures >= poisonDecision { // who waits for an upgrade hears of its end
		m.upgrade = readFrames(frames).upgrade
	}
	var c *Config
	c, m.specs = s.acceptedConfig(w, m.specs)
	s.opt.Roots = keptRoots(s.opt.Roots, c)
	s.mu.Lock()
	s.journal, s.seq, s.specsHeld, s.booted, s.tokens = j, m.seq, m.specs, m.booted, m.tokens
	s.install(c)
	s.restore(m)
	s.upgrade, s.upgradeKept = m.upgrade, m.upgrade
	s.mu.Unlock()
	s.attachAll(w)
	s.mu.Lock()
	s.adoptNotify(w.Held)
	s.mu.Unlock()
	err = s.decide(fmt.Sprintf("takeover by server %d", w.Generation), func(t *turn) error {
		children := map[string]keeper.Child{}
		helpers := map[string]keeper.Child{}
		for _, ch := range w.Children {
			if t.adoptEmergency(ch) {
				continue
			}
			if kind, _ := keeper.ParseTag(ch.Tag); kind != "" {
				if t.helperFound(ch) {
					helpers[ch.Tag] = ch
				}
				continue
			}
			t.strange(ch)
			if sv := s.services[ch.Tag]; sv != nil && sv.rt.Run == ch.Run {
				children[ch.Tag] = ch
			}
		}
		for _, name := range s.names {
			ch, ok := children[name]
			t.reconcile(s.services[name], ch, ok)
			t.reconcileHook(s.services[name], helpers)
			t.reconcileReload(s.services[name], helpers, ch.Phase)
		}
		t.reconcileUpgrade(w)
		return nil
	})
	s.mu.Lock()
	for _, name := range s.names {
		s.arm(s.services[name])
	}
	s.endIfStopped()
	s.mu.Unlock()
	s.dropUnknown(w, m.specs)
	for _, a := range w.Asked {
		s.first = append(s.first, news{event: keeper.Event{Kind: keeper.Asked, Ask: a}})
	}
	s.say(LevelInfo, "server %d took over (pid %d, version %s)", w.Generation, unix.Getpid(), s.opt.Version)
	if u := s.upgrade; u.path != "" {
		s.say(LevelWarn, "the upgrade to %s was decided and did not begin; it does now", u.path)
		s.aside(func() { s.upgradeAgain(u) })
	}
	return err
}

// How many servers in a row must have ended by themselves before they were ready
// until the last decision, or the whole journal, is taken to be the reason.
const (
	poisonDecision = 5
	poisonJournal  = 6
)

// unpoisoned leaves out what may have killed the servers before this one. Of
// what was decided then, the keeper's table of living children is the truth.
func (s *Supervisor) unpoisoned(frames [][]byte, failures int) [][]byte {
	switch {
	case failures >= poisonJournal:
		s.say(LevelError, "%d servers in a row ended before they were ready; ignoring the whole journal: what runs is taken to be wanted", failures)
		return onlySpecs(frames)
	case failures >= poisonDecision && len(frames) > 0:
		s.say(LevelError, "%d servers in a row ended before they were ready; ignoring the last decision", failures)
		return frames[:len(frames)-1]
	}
	return frames
}

// onlySpecs keeps of frames which definitions were accepted.
func onlySpecs(frames [][]byte) [][]byte {
	m := readFrames(frames)
	if m.specs == 0 {
		return nil
	}
	var e journal.Encoder
	e.Uint(frameSpecs, m.specs)
	e.Uint(frameSeq, m.seq)
	return [][]byte{e.Payload()}
}

// memory is what the frames of a journal add up to.
type memory struct {
	services map[string][]byte // the last value of each
	specs    uint64
	seq      uint64
	booted   int64
	tokens   tokens
	how      string
	by       int64
	status   int
	upgrade  upgrade
}

func readFrames(frames [][]byte) memory {
	m := memory{services: map[string][]byte{}}
	for _, f := range frames {
		for d := journal.NewDecoder(f); d.Next(); {
			switch d.ID() {
			case frameService:
				m.services[nameIn(d.Bytes())] = d.Bytes()
			case frameForget:
				delete(m.services, d.String())
			case frameSpecs:
				m.specs = d.Uint()
			case frameSeq:
				m.seq = d.Uint()
			case frameToken:
				m.tokens.add(decodeToken(d.Bytes()))
			case frameBooted:
				m.booted = d.Int()
			case frameEnding:
				m.how = d.String()
			case frameEndBy:
				m.by = d.Int()
			case frameUpgrade:
				m.upgrade.path = d.String()
			case frameNumber:
				m.upgrade.number = d.Uint()
			case frameFailed:
				m.upgrade.failed = d.String()
			case frameStatus:
				m.status = int(d.Int())
			}
		}
	}
	return m
}

// restore gives every service the value that the journal has for it.
func (s *Supervisor) restore(m memory) {
	for name, payload := range m.services {
		rt, extra, err := decodeService(payload)
		if err != nil || rt.State == 0 {
			s.say(LevelError, "%s: its record in the journal is damaged; it begins as inactive", name)
			continue
		}
		sv, old := s.services[name], s.config.begun[name]
		if old.spec == nil || old.run != rt.Run || !rt.Alive() {
			old.spec = nil
		}
		switch {
		case sv != nil && old.spec != nil:
			sv.cur = old.spec
		case sv == nil && old.spec != nil: // removed, and not gone yet
			sv = s.addService(old.spec)
			sv.removed = true
		case sv == nil:
			continue
		}
		sv.rt, sv.extra, sv.sent = rt, extra, rt.SigSeq
	}
	if m.how != "" {
		s.ending = &ending{how: m.how, since: s.opt.Now(), by: m.by, scale: 1, status: m.status}
	}
	s.nameAll()
	for _, name := range s.names {
		s.recount(s.services[name])
		if s.services[name].rt.Alive() {
			s.alive++
		}
		if sv := s.services[name]; sv.rt.State == state.Starting && !sv.cur.Target {
			s.starting++
		}
	}
}

// attachAll gives the read ends of every run's pipes to the rooms that read
// them.
func (s *Supervisor) attachAll(w *keeper.Welcome) {
	for held, fds := range w.Held {
		tag, run, _, ok := keeper.ParsePipe(held)
		if !ok || len(fds) != 1 {
			continue
		}
		if kind, name := keeper.ParseTag(tag); kind != "" {
			s.attachHelper(kind, name, 0, held, fds[0])
		} else {
			s.attach(name, run, held, fds[0])
		}
	}
}

// dropUnknown drops definitions that no frame names.
func (s *Supervisor) dropUnknown(w *keeper.Welcome, specs uint64) {
	for held := range w.Held {
		if strings.HasPrefix(held, "specs/") && held != specsName(specs) {
			s.keeper.Drop(held)
		}
	}
}

// strange deals with a child that no value of ours names: of an earlier run,
// whose end nobody needs, or of a service that is no more.
func (t *turn) strange(ch keeper.Child) {
	s := t.s
	sv := s.services[ch.Tag]
	if sv != nil && sv.rt.Run == ch.Run {
		return
	}
	if t.ackAgain(ch) {
		return
	}
	if sv != nil && !sv.rt.Live && ch.Run > sv.rt.Run {
		// The journal was lost, or a part of it: what lives is the truth, and no
		// deadline of an earlier state holds.
		was := &sv.rt
		next := state.Service{State: state.Running, Wanted: true, Live: true, Run: ch.Run, Pid: ch.Pid, SigSeq: ch.Seq,
			ReadyAt: t.mono, Since: t.wall, SinceMono: t.mono, Seq: was.Seq, Attempts: was.Attempts, Last: was.Last,
			FirstStart: was.FirstStart, FirstReady: was.FirstReady, Cause: was.Cause, Starter: was.Starter}
		t.touch(sv)
		t.set(sv, next)
		return
	}
	s.say(LevelWarn, "pid %d (run %d of %s) belongs to no service; ending it", ch.Pid, ch.Run, ch.Tag)
	t.act(func() {
		s.keeper.Signal(keeper.Signal{Tag: ch.Tag, Run: ch.Run, Seq: ch.Seq + 1, Sig: unix.SIGKILL, ToGroup: true})
		if sv == nil {
			s.killGroup(ch.Tag)
		}
	})
}

// reconcile compares what was decided of sv with what the keeper has. Effects
// are repeatable: what was ordered is ordered again, with the same key.
func (t *turn) reconcile(sv *service, ch keeper.Child, found bool) {
	rt := &sv.rt
	if sv.cur.Target || rt.Hook == state.PreHook || !(rt.Live || rt.Left || rt.State == state.Stopping) {
		if found {
			t.ackAgain(ch) // recorded, and the word was lost
		}
		t.look(sv)
		return
	}
	if !found {
		t.reconcileAbsent(sv)
		return
	}
	if rt.Live && rt.Pid != ch.Pid && ch.Phase != keeper.Failed {
		next := *rt
		next.Pid = ch.Pid
		t.touch(sv)
		t.set(sv, next)
	}
	switch ch.Phase {
	case keeper.Failed:
		t.later(keeper.Event{Kind: keeper.Failed, Tag: ch.Tag, Run: ch.Run, Step: ch.Step, Errno: ch.Errno})
	case keeper.Exited, keeper.Gone:
		if !ch.NoExec { // the welcome tells what happened last only
			t.execed(sv)
		}
		t.later(keeper.Event{Kind: keeper.Exited, Tag: ch.Tag, Run: ch.Run, Pid: ch.Pid, Status: ch.Status, AtNS: ch.AtNS})
		if ch.Phase == keeper.Gone {
			t.later(keeper.Event{Kind: keeper.Gone, Tag: ch.Tag, Run: ch.Run})
		}
	case keeper.Execed:
		t.execed(sv)
	}
	if rt.State == state.Stopping && (rt.Killed || sv.cur.StopSignal == unix.SIGKILL) {
		t.act(func() { t.s.killGroup(sv.name) })
	}
	t.signalAgain(sv, ch.Seq, false)
}

// later queues a fact of the welcome as if it had been told just now.
func (t *turn) later(ev keeper.Event) {
	t.act(func() { t.s.first = append(t.s.first, news{event: ev}) })
}

// reconcileAbsent is a run that the keeper does not have: its order was never
// sent, or all of its facts were acknowledged.
func (t *turn) reconcileAbsent(sv *service) {
	rt := &sv.rt
	switch {
	case rt.State == state.Starting && rt.Pid == 0:
		run := rt.Run
		t.act(func() { t.s.spawn(sv, run) })
	case rt.State == state.Stopping, !rt.Live:
		t.goneBy(sv)
	default:
		next := *rt
		next.Live, next.Pid, next.Failure = false, 0, state.Failure{Kind: state.Lost}
		t.touch(sv)
		t.set(sv, next)
		t.apply(sv, state.ExitedFinal, "lost")
	}
}
