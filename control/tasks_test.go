package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
)

// TestStatuses: at first those of all objects, then those that may have changed, and those that could not be written again.
func TestStatuses(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices+"---"+edge)))
	p := run(t, options(t, state(t), f))
	var got []string
	fails := ""
	s := p.NewStatuses(func(_ context.Context, k dialect.Key, status dialect.Status) error {
		if k.Kind == fails {
			return errors.New("it fails")
		}
		if tree := status(nil, noon); len(tree) > 0 {
			got = append(got, k.Kind)
		}
		return nil
	})
	do := func(want ...string) {
		t.Helper()
		got = nil
		err := s.Do(t.Context())
		slices.Sort(got)
		if !slices.Equal(got, want) || (err != nil) != (fails != "") {
			t.Errorf("%v, want %v: %v", got, want, err)
		}
	}
	do("Gateway", "GatewayClass", "HTTPRoute")
	do()
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(edge, "name: reviews, port", "name: nobody, port"))})
	do("Gateway", "HTTPRoute") // the route, and the Gateway that counts routes
	fails = "Gateway"
	f.emit(t, source.Event{Put: parse(t, edge)})
	do("HTTPRoute")
	fails = ""
	do("Gateway")
	do()
	f.emit(t, source.Event{Delete: []dialect.Key{{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Namespace: "default", Name: "edge"}}})
	do("Gateway")
}

// TestGatewayObjects: they are applied when they change, and taken away when the gateway is weft's no more.
func TestGatewayObjects(t *testing.T) {
	inCluster := strings.ReplaceAll(edge, "kind: Gateway\nmetadata: {name: edge}", "kind: Gateway\nmetadata: {name: edge, uid: u-1}")
	f := newFeed(synced(parse(t, twoServices+"---"+inCluster)))
	p := run(t, options(t, state(t), f))
	var got []string
	x := &Gateways{Apply: func(_ context.Context, o map[string]any) error {
		got = append(got, fmt.Sprint("+", o["kind"]))
		return nil
	}, Delete: func(_ context.Context, k dialect.Key) error {
		got = append(got, "-"+k.Kind)
		return nil
	}}
	do := func(want ...string) {
		t.Helper()
		got = nil
		if err := x.Do(t.Context(), p.View()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, want %v: %v", got, want, err)
		}
	}
	do("+ServiceAccount", "+Service", "+Deployment")
	do()
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(inCluster, "port: 80,", "port: 81,"))})
	do("+ServiceAccount", "+Service", "+Deployment")
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(inCluster, "weft.dev/gateway-controller", "example.com/other"))})
	do("-Deployment", "-Service", "-ServiceAccount")
	do()
}
