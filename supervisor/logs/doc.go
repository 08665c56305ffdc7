// Package logs keeps what services print: every byte, in order, exactly
// once, until its buffer is full, also when the process that keeps it dies at
// any instruction.
//
// Words. A stream is stdout or stderr of one run of a service; it comes
// through a pipe. A store is what a service has printed: two files in memory
// (memfds), data and index, that the holder (the keeper) keeps open for a
// successor as "log/NAME/data" and "log/NAME/index". A pump moves bytes from
// pipes into stores. A reader goes over a store and makes lines of it.
//
// How nothing is lost or repeated. Bytes are moved by splice(2) from the pipe
// to the end of the data file, so that being moved is being recorded: there
// is no moment in which they are in neither or in both. The index says whose
// they are: a record {offset, time, run, stream} is written before the
// splice; when no bytes follow, the next record has the same offset and the
// first is void. A store is spliced into only when the holder has answered
// for both files; until then the bytes wait in their pipe, and when a pipe is
// full its writer waits: waiting beats losing.
//
// The buffer. Old pages are punched out of the front, so offsets only grow
// and what was dropped is the offset of the first byte left. That is asked of
// the file (SEEK_DATA), so a successor knows it too. A reader that finds its
// place gone counts the bytes and says so with its next line.
//
// Order. A service's lines come in the order of their last byte. A line has
// a sequence number, Seq, that grows within its service, also over runs and
// servers; a reader given one goes on after it. Several services are merged
// by time, each of them staying in its own order.
//
// Who waits for whom. One goroutine pumps everything; it has no buffer of its
// own and waits for nobody: readers, followers and the console have cursors
// in the stores and fall behind at their own cost. A service that never
// prints costs a pipe and an entry in a map.
package logs
