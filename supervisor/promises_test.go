package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"zinit/supervisor/keeper"
	"zinit/supervisor/state"
)

// The thirty promises, and what holds each of them here:
//
//	 1 one main process            mayBegin
//	 2 dependency gate             mayBegin, by the twin
//	 3 conflicts exclude           mayBegin, by the processes themselves
//	 4 blocked means nameable      checkOne, by the twin
//	 5 stops in reverse            maySignal, by the twin
//	 6 no start after a stop       mayBegin, stopped
//	 7 stop dominates              mayBegin, stopped
//	 8 budget                      mayBegin, streak
//	 9 legal transitions           checkTransitions
//	10 state and process agree     checkProcess
//	11 an exit is taken once       checkProcess (never invented), checkTold (never lost)
//	12 only our own are signalled  Signal, maySignal
//	13 readiness has a run         step "again" tells old news
//	14 timers have a run           checkDeadlines; step "again"
//	15 a reload is whole           step "reload", refusedWhole
//	16 what is accepted is valid   step "reload"; mayBegin
//	17 a crash changes nothing     TestACrashChangesNothing
//	18 no double intent            TestACrashChangesNothing cuts the wire between any two orders
//	19 logs are accounted for      not here: package logs
//	20 wanted by somebody          checkOne; maySignal
//	21 memory is bounded           checkRest: the keeper keeps no run; the rest in logs, bus, rpc
//	22 the wall clock is for people TestTheWallClockChangesNothing
//	23 no lost wake-up             checkOne: none is blocked by nothing
//	24 progress                    atRest
//	25 shutdowns end               atTheEnd
//	26 nobody starves              not here: virtual time has no delays; package keeper, logs
//	27 convergence                 atRest: the same again does nothing
//	28 resource errors pass        atRest, after steps "full", "busy", "broken"
//	29 determinism                 TestTheSameHistoryIsTheSameLife
//	30 explainable                 checkWhy
//
// mayBegin holds what must be true when a run is ordered.
func (w *world) mayBegin(name string, number uint64) {
	again := w.ordered[key(name, number)]
	for _, r := range w.spawned {
		if r.Tag == name && r.Run != number && r.lives() {
			w.fail("run %d of %s is ordered while run %d lives", number, name, r.Run)
		}
	}
	sv := w.s.services[name]
	switch {
	case sv == nil:
		w.fail("%s is ordered, which nobody knows", name)
	case again:
		return // the same order once more
	case sv.rt.State != state.Starting || !sv.rt.Wanted || sv.rt.Run != number:
		w.fail("run %d of %s is ordered, which is %+v", number, name, sv.rt)
	case w.s.ending != nil:
		w.fail("%s is started although a shutdown has begun", name)
	case w.stopped[name]:
		w.fail("%s is started although an operator stopped it", name)
	}
	tw := w.twin()
	if why := append(tw.blockers(name), tw.doomed(name)...); len(why) > 0 {
		w.fail("%s is started although %s", name, strings.Join(why, ", "))
	}
	for _, other := range tw.clash[name] {
		for _, r := range w.spawned {
			if r.Tag == other && r.lives() {
				w.fail("%s is started while run %d of %s lives", name, r.Run, other)
			}
		}
	}
	if most := w.s.config.Settings.MaxParallelStarts; most > 0 && w.starting() > most {
		w.fail("%s is started as number %d of those that are starting, at most %d", name, w.starting(), most)
	}
	w.streak[name]++
	if most := sv.spec.MaxRestarts; most > 0 && w.streak[name] > most+1 {
		w.fail("%s is started %d times in a row with max_restarts %d", name, w.streak[name], most)
	}
}

// starting counts the runs that are starting.
func (w *world) starting() int {
	n := 0
	for _, sv := range w.s.services {
		if sv.rt.State == state.Starting && !sv.cur.Target {
			n++
		}
	}
	return n
}

// maySignal holds what must be true when a service is told to stop.
func (w *world) maySignal(r *run, sig unix.Signal) {
	sv := w.s.services[r.Tag]
	if sv == nil || sig == unix.SIGKILL {
		return
	}
	rt := &sv.rt
	if rt.Run != r.Run || rt.State != state.Stopping {
		w.fail("%s is sent to run %d of %s, which is %+v", signalName(int(sig)), r.Run, r.Tag, *rt)
	}
	if len(w.twin().lost(r.Tag)) > 0 || rt.Failure.Kind != state.NoFailure || w.s.ending != nil && w.s.ending.forced {
		return // what it is bound to, or its own failure, stops it
	}
	if w.reloading && len(w.twin().binds[r.Tag]) > 0 {
		return // what it is bound to now was down until the same reload started it
	}
	users, followers := w.twin().users(r.Tag)
	if w.s.ending != nil {
		users = followers
	}
	if len(users) > 0 {
		w.fail("%s is told to stop before %q", r.Tag, users)
	}
}

