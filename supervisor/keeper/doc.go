// Package keeper is both ends of the keeper's protocol: the process that
// holds everything (Keep) and the client in the server that tells it what to
// do (Client).
package keeper
