package server

// Bounds, for tests.
const (
	MostStrangers = mostStrangers
	MostFromOne   = mostFromOne
)
