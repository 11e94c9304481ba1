package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect/gatewayapi"
)

// The GatewayClass is made once its kind is there, and again after somebody has taken it away.
func TestGatewayClass(t *testing.T) {
	var versions []string
	var failed error
	asked, made := 0, 0
	c := class{name: "weft", group: "gateway.networking.k8s.io", kind: "GatewayClass", spec: map[string]any{"controllerName": gatewayapi.Controller}, serves: func(_ context.Context, _, kind string) ([]string, error) {
		asked++
		return versions, failed
	}, apply: func(_ context.Context, o map[string]any) error {
		made++
		if spec, _ := o["spec"].(map[string]any); spec["controllerName"] != gatewayapi.Controller {
			t.Errorf("%v", o)
		}
		return nil
	}}
	now := time.Now()
	for _, step := range []struct {
		after       time.Duration
		versions    []string
		failed      error
		asked, made int
	}{
		{0, nil, nil, 1, 0},
		{askAgain / 2, []string{"v1"}, nil, 1, 0},
		{askAgain, nil, errors.New("away"), 2, 0},
		{askAgain, []string{"v1beta1", "v1"}, nil, 3, 1},
		{askAgain, []string{"v1"}, nil, 3, 1},
		{mendAgain, []string{"v1"}, nil, 4, 2},
	} {
		now, versions, failed = now.Add(step.after), step.versions, step.failed
		if err := c.do(t.Context(), now); !errors.Is(err, failed) || asked != step.asked || made != step.made {
			t.Errorf("%+v: asked %d, made %d: %v", step, asked, made, err)
		}
	}
}
