package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

// told is a source of some events.
type told []source.Event

func (s told) Run(ctx context.Context, emit func(source.Event)) error {
	for _, e := range s {
		emit(e)
	}
	<-ctx.Done()
	return nil
}

var errOver = errors.New("over")

// What a source has given when it has given all counts, and what comes later does not.
func TestCollect(t *testing.T) {
	o := func(name string) *dialect.Object { return &dialect.Object{Kind: "Pod", Name: name} }
	gap := dialect.Located{Finding: mesh.Finding{Ref: decision.Ref{Kind: "Node"}, Text: "not read"}}
	objects, unread, err := collect(t.Context(), told{{Put: []*dialect.Object{o("b"), o("a"), o("c")}, Findings: []dialect.Located{{}}},
		{Delete: []dialect.Key{o("c").Key()}, Findings: []dialect.Located{gap}, Synced: true}, {Put: []*dialect.Object{o("late")}}})
	if err != nil || len(objects) != 2 || objects[0].Name != "a" || objects[1].Name != "b" || len(unread) != 1 || unread[0].Text != "not read" {
		t.Error(objects, unread, err)
	}
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errOver)
	if _, _, err := collect(over, told{{Put: []*dialect.Object{o("a")}}}); !errors.Is(err, errOver) {
		t.Error(err)
	}
}

// Each object that is refused is named once, and not all of them.
func TestTell(t *testing.T) {
	v := &control.View{}
	for i := range 12 {
		for _, rule := range []string{"", "http[0]"} {
			v.Findings = append(v.Findings, dialect.Located{Finding: mesh.Finding{Level: mesh.Error, Ref: decision.Ref{Kind: "VirtualService", Namespace: "a", Name: fmt.Sprint("v", i), Rule: rule}}})
		}
	}
	v.Findings = append(v.Findings, dialect.Located{Finding: mesh.Finding{Level: mesh.Warning, Ref: decision.Ref{Kind: "Sidecar"}}})
	var lines []string
	tell(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }, nil, v)
	if len(lines) != 11 || !strings.HasPrefix(lines[9], "without VirtualService a/v9") || lines[10] != "and 2 more that are refused" {
		t.Errorf("%q", lines)
	}
}
