// Package state is the life of one service as a table: which states there are,
// what can happen in each, where that leads and what is to be done about it.
//
// It is pure. No clock, file, process or goroutine is known here: time and
// jitter come in as arguments, so the same history gives the same life.
//
// Words: a State is a condition a service is in; an Event is what happened or
// was asked; an Effect is an order that the supervisor carries out. Facts are
// turned into events first (see Classify), so that the table needs no
// conditions. Whether a service is wanted up or down is a field beside the
// state, not more states.
package state

import "strconv"

// State is the condition of a service. The zero value is no state.
type State uint8

const (
	Inactive State = iota + 1 // never started, or stopped while blocked
	Blocked                   // wanted up, waiting for something named
	Starting                  // its process runs, not ready yet
	Running                   // ready
	Stopping                  // told to stop, not gone yet
	Exited                    // ended as it should, or was stopped
	Failed                    // ended as it should not, or cannot start
	numStates
)

var stateNames = [numStates]string{"none", "inactive", "blocked", "starting", "running", "stopping", "exited", "failed"}
var stateSymbols = [numStates]string{"[ ]", "[-]", "[?]", "[>]", "[+]", "[!]", "[.]", "[X]"}

// String returns the name in lower case, as zinit 0.3 spells it.
func (s State) String() string {
	if s >= numStates {
		return "state " + strconv.Itoa(int(s))
	}
	return stateNames[s]
}

// Symbol returns the three ASCII characters that lists show.
func (s State) Symbol() string {
	if s >= numStates {
		return stateSymbols[0]
	}
	return stateSymbols[s]
}

// Parse returns the state of that name, or the zero State.
func Parse(name string) State {
	for s := Inactive; s < numStates; s++ {
		if stateNames[s] == name {
			return s
		}
	}
	return 0
}

// States lists every state, in the order of the constants.
func States() []State {
	var list []State
	for s := Inactive; s < numStates; s++ {
		list = append(list, s)
	}
	return list
}

// Events lists every event, in the order of the constants.
func Events() []Event {
	var list []Event
	for e := StartFree; e < numEvents; e++ {
		list = append(list, e)
	}
	return list
}

// Event is what happened to a service or was asked of it. The zero value is
// no event.
type Event uint8

const (
	StartFree    Event = iota + 1 // asked to start; nothing blocks it
	StartHeld                     // asked to start; something blocks it
	Cleared                       // the last blocker is gone
	Doomed                        // what it needs cannot come up by itself
	Hindered                      // a target lost something it requires, which can come back
	RetryFree                     // time, or reason, to try again by itself; nothing blocks it
	RetryHeld                     // the same; something blocks it
	Ready                         // its process is ready
	Done                          // ended with success, no restart
	DoneRetry                     // ended with success, will be restarted
	ExitedRetry                   // ended without success, will be restarted
	ExitedFinal                   // ended without success, no restart
	SpawnRetry                    // could not be started, will be tried again
	SpawnFinal                    // could not be started, no further try
	StartTimeout                  // not ready in time
	Stop                          // asked to stop
	Restart                       // asked to stop and start again
	Unbound                       // lost what it is bound to; comes back with it
	HealthLost                    // its health check says that it is no longer well
	Ending                        // its main process has ended by itself, its post_exec runs
	Ended                         // while stopping: its main process has ended, others of it may be left
	GoneExited                    // nothing of it is left, and that was asked
	GoneRetry                     // nothing is left; it had failed, will be restarted
	GoneFinal                     // nothing is left; it had failed, no restart
	GoneDone                      // nothing is left; it had ended with success, will be restarted
	GoneFree                      // nothing is left; it is wanted up again and nothing blocks it
	GoneHeld                      // the same; something blocks it
	StopTimeout                   // still there when the stop timeout ran out
	Unkillable                    // still there some seconds after SIGKILL
	LeftGone                      // the last process that outlived the main one has ended
	numEvents
)

var eventNames = [numEvents]string{
	"none", "start", "start held", "cleared", "doomed", "hindered", "retry", "retry held", "ready", "done", "done, restart due",
	"exited, restart due", "exited", "spawn failed, retry due", "spawn failed", "start timeout", "stop", "restart", "unbound", "health lost", "ending", "ended", "gone",
	"gone, restart due", "gone, failed", "gone, done, restart due", "gone, start again", "gone, start held", "stop timeout", "unkillable", "leftovers gone",
}

// String names the event in plain words.
func (e Event) String() string {
	if e >= numEvents {
		return "event " + strconv.Itoa(int(e))
	}
	return eventNames[e]
}

// Effect is an order to the supervisor. Effects are a set; the supervisor
// carries them out in the order of the constants.
type Effect uint16

const (
	Spawn      Effect = 1 << iota // begin run number Run
	SendStop                      // the stop signal and CONT
	SendKill                      // SIGKILL to all of it
	ArmStart                      // the start timeout begins
	ArmStop                       // the stop timeout begins
	ArmKill                       // the time begins after which a killed service is called unkillable
	ArmRetry                      // the backoff begins
	SayUnkill                     // tell the operator what is left, in which kernel state
	numEffects = iota
)

var effectNames = [numEffects]string{"spawn", "send stop", "send kill", "arm start timer", "arm stop timer", "arm kill timer", "arm retry timer", "name what is left"}

// String lists the effects, separated by commas; none is "".
func (e Effect) String() string {
	out := ""
	for i := range numEffects {
		if e&(1<<i) == 0 {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += effectNames[i]
	}
	return out
}
