//go:build !race

package supervisor

// raced says that the race detector looks on, which takes its time.
const raced = false
