//go:build !race

package tls13

// raceEnabled: memory and allocations are counted without the race detector only, which has some of its own.
const raceEnabled = false
