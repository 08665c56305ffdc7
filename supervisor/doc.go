// Package supervisor is the life of services: it decides, and never acts alone.
//
// # The life of a service
//
// A service has a definition (spec.Spec, its file) and runs, numbered from 1;
// one run is one main process. A target is a service without a process.
// "Wanted" is what the operator asked for, up or down; the state is what is.
// Asked to start, a service is blocked until everything it waits for is there,
// then starting while its process is not ready yet, then running. Asked to
// stop, or ended by a timeout, it is stopping until nothing of it is left. What
// ended as it should is exited, what did not is failed, and both may be waiting
// for their next restart. Package state holds that as one table; package graph
// knows who waits for whom.
//
// # A decision
//
// Everything that happens (a request, an exit, a timer, a newline on a
// readiness descriptor) becomes a turn: under the lock, the table is applied to
// the service concerned; each change of a service is told along its own edges
// to its neighbours, which are then looked at, until nothing follows any more
// (turn.settle). The turn is then recorded in the journal as one frame, and
// only after that acted upon: orders to the keeper in the order of the frame,
// news on the bus, lines in zinit's own log. A turn that cannot be recorded is
// undone whole, and its cause comes again or is refused.
//
// So the answer to "why is it as it is" is always at hand: every transition has
// one cause and a number, and what blocks a service is computed from the
// present standing of its neighbours, never remembered (reason.go, why.go).
//
// # Who owns what
//
//   - The keeper owns processes, pipes and everything held. The supervisor asks
//     it through Keeper; what it asks can be asked again without harm.
//   - Supervisor.mu guards services, graph, configuration and journal. It is
//     held for one decision, never while waiting for anything.
//   - Run's goroutine takes news one by one. Deliver and later are how others
//     give it some.
//   - The logs have a goroutine of their own and are never waited for, but for
//     the last words of a run, which are moved before its end is told.
//
// # Promises about order
//
// A spawn is ordered after the frame that says so. A stop is told to a service
// after all that need it are gone; at shutdown also after all that come after
// it. Subscribers see transitions in the order of their numbers. Stop beats
// everything asked earlier.
//
// # Takeover
//
// The server may be killed at any instruction. The next one reads the last
// value of every service from the journal, compares it with the keeper's
// children (turn.reconcile), repeats what may not have been sent, and goes on:
// timers from their deadlines, logs from the end of their stores.
package supervisor
