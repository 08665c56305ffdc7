// Package rpc is JSON-RPC 2.0 over a unix socket: one JSON value a line (LF),
// both ways, UTF-8.
//
// Words: a call is a request that wants an answer; a notification has no id and
// gets none; a peer is the process at the other end, as the kernel names it.
//
// Where the standard leaves a choice: ids are echoed byte for byte and may be
// strings, numbers or null. Batches are answered in the order of their calls;
// calls in one that wait do so together, and the batch with them. Calls on one connection take effect and are answered in their order; only a
// call that waits for an outcome, or follows something, may be overtaken. A
// blank line is ignored. Duplicate keys in a request and text after it are
// errors. Keys match exactly.
//
// Promises: no bytes on the socket can stop the server or hurt another
// connection; memory for one connection is bounded by the limits below; who may
// call is decided at accept, before a byte is read.
package rpc

import "time"

// Limits on what one peer can cost.
const (
	MaxRequest     = 1 << 20          // bytes of one line
	MaxBatch       = 100              // calls in one batch
	MaxAnswers     = 16 << 20         // bytes that answer one batch, before the rest of it is refused
	MaxDepth       = 64               // brackets inside each other
	MaxConnections = 256              // of which RootReserve only root may use
	RootReserve    = 8                // see MaxConnections
	MaxWaiting     = 32               // calls of one connection that wait or follow at a time
	FinishBy       = 10 * time.Second // to send the rest of a line once its first byte is there
	WriteBy        = 10 * time.Second // for a peer to take an answer
)
