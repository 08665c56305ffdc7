// Package graph holds who needs, awaits or excludes whom.
//
// A [Graph] is a value that does not change. [Build] makes one from nodes, each
// with its dependencies as they were declared; [Graph.With] makes the next one.
// So a reader never needs a lock, and whoever changes the graph swaps a pointer.
//
// Its words: an [Edge] goes from who waits to what it waits for. Edges are
// normalized: "a before b" is an edge from b to a of kind After, and a conflict
// is an edge each way. Ordering edges are requires, binds_to and after; needs
// are requires and binds_to. A name that is only pointed at is missing: it has
// edges but is no node.
//
// Its promises:
//
//   - Build never fails. A node that waits for itself (a cycle of ordering
//     edges), or that excludes what it needs (a contradiction), is refused with
//     the whole path; every other node stays usable. Of a contradiction that is
//     the one that needs, through whatever others and whichever of the two says
//     that they exclude each other: it can never start, the other can without it.
//   - With returns an error instead when the change would refuse a node that is
//     not refused today.
//   - Everything comes in one order: ties go by name, so that logs and tests
//     are stable.
//   - Nothing recurses: a chain of any length needs no deep stack, and building
//     costs time proportional to nodes and edges (sorting aside).
//
// It leaves to others what the nodes are, which of them run, and when.
package graph
