#!/bin/sh
# Breaks one rule of the supervisor at a time, on a copy of the tree, and shows
# that the tests of state, supervisor and graph notice every one.
# usage: mutate.sh [NUMBER...]
set -u
cd "$(dirname "$0")/.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 130' INT TERM
cp -r --parents go.mod go.sum graph supervisor testdata/ring "$tree"
cd "$tree"
GO=${GO:-go}

number=0 survived=0
only=" $* "

# break FILE SED-EXPRESSION WHAT
break_rule() {
	number=$((number + 1))
	case $only in "  " | *" $number "*) ;; *) return ;; esac
	cp "$1" "$tree/whole"
	sed -i "$2" "$1"
	if cmp -s "$1" "$tree/whole"; then
		verdict="NOTHING CHANGED" survived=$((survived + 1))
	elif out=$($GO test -count=1 ./supervisor/state ./graph 2>&1 &&
		$GO test -count=1 -timeout 300s ./supervisor -shrink=false -histories 100 2>&1 &&
		$GO test -count=1 -timeout 900s ./supervisor -shrink=false -histories 3000 2>&1); then
		verdict=SURVIVED survived=$((survived + 1))
	elif printf '%s\n' "$out" | grep -q 'build failed\|setup failed'; then
		verdict="DID NOT BUILD" survived=$((survived + 1))
	else
		verdict="caught by $(printf '%s\n' "$out" | sed -n 's/^ *--- FAIL: \([^ ]*\).*/\1/p; s/^panic: test timed out.*/a timeout/p' | head -n 1)"
	fi
	cp "$tree/whole" "$1"
	printf '%3d  %-26s %-62s %s\n' "$number" "$1" "$3" "$verdict"
}

