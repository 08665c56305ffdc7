package graph

import (
	"fmt"
	"strings"
)

// CycleError says that nodes wait for each other in a circle. Its text is one
// line with the names and one line for each edge, with the file and line that
// declare it.
type CycleError struct {
	// Edges leads from the node whose name sorts first round to it again. It
	// is the shortest circle among the nodes that wait for each other; the
	// answer of Graph.Refused is the shortest through the node asked about,
	// and begins there.
	Edges []Edge
}

// Error returns the text described at CycleError, without a final newline.
func (e *CycleError) Error() string {
	var b strings.Builder
	b.WriteString("cycle: ")
	writePath(&b, e.Edges)
	for _, edge := range e.Edges {
		b.WriteString("\n  " + edge.String())
	}
	return b.String()
}

// ContradictionError says that a node needs, perhaps through others, one that it
// can never be alive with.
type ContradictionError struct {
	Path     []Edge // from the node that needs to the one that it needs
	Conflict Edge   // between the same two
}

// Error returns one line with the names and one line for each edge, with the
// file and line that declare it, without a final newline.
func (e *ContradictionError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "contradiction: %s both needs and excludes %s: ", e.Conflict.From, e.Conflict.To)
	writePath(&b, e.Path)
	for _, edge := range e.Path {
		b.WriteString("\n  " + edge.String())
	}
	b.WriteString("\n  " + e.Conflict.String())
	return b.String()
}

// String returns the edge as it is declared: `web requires db (FILE:LINE)`.
func (e Edge) String() string {
	from, to := e.From, e.To
	if e.turned {
		from, to = to, from
	}
	text := from + " " + e.Declared.String() + " " + to
	switch {
	case e.File == "":
		return text
	case e.Line == 0:
		return fmt.Sprintf("%s (%s)", text, e.File)
	}
	return fmt.Sprintf("%s (%s:%d)", text, e.File, e.Line)
}

func writePath(b *strings.Builder, path []Edge) {
	for i, edge := range path {
		if i == 0 {
			b.WriteString(edge.From)
		}
		b.WriteString(" -> " + edge.To)
	}
}
