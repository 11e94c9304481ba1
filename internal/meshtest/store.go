package meshtest

import (
	"context"

	"github.com/weft-mesh/weft/control/lastgood"
	"github.com/weft-mesh/weft/decision"
)

// Empty is a store of the last good versions that has none, and keeps none.
type Empty struct{}

var _ lastgood.Pieces = Empty{}

// Load returns no piece.
func (Empty) Load(context.Context, string) ([]byte, error) { return nil, nil }

// Save forgets a piece.
func (Empty) Save(context.Context, string, []byte) error { return nil }

// Ref names a piece.
func (Empty) Ref(name string) decision.Ref { return decision.Ref{Name: name} }