state=supervisor/state
break_rule $state/table.go '/^	Running: {/,/^	}/s/ExitedRetry: {to: Failed, do: ArmRetry}/ExitedRetry: {to: Exited, do: ArmRetry}/' 'a crash of a running service is an end as it should be'
break_rule $state/table.go 's/StopTimeout: {to: Stopping, do: SendKill | ArmKill}/StopTimeout: {to: Stopping, do: ArmKill, why: "x"}/' 'no SIGKILL after the stop timeout'
break_rule $state/table.go '/^	Blocked: {/,/^	}/s/Stop:      {to: Inactive}/Stop:      {to: Blocked, why: "x"}/' 'a stop does not reach what is blocked'
break_rule $state/policy.go 's/	s.Attempts++/	s.Attempts += 0/' 'restarts are not counted'
break_rule $state/policy.go 's/case s.Again && held:/case false:/' 'a restart does not wait for what blocks it'
break_rule $state/service.go 's/s.Wanted, s.Again, s.Queued, s.RetryAt = false, false, false, 0/s.Wanted, s.Again, s.Queued = false, false, false/' 'a stop forgets to drop the pending restart'
break_rule $state/service.go 's/	s.StartBy, s.StopBy, s.RetryAt, s.ReadyAt = 0, 0, 0, 0/	s.StopBy, s.RetryAt, s.ReadyAt = 0, 0, 0/' 'the start timeout outlives the start'
break_rule supervisor/turn.go '/do&state.ArmStop != 0/,/}/s/next.StopBy = .*/_ = next/' 'the stop timeout is not armed'
break_rule supervisor/turn.go '/^func (t \*turn) commit/,/^}/s/		t.s.arm(sv)/		_ = sv/' 'a deadline does not reach the heap of timers'
break_rule supervisor/timers.go 's/		heap.Fix(&s.timers, sv.place-1)/		_ = sv.place/' 'an earlier deadline does not move in the heap'
break_rule supervisor/standing.go '/^func (tl \*tally) count/,/^}/s/	case graph.After:/	case graph.Before:/' 'edges of kind after are dropped'
break_rule supervisor/standing.go 's/st.lost \&\& k == graph.BindsTo/st.lost \&\& k == graph.Wants/' 'binds_to is forgotten'
break_rule supervisor/standing.go '/^func (tl \*tally) count/,/^}/s/		if st.alive {/		if false {/' 'conflicts are dropped'
break_rule supervisor/standing.go '/^func (s \*Supervisor) recount/,/^}/s/	if s.graph.Refused(sv.name) != nil {/	if false {/' 'members of a cycle may start'
break_rule supervisor/record.go '/^func (s \*Supervisor) record/,/^}/s/		frame.Bytes(frameService, one.Payload())/		_ = one/' 'the journal record is skipped'
break_rule supervisor/record.go 's/	number(w, 13, &rt.Attempts)/	_ = rt.Attempts/' 'attempts are not in the journal'
break_rule supervisor/record.go 's/	flag(w, 54, &rt.Reload)/	_ = rt.Reload/' 'a reload_exec that is due is not in the journal'
break_rule supervisor/reloadexec.go '/^func (t \*turn) reconcileReload/,/^}/s/if lives := .*; lives \&\& /if /' 'a reload_exec is ordered for a run that has ended'
break_rule supervisor/hooks.go 's/awaited = awaited || sv != nil \&\& kind == reloadKind \&\& reloadDue(sv, ch.Run)/_ = sv/' 'a reload_exec whose end was not read is run again'
break_rule supervisor/hooks.go 's/			if reloadDue(sv, ev.Run) {/			if false {/' 'the end of a reload_exec does not strike it off'
break_rule supervisor/news.go '/^func (s \*Supervisor) onRun/,/^}/s/sv != nil \&\& sv.rt.Run == ev.Run {/sv != nil {/' 'the run number is ignored'
break_rule supervisor/news.go 's/ev.Kind == keeper.Gone \&\& sv.rt.Live {/false {/' 'the end of a group is taken before the exit'
break_rule supervisor/news.go '/^func (s \*Supervisor) onRun/,/^}/s/s.keeper.Ack(ev.Kind, ev.Tag, ev.Run)/_ = ev/' 'facts are not acknowledged'
break_rule supervisor/operator.go '/^func (t \*turn) takeDown(/,/^}/s/next.Queued, next.Again, next.RetryAt = true, back, 0/next.Queued, next.Again, next.RetryAt = true, true, 0/' 'every stop is a restart'
break_rule supervisor/turn.go '/^func (t \*turn) reviewQueued/,/^}/s/sv.users > 0 || //' 'a stop does not wait for those that need it'
break_rule supervisor/turn.go '/^func (t \*turn) reviewQueued/,/^}/s/sv.followers > 0/false/' 'a shutdown ignores the order of after'
break_rule supervisor/turn.go '/^func (t \*turn) rollback/,/^}/s/sv.rt, sv.tally, sv.cur, sv.spec = sv.undo.rt, sv.undo.tally,/sv.rt, sv.cur, sv.spec = sv.undo.rt,/' 'a turn that failed leaves its counts behind'
break_rule supervisor/ends.go 's/t.undoes = append(t.undoes, func() { s.ending = nil })/_ = t/' 'a shutdown that was not recorded has begun'
break_rule supervisor/reload.go '/^func (t \*turn) forget/,/^}/s/			s.recount(d)/			_ = d/' 'what is forgotten is still counted'
break_rule supervisor/begin.go '/^func (t \*turn) reconcile(/,/^}/s/	t.signalAgain(sv, ch.Seq, false)/	_ = sv/' 'a stop whose signal was lost is not told again'
break_rule supervisor/begin.go '/^func (t \*turn) reconcileAbsent/,/^}/s/t.act(func() { t.s.spawn(sv, run) })/_ = run/' 'a run whose order was lost is not ordered again'
break_rule supervisor/reload.go '/^func (t \*turn) adopt/,/^}/s/		s.recount(s.services\[name\])/		_ = name/' 'a reload does not count its edges'
break_rule supervisor/slots.go 's/t.s.starting+t.starting < most {$/t.s.starting+t.starting <= most {/' 'one start too many at a time'
break_rule graph/judge.go '/^func (g \*Graph) waitsForItself/,/^}/s/			return true/			return false/' 'what waits for itself is not refused'
break_rule graph/judge.go 's/who := &g.why\[pair\[0\]\]/who := \&g.why[pair[1]]/' 'of a contradiction what is needed is refused'
break_rule graph/build.go 's/		turned.Kind = After/		turned.Kind = Wants/' 'before orders nothing'
break_rule graph/graph.go 's/k == Requires || k == BindsTo || k == After/k == Requires || k == BindsTo/' 'after closes no cycle'

printf '%d rules broken, %d not noticed\n' "$number" "$survived"
[ "$survived" -eq 0 ]
