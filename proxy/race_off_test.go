//go:build !race

package proxy_test

// raceEnabled: memory and allocations are counted without the race detector only, which has some of its own.
const raceEnabled = false
