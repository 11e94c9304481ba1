package meshtest

import (
	"context"
	"fmt"
	"time"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
)

// given is a source of objects that the test gives.
type given struct {
	first  source.Event
	events chan source.Event
	taken  chan struct{}
	kinds  []dialect.Kind
	texts  int // that were read: the later ones' objects are younger
}

func newGiven() *given {
	return &given{events: make(chan source.Event), taken: make(chan struct{}), kinds: all.Kinds(transcript.TrustDomain)}
}

// Run implements source.Source.
func (g *given) Run(ctx context.Context, emit func(source.Event)) error {
	emit(g.first)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-g.events:
			emit(e)
			select {
			case g.taken <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// emit returns when the control plane has taken e.
func (g *given) emit(ctx context.Context, e source.Event) {
	e.Source = "test"
	select {
	case g.events <- e:
	case <-ctx.Done():
		return
	}
	select {
	case <-g.taken:
	case <-ctx.Done():
	}
}

// parse reads texts; positions name them by number, as "test-1.yaml".
func (g *given) parse(texts []string) (objects []*dialect.Object, found []dialect.Located) {
	for _, text := range texts {
		g.texts++
		o, l := files.Parse(g.kinds, fmt.Sprintf("test-%d.yaml", g.texts), []byte(text), transcript.Now.Add(time.Duration(g.texts)*time.Second))
		objects, found = append(objects, o...), append(found, l...)
	}
	return objects, found
}
