// Package spec reads service files: what a service is, as its author wrote it.
//
// A [Spec] is the meaning of one file NAME.toml, with every default filled in.
// [Parse] judges one file and says everything that is wrong with it at once,
// each [Problem] with file, line, column, key, what is allowed and a hint.
// [Load] reads whole directories and is the only place, with [LoadSettings],
// that touches the file system: it opens nothing that could block, and believes
// no file that somebody else could have written. `zinit check` and the server
// call the same two, so they cannot disagree.
//
// Keys are rows of one table (schema.go): a path, and the function that reads
// and judges its value. Keys that are judged but that nothing acts on yet are
// rows of another (later.go); using one is an error, because a key that is
// silently ignored is a promise broken. Keys and tables that begin with "x-"
// belong to others and are skipped.
//
// It leaves to others how services depend on each other (package graph), and
// what only a running machine knows: whether a program, a user or a directory
// exists.
package spec
