package kube

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/source"
)

// Pieces are Secrets of their own, which weft uninstall finds by their labels, and which are written by the right to apply those names alone.
func TestPieces(t *testing.T) {
	s := newServer(secrets())
	p := s.cluster(t).Pieces("weft-system")
	if data, err := p.Load(t.Context(), "weft-good-0"); data != nil || err != nil {
		t.Fatal(data, err)
	}
	for _, want := range []string{"one", "another", ""} {
		if err := p.Save(t.Context(), "weft-good-0", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if data, err := p.Load(t.Context(), "weft-good-0"); data == nil || string(data) != want || err != nil {
			t.Fatal(data, err)
		}
	}
	secret := s.kinds[1].objects["weft-system/weft-good-0"]
	meta := secret["metadata"].(map[string]any)
	if labels, _ := meta["labels"].(map[string]any); labels["app.kubernetes.io/part-of"] != "weft" || secret["type"] != pieceType {
		t.Error(secret)
	}
	if slices.ContainsFunc(s.requests, func(r string) bool {
		return !strings.HasPrefix(r, "get secrets weft-system weft-good-0") && !strings.HasPrefix(r, "patch secrets weft-system weft-good-0")
	}) {
		t.Errorf("%q", s.requests)
	}
	if ref := p.Ref("weft-good-0"); ref.String() != "Secret weft-system/weft-good-0 (core)" {
		t.Error(ref)
	}
}

// What is not weft's by its type, which nobody can change, is not read; that it cannot be read is an error that says so.
func TestPieceOfSomebodyElse(t *testing.T) {
	s := newServer(secrets())
	s.put(`{"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"namespace": "weft-system", "name": "weft-good-1"}, "data": {"piece": "eA=="}}`)
	p := s.cluster(t).Pieces("weft-system")
	if _, err := p.Load(t.Context(), "weft-good-1"); !errors.Is(err, source.ErrForeign) || !strings.Contains(err.Error(), "Secret weft-system/weft-good-1 is of type Opaque") {
		t.Error(err)
	}
	s.fail = func(verb, resource string, _ *http.Request) error { return forbidden(verb, resource) }
	if _, err := p.Load(t.Context(), "weft-good-0"); err == nil || errors.Is(err, source.ErrForeign) || !strings.Contains(err.Error(), "reading Secret weft-system/weft-good-0") {
		t.Error(err)
	}
	if err := p.Save(t.Context(), "weft-good-0", nil); err == nil || !strings.Contains(err.Error(), "writing Secret weft-system/weft-good-0") {
		t.Error(err)
	}
}
