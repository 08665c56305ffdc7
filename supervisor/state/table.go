package state

import "fmt"

// rule is one row: where an event leads from a state, and what is to be done.
// why says in a few words why a row that changes nothing is harmless.
type rule struct {
	to  State
	do  Effect
	why string
}

const begin = Spawn | ArmStart

// table is the only home of an arrow between states. A pair that is absent is
// refused by Step.
var table = [numStates][numEvents]rule{
	Inactive: {
		StartFree: {to: Starting, do: begin},
		StartHeld: {to: Blocked},
		RetryFree: {to: Starting, do: begin}, // pulled in, or added while its dependents wait
		RetryHeld: {to: Blocked},
		Stop:      {to: Inactive, why: "already down"},
		LeftGone:  {to: Inactive, why: "may start again"},
	},
	Blocked: { // by something it can name
		Cleared:   {to: Starting, do: begin},
		Doomed:    {to: Failed}, // what it needs cannot come up by itself
		Stop:      {to: Inactive},
		StartFree: {to: Starting, do: begin},
		StartHeld: {to: Blocked, why: "already waiting"},
		RetryHeld: {to: Blocked, why: "already waiting"},
		Hindered:  {to: Blocked, why: "already waiting"},
		LeftGone:  {to: Blocked, why: "one blocker less"},
	},
	Starting: { // runs, not ready yet
		Ready:        {to: Running},
		Done:         {to: Exited}, // a oneshot
		DoneRetry:    {to: Exited, do: ArmRetry},
		ExitedRetry:  {to: Failed, do: ArmRetry},
		ExitedFinal:  {to: Failed},
		SpawnRetry:   {to: Failed, do: ArmRetry},
		SpawnFinal:   {to: Failed},
		StartTimeout: {to: Stopping, do: SendStop | ArmStop},
		Stop:         {to: Stopping, do: SendStop | ArmStop},
		Restart:      {to: Stopping, do: SendStop | ArmStop},
		Unbound:      {to: Stopping, do: SendStop | ArmStop},
		Ending:       {to: Stopping, do: ArmStop},
		StartFree:    {to: Starting, why: "already starting"},
		StartHeld:    {to: Starting, why: "already starting"},
		LeftGone:     {to: Starting, why: "of an earlier run"},
	},
	Running: {
		Done:        {to: Exited},
		DoneRetry:   {to: Exited, do: ArmRetry},
		ExitedRetry: {to: Failed, do: ArmRetry},
		ExitedFinal: {to: Failed},
		Stop:        {to: Stopping, do: SendStop | ArmStop},
		Restart:     {to: Stopping, do: SendStop | ArmStop},
		Unbound:     {to: Stopping, do: SendStop | ArmStop},
		HealthLost:  {to: Stopping, do: SendStop | ArmStop},
		Ending:      {to: Stopping, do: ArmStop},
		Hindered:    {to: Blocked}, // a target
		Doomed:      {to: Failed},  // a target
		Ready:       {to: Running, why: "already ready"},
		StartFree:   {to: Running, why: "already up"},
		StartHeld:   {to: Running, why: "already up"},
		LeftGone:    {to: Running, why: "of an earlier run"},
	},
	Stopping: {
		Ended:       {to: Stopping, why: "others may be left"},
		GoneExited:  {to: Exited},
		GoneRetry:   {to: Failed, do: ArmRetry},
		GoneFinal:   {to: Failed},
		GoneDone:    {to: Exited, do: ArmRetry},
		GoneFree:    {to: Starting, do: begin},
		GoneHeld:    {to: Blocked},
		StopTimeout: {to: Stopping, do: SendKill | ArmKill},
		Unkillable:  {to: Stopping, do: SayUnkill},
		StartFree:   {to: Stopping, why: "starts again when gone"},
		StartHeld:   {to: Stopping, why: "starts again when gone"},
		Stop:        {to: Stopping, why: "drops a pending start"},
		Restart:     {to: Stopping, why: "starts again when gone"},
		Ready:       {to: Stopping, why: "too late"},
		LeftGone:    {to: Stopping, why: "of an earlier run"},
	},
	Exited: {
		StartFree: {to: Starting, do: begin},
		StartHeld: {to: Blocked},
		RetryFree: {to: Starting, do: begin},
		RetryHeld: {to: Blocked},
		Stop:      {to: Exited, why: "already down"},
		LeftGone:  {to: Exited, why: "may start again"},
	},
	Failed: {
		StartFree: {to: Starting, do: begin},
		StartHeld: {to: Blocked},
		RetryFree: {to: Starting, do: begin},
		RetryHeld: {to: Blocked},
		Doomed:    {to: Failed, why: "failed already"},
		Stop:      {to: Failed, why: "already down"},
		LeftGone:  {to: Failed, why: "may start again"},
	},
}

// RefusedError says that the table has no row for an event in a state.
type RefusedError struct {
	State State
	Event Event
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("cannot apply %q to a service that is %s", e.Event, e.State)
}

// Row returns the row for ev in s: the next state, the effects, and for a row
// that changes nothing why it is harmless. ok is false where there is none.
func Row(s State, ev Event) (to State, do Effect, why string, ok bool) {
	if s >= numStates || ev >= numEvents {
		return 0, 0, "", false
	}
	r := table[s][ev]
	return r.to, r.do, r.why, r.to != 0
}
