// Package probe finds out how services are: it asks them, and hears what they
// tell.
//
// Words. A probe asks a service once: TCP connects, HTTP sends one GET and
// reads one status line; a probe by command is a run of the keeper's and only
// its schedule is here. A Schedule says when to ask next and what the answers
// amount to. A notification is a datagram as sd_notify(3) sends it; a Receiver
// hears those of all services.
//
// Promises. A probe ends with its context, whatever the other side does. Its
// error is one plain sentence that fits behind "health check failed: ". A
// Schedule is a value without clock: the same times and answers give the same
// verdicts, and it never has two probes under way. No bytes that a service
// sends do harm: what cannot be read is left out. A notification is told before
// it is taken from its socket, so a successor hears again what its predecessor
// had no time to record; who records twice is to notice.
//
// Why not net/http: it is 5 MB for a request of five lines and the first line
// of an answer.
package probe
