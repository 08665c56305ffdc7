package keeper

import (
	"slices"
	"syscall"
)

// The requests of a Client. Each joins the queue and returns.

func (c *Client) request(r *request, fds ...int) {
	var e encoder
	e.request(r)
	c.put(outgoing{b: e.b, fds: fds})
}

// Spawn asks for a run. Spawned, then Execed or Failed follow, or Failed or
// Busy alone. Arguments and environment that fit no message are Failed with
// E2BIG.
func (c *Client) Spawn(s Spawn) {
	var e encoder
	e.request(&request{kind: recSpawn, spawn: s})
	if len(e.b) > maxSpawn {
		c.put(outgoing{answer: &Event{Kind: Failed, Tag: s.Tag, Run: s.Run, Step: stepMessage, Errno: syscall.E2BIG}})
		return
	}
	c.put(outgoing{b: e.b})
}

// Signal asks for a signal. Signaled follows.
func (c *Client) Signal(s Signal) { c.request(&request{kind: recSignal, signal: s}) }

// Ack says that a Failed, Exited or Gone of a run is recorded and need not be
// told again. When Exited and Gone are both acknowledged, or Failed is, the
// keeper forgets the run; what it holds of it stays until it is dropped.
func (c *Client) Ack(kind EventKind, tag string, run uint64) {
	c.putLate(&request{kind: recAck, ack: kind, spawn: Spawn{Tag: tag, Run: run}})
}

// AckAsk says that everything asked up to a.Times is recorded.
func (c *Client) AckAsk(a Ask) { c.request(&request{kind: recAckAsk, ask: a}) }

// Hold gives the keeper its own copies of fds under a name, in place of what
// it held under that name. The caller's fds must stay open until Held comes;
// its Errno is 0 when they are held, and only then.
func (c *Client) Hold(name string, fds ...int) {
	if len(name) > MaxName || len(fds) > MaxFDs {
		c.put(outgoing{answer: &Event{Kind: Held, Name: name, Errno: syscall.E2BIG}})
		return
	}
	c.request(&request{kind: recHold, name: name, nfds: len(fds)}, slices.Clone(fds)...)
}

// Drop lets the keeper close what it holds under a name. An unknown name is
// no error.
func (c *Client) Drop(name string) { c.putLate(&request{kind: recDrop, name: name}) }

// Ready tells the keeper that this server serves: its next death costs no
// pause.
func (c *Client) Ready() { c.request(&request{kind: recReady}) }

// Upgrade asks the keeper to replace this server by one that runs the binary
// fd leads to. The keeper kills this server as soon as it has the binary: what
// is asked for before is done, what is asked for after may not be. Refused
// follows when the binary did not arrive, nothing otherwise. fd must be open
// until then, and neither it nor anybody else may have the file open for
// writing: execve(2) would fail with ETXTBSY.
//
// The new server is on probation. It has ten seconds to say Ready, and must
// then live for a minute. When it does not, the keeper goes back to the binary
// before it and says why in Welcome.UpgradeFailed.
//
// Numbers grow, from 2. A successor sees in Welcome.Upgrade whether the keeper has
// had the binary.
func (c *Client) Upgrade(number uint64, fd int) {
	c.request(&request{kind: recUpgrade, num: number}, fd)
}

// End asks for the end of everything. Lost follows when the keeper has heard
// it; the server should then exit, and is killed if it does not within a few
// seconds. What it asks for after End may not be done.
func (c *Client) End(e End) { c.request(&request{kind: recEnd, end: e}) }
