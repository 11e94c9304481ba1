package main

import (
	"context"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
)

// Another mesh's namespaces are weft's once that mesh's injector is gone, and whoever leads hears of it.
func TestAdoption(t *testing.T) {
	var there []string
	told := 0
	a := &adoption{options: func() inject.Options { return inject.Options{Adopt: true} }, foreign: func(context.Context) ([]string, error) { return there, nil },
		anew: func() error { told++; return nil }}
	istio := &dialect.Object{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}
	own := &dialect.Object{Name: "own", Labels: map[string]string{inject.AdoptLabel: "enabled"}}
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		there []string
		shop  bool
		told  int
	}{
		{0, []string{"istio"}, false, 1},
		{lookAgain / 2, nil, false, 1},
		{lookAgain, nil, true, 2},
		{lookAgain, nil, true, 2},
		{lookAgain, []string{"linkerd"}, true, 3},
		{lookAgain, []string{"linkerd", "istio"}, false, 4},
	} {
		if now, there = now.Add(step.after), step.there; step.after == 0 && a.adopts(istio) {
			t.Error("adopted before anybody has looked")
		}
		if err := a.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if a.adopts(istio) != step.shop || told != step.told || !a.adopts(own) {
			t.Errorf("%+v: adopted %v, told %d times", step, a.adopts(istio), told)
		}
	}
}
