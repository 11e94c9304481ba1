// Package source says where objects come from. A source gives all that it has, then what changes.
package source

import (
	"context"
	"errors"

	"github.com/weft-mesh/weft/dialect"
)

// Source is a place that objects come from.
type Source interface {
	// Run emits all objects that there are, then an event with Synced set, then every change, until ctx ends; then it returns
	// nil. An error means that it can't go on, and why. emit is called by one goroutine, and Run waits for it.
	Run(ctx context.Context, emit func(Event)) error
}

// Event is what changed. Of one key there is one object at any time.
type Event struct {
	Source   string            // its name among all, as "files [config]"
	Put      []*dialect.Object // new ones, and new versions
	Delete   []dialect.Key
	Findings []dialect.Located // all that there is to say now of what could not be read; it replaces what the last event said
	Synced   bool              // all that was there at the start has been given
}

// ErrForeign is of a place for something of weft's that has something else.
var ErrForeign = errors.New("it is somebody else's")