// after holds what must be true between any two events. what has just happened.
func (w *world) after(what string) {
	w.t.Helper()
	for len(w.s.news) > 0 { // what was left to the loop
		w.s.take(*<-w.s.news)
	}
	w.checkTransitions(what)
	w.checkForgotten(what)
	if w.refused != "" {
		w.fail("after %s: %s", what, w.refused)
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.bare {
		return
	}
	tw := w.twin()
	alive := 0
	for _, name := range w.s.names {
		sv := w.s.services[name]
		if bad := w.checkOne(sv, tw); bad != "" {
			w.fail("after %s: %s: %s\n%+v", what, name, bad, sv.rt)
		}
		if living(sv) || sv.rt.Live {
			alive++
		}
		if sv.rt.ReadyAt != 0 && w.now-sv.rt.ReadyAt >= int64(sv.spec.StabilityPeriod) {
			w.streak[name] = 0
		}
	}
	if w.starting() != w.s.starting {
		w.fail("after %s: %d services are starting, the supervisor counts %d", what, w.starting(), w.s.starting)
	}
	if alive != w.s.alive {
		w.fail("after %s: %d services live, the supervisor counts %d", what, alive, w.s.alive)
	}
}

func (w *world) checkOne(sv *service, tw *twin) string {
	rt := &sv.rt
	have := sv.tally
	w.s.recount(sv)
	switch blockers := tw.blockers(sv.name); {
	case sv.tally != have:
		return fmt.Sprintf("tally kept %+v, afresh %+v", have, sv.tally)
	case rt.State == state.Blocked && len(blockers) == 0:
		return "is blocked by nothing"
	case rt.State == state.Blocked && len(tw.doomed(sv.name)) > 0:
		return "waits for what cannot come"
	case len(tw.lost(sv.name)) > 0 && (up(sv) || rt.State == state.Starting) && !rt.Queued && !sv.cur.Target && w.s.ending == nil:
		return "is up without what it is bound to"
	case rt.Wanted && rt.Starter == "":
		return "is wanted by nobody"
	case rt.State == 0 || rt.Cause == "" && rt.State != state.Inactive:
		return "is as it is for no cause"
	case rt.State == state.Blocked && !rt.Wanted:
		return "is blocked and not wanted"
	case rt.Failure.Kind == state.Lost:
		return "has lost a process that nobody took"
	}
	if bad := tw.differs(sv); bad != "" {
		return bad
	}
	if bad := w.checkProcess(sv); bad != "" {
		return bad
	}
	return w.checkDeadlines(sv)
}

func (w *world) checkProcess(sv *service) string {
	rt := &sv.rt
	if e := rt.Last; e.Run != 0 && w.ends[key(sv.name, e.Run)] != fmt.Sprint(e.Code, e.Signal) {
		return fmt.Sprintf("the last exit is %+v, the process ended with %q", e, w.ends[key(sv.name, e.Run)])
	}
	if sv.cur.Target {
		if rt.Live || rt.Left || rt.Pid != 0 || rt.State == state.Starting || rt.State == state.Stopping {
			return "is a target with a process"
		}
		return ""
	}
	r := w.latest[sv.name]
	switch ordered := w.ordered[key(sv.name, rt.Run)]; {
	case (rt.State == state.Starting || rt.State == state.Running) && !rt.Live,
		rt.State == state.Stopping && !rt.Live && !rt.Left,
		rt.Live && rt.State != state.Starting && rt.State != state.Running && rt.State != state.Stopping:
		return "its state and its process disagree"
	case rt.Live && !ordered:
		return "its run was never ordered"
	case rt.Pid != 0 && !rt.Live:
		return "keeps the pid of a process that has ended"
	case rt.Pid != 0 && (r == nil || r.Run != rt.Run || r.Pid != rt.Pid):
		return "has the pid of another"
	case r != nil && r.alive && !rt.Live:
		return "its process lives and is not known"
	case r != nil && r.Run == rt.Run && r.left && !rt.Live && !rt.Left:
		return "processes of its run live and are not known"
	}
	return ""
}

func (w *world) checkDeadlines(sv *service) string {
	rt := &sv.rt
	at := deadline(rt)
	if w.nextWait() != 0 {
		at = 0 // what could not be recorded comes again, and arms again
	}
	switch {
	case rt.StartBy != 0 && rt.State != state.Starting, rt.StopBy != 0 && rt.State != state.Stopping,
		rt.RetryAt != 0 && (!ended(sv) || !rt.Wanted), rt.LeftBy != 0 && !rt.Left:
		return "has a deadline of another state"
	case rt.State == state.Starting && rt.StartBy == 0 && sv.cur.StartTimeout > 0:
		return "starts without a start timeout"
	case rt.State == state.Stopping && rt.StopBy == 0 && !rt.Stuck:
		return "stops without a stop timeout"
	case rt.Left && rt.LeftBy == 0 && rt.State != state.Stopping:
		return "has processes left that nobody will end"
	case at != 0 && (sv.armed == 0 || sv.armed > at):
		return fmt.Sprintf("is due at %d, and looked at at %d", at, sv.armed)
	case sv.armed != 0 && w.s.timers[sv.place-1] != sv:
		return "is not where the heap has it"
	}
	return ""
}

// checkTransitions holds what is published: every transition is a row of the
// table, begins where the last one ended, has a number and a cause.
func (w *world) checkTransitions(what string) {
	w.t.Helper()
	for len(w.news.C) > 0 {
		tr := <-w.news.C
		w.note("%s:%s", tr.Name, tr.To)
		from := w.known[tr.Name]
		if from == "" {
			from = state.Inactive.String()
		}
		switch legal := slices.ContainsFunc(state.Events(), func(ev state.Event) bool {
			to, _, _, ok := state.Row(state.Parse(tr.From), ev)
			return ok && ev.String() == tr.Event && to.String() == tr.To
		}); {
		case !legal:
			w.fail("after %s: no row for %+v", what, tr)
		case tr.From != from:
			w.fail("after %s: %s was %s, but %+v", what, tr.Name, from, tr)
		case tr.Cause == "":
			w.fail("after %s: no cause: %+v", what, tr)
		case tr.Seq != w.seq+1:
			w.fail("after %s: number %d follows %d: %+v", what, tr.Seq, w.seq, tr)
		}
		w.known[tr.Name], w.seq = tr.To, tr.Seq
		switch tr.Event {
		case state.Unbound.String():
			w.streak[tr.Name]-- // what it is bound to took this run away
		case state.Restart.String():
			w.streak[tr.Name] = 0
		case state.GoneFree.String(), state.GoneHeld.String():
			if by := w.stoppedBy[tr.Name]; by != state.Unbound.String() && by != state.Restart.String() {
				w.streak[tr.Name]-- // somebody asked while it was stopping: it does not come by itself
			}
		}
		if tr.To == state.Stopping.String() {
			w.stoppedBy[tr.Name] = tr.Event
		}
	}
	for name, last := range w.known {
		switch sv := w.s.services[name]; {
		case sv == nil:
			delete(w.known, name)
		case sv.rt.State.String() != last:
			w.fail("after %s: %s is %s, but was last told to be %s", what, name, sv.rt.State, last)
		}
	}
}

// checkForgotten: what is forgotten is gone, and may begin again from run 1.
func (w *world) checkForgotten(what string) {
	for tag, r := range w.latest {
		if w.s.services[tag] != nil {
			continue
		}
		if r.lives() {
			w.fail("after %s: %s is forgotten while its process lives", what, tag)
		}
		delete(w.latest, tag)
		w.past = slices.DeleteFunc(w.past, func(ev keeper.Event) bool { return ev.Tag == tag })
		for n := uint64(0); n <= r.Run+1000 && (n <= r.Run || w.ordered[key(tag, n)]); n++ {
			delete(w.ordered, key(tag, n))
			delete(w.ends, key(tag, n))
		}
	}
}

// checkWhy asks for the chain of reasons of every service.
func (w *world) checkWhy() {
	w.t.Helper()
	for _, name := range w.s.Names() {
		why, err := w.s.Why(name)
		if err != nil || len(why.Chain) == 0 {
			w.fail("why %s: %v, %+v", name, err, why)
		}
		seen := map[string]bool{}
		for _, l := range why.Chain {
			if seen[l.Name] || l.Reason == "" || strings.Contains(l.Reason, "waits for nothing") {
				w.fail("why %s: %s", name, why.ASCII)
			}
			seen[l.Name] = true
		}
		root := why.Chain[len(why.Chain)-1]
		if sv := w.s.services[root.Name]; why.Blocked && len(why.Chain) == 1 && root.State == state.Blocked.String() && !sv.rt.Left {
			w.fail("why %s: names nobody: %s", name, why.ASCII)
		}
	}
}

// snapshot is all that a decision can change.
func (w *world) snapshot() string {
	var b strings.Builder
	for _, name := range w.s.names {
		sv := w.s.services[name]
		fmt.Fprintf(&b, "%s %+v %+v %t %p %p\n", name, sv.rt, sv.tally, sv.removed, sv.spec, sv.cur)
	}
	fmt.Fprintf(&b, "%p %p %d %d %t", w.s.graph, w.s.config, w.s.alive, w.s.specsHeld, w.s.ending != nil)
	return b.String()
}

// tellAgain tells something that was told before, of an earlier run or of one
// whose end is known: it must touch nobody.
func (w *world) tellAgain(ev keeper.Event) {
	w.t.Helper()
	sv := w.s.services[ev.Tag]
	r := w.latest[ev.Tag]
	current := sv != nil && sv.rt.Run == ev.Run && r != nil && r.Run == ev.Run && (r.lives() || sv.rt.Live || sv.rt.Left)
	if current || w.whole != nil || ev.Kind == keeper.Spawned || sv != nil && sv.rt.Run == ev.Run && ev.Kind == keeper.Failed {
		return
	}
	before := w.snapshot()
	w.s.take(news{event: ev})
	if now := w.snapshot(); now != before {
		w.fail("old news (%s of run %d of %s) changed\n%s\nto\n%s", ev.Kind, ev.Run, ev.Tag, before, now)
	}
}

// mayBeStarted notes that an operator, or a reload, asks for names with what
// they need: none of that counts as stopped, or as started by itself.
func (w *world) mayBeStarted(set map[string]bool) {
	for name := range set {
		delete(w.stopped, name)
		w.streak[name] = 0
	}
}
