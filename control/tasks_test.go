package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/install/gateway"
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

// shelf is objects as an API server keeps them, each with a UID, and what was done to them.
type shelf struct {
	objects map[dialect.Key]map[string]any
	did     []string
	uids    int
}

func (s *shelf) get(_ context.Context, k dialect.Key) (map[string]any, error) {
	return s.objects[k], nil
}

func (s *shelf) apply(_ context.Context, o map[string]any) error {
	meta := o["metadata"].(map[string]any)
	k := dialect.Key{Group: gateway.KindOf(o).Group, Kind: o["kind"].(string), Namespace: meta["namespace"].(string), Name: meta["name"].(string)}
	was := s.objects[k]
	if want := meta["uid"]; want != nil && (was == nil || was["metadata"].(map[string]any)["uid"] != want) {
		return errors.New("another UID")
	}
	if meta["uid"] == nil {
		if was != nil {
			return errors.New("an object of somebody else's is overwritten")
		}
		s.uids++
		meta["uid"] = fmt.Sprint("made-", s.uids)
	}
	s.objects[k] = o
	s.did = append(s.did, "+"+k.Kind)
	return nil
}

func (s *shelf) remove(_ context.Context, k dialect.Key, uid string) error {
	if o := s.objects[k]; o == nil || o["metadata"].(map[string]any)["uid"] != uid {
		return errors.New("not the one that was looked at")
	}
	delete(s.objects, k)
	s.did = append(s.did, "-"+k.Kind)
	return nil
}

const inCluster = "kind: Gateway\nmetadata: {name: edge, uid: u-1}"

// keeping is a control plane with a gateway of a cluster, and who keeps its objects.
func keeping(t *testing.T) (p *plane, f *feed, x *Gateways, s *shelf, docs string) {
	t.Helper()
	docs = strings.ReplaceAll(edge, "kind: Gateway\nmetadata: {name: edge}", inCluster)
	f = newFeed(synced(parse(t, twoServices+"---"+docs)))
	p = run(t, options(t, state(t), f))
	s = &shelf{objects: map[dialect.Key]map[string]any{}}
	return p, f, &Gateways{Get: s.get, Apply: s.apply, Delete: s.remove, Note: p.Note}, s, docs
}

// TestGatewayObjects: they are applied when they change, taken away when they are not needed any more, and with the gateway.
func TestGatewayObjects(t *testing.T) {
	p, f, x, s, docs := keeping(t)
	do := func(want ...string) {
		t.Helper()
		s.did = nil
		if err := x.Do(t.Context(), p.Mesh()); err != nil || !slices.Equal(s.did, want) {
			t.Errorf("%v, want %v: %v", s.did, want, err)
		}
	}
	do("+ServiceAccount", "+Service", "+Deployment", "+PodDisruptionBudget")
	do()
	scaled := strings.ReplaceAll(docs, "{gatewayClassName: weft,", "{gatewayClassName: weft, infrastructure: {annotations: {weft.dev/replicas: 2-5}},")
	f.emit(t, source.Event{Put: parse(t, scaled)})
	do("+ServiceAccount", "+Service", "+Deployment", "+PodDisruptionBudget", "+HorizontalPodAutoscaler")
	f.emit(t, source.Event{Put: parse(t, docs)})
	do("+ServiceAccount", "+Service", "+Deployment", "+PodDisruptionBudget", "-HorizontalPodAutoscaler")
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(docs, "weft.dev/gateway-controller", "example.com/other"))})
	do("-PodDisruptionBudget", "-Deployment", "-Service", "-ServiceAccount")
	do()
}

// TestGatewayNamesThatAreTaken: who may write a Gateway has weft touch nothing that is not the Gateway's: no object without its owner or
// without weft's label, nor one that another Gateway owns. Then none of its objects is made, its status says why, and all is well once the name
// is free.
func TestGatewayNamesThatAreTaken(t *testing.T) {
	key := dialect.Key{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "edge-weft"}
	labels := map[string]any{"app.kubernetes.io/managed-by": "weft"}
	owned := func(uid string) []any { return []any{map[string]any{"kind": "Gateway", "name": "edge", "uid": uid}} }
	for name, meta := range map[string]map[string]any{
		"somebody's":          {"uid": "theirs"},
		"with the label":      {"uid": "theirs", "labels": labels},
		"with the owner":      {"uid": "theirs", "ownerReferences": owned("u-1")},
		"of another Gateway":  {"uid": "theirs", "labels": labels, "ownerReferences": owned("u-0")},
		"of an owner without": {"uid": "theirs", "labels": labels, "ownerReferences": []any{map[string]any{"name": "edge"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, f, x, s, docs := keeping(t)
			theirs := map[string]any{"kind": "Deployment", "metadata": meta}
			s.objects[key] = theirs
			status := func() string {
				var said string
				if err := p.NewStatuses(func(_ context.Context, k dialect.Key, status dialect.Status) error {
					if k.Kind == "Gateway" {
						said = fmt.Sprint(status(nil, noon)["conditions"])
					}
					return nil
				}).Do(t.Context()); err != nil {
					t.Error(err)
				}
				return said
			}
			for range 2 {
				if err := x.Do(t.Context(), p.Mesh()); err == nil || !strings.Contains(err.Error(), "Deployment default/edge-weft") || len(s.did) > 0 {
					t.Errorf("%v, did %v", err, s.did)
				}
			}
			if got := status(); !strings.Contains(got, "Deployment default/edge-weft is there and is not weft's") {
				t.Error(got)
			}
			if found := fmt.Sprint(p.View().Findings); !strings.Contains(found, "Deployment default/edge-weft") {
				t.Error(found)
			}
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(docs, "weft.dev/gateway-controller", "example.com/other"))})
			if err := x.Do(t.Context(), p.Mesh()); err != nil || len(s.did) > 0 {
				t.Errorf("%v, did %v", err, s.did)
			}
			f.emit(t, source.Event{Put: parse(t, docs)})
			delete(s.objects, key)
			if err := x.Do(t.Context(), p.Mesh()); err != nil || len(s.did) != 4 {
				t.Errorf("%v, did %v", err, s.did)
			}
			if found := fmt.Sprint(p.View().Findings); strings.Contains(found, "Deployment default/edge-weft") {
				t.Error(found)
			}
			s.objects[key], s.did = theirs, nil // in the place of the gateway's own, meanwhile
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(docs, "weft.dev/gateway-controller", "example.com/other"))})
			if err := x.Do(t.Context(), p.Mesh()); err != nil || !slices.Equal(s.did, []string{"-PodDisruptionBudget", "-Service", "-ServiceAccount"}) {
				t.Errorf("%v, did %v", err, s.did)
			}
		})
	}
}

// TestGatewaysThatFailHoldNothing: where a gateway's objects cannot be as they are to be, for a name that is taken or since the cluster refuses one, it is
// not as if those of before held still: once they are asked for again they are applied again, and the finding ends. What is there of a
// gateway goes with it.
func TestGatewaysThatFailHoldNothing(t *testing.T) {
	key := dialect.Key{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "edge-weft"}
	more := func(docs string) string {
		return strings.ReplaceAll(docs, "{gatewayClassName: weft,", "{gatewayClassName: weft, infrastructure: {annotations: {weft.dev/replicas: '2'}},")
	}
	all := []string{"+ServiceAccount", "+Service", "+Deployment", "+PodDisruptionBudget"}
	for _, taken := range []bool{true, false} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("taken %v, made before %v", taken, before), func(t *testing.T) {
				p, f, x, s, docs := keeping(t)
				do := func(docs string, fails bool, want ...string) {
					t.Helper()
					f.emit(t, source.Event{Put: parse(t, docs)})
					s.did = nil
					if err := x.Do(t.Context(), p.Mesh()); (err != nil) != fails || !slices.Equal(s.did, want) {
						t.Errorf("did %v, want %v: %v", s.did, want, err)
					}
					if told := strings.Contains(fmt.Sprint(p.View().Findings), "deployed"); told != fails {
						t.Errorf("told %v: %v", told, p.View().Findings)
					}
				}
				if before {
					do(docs, false, all...)
				}
				mine, apply := s.objects[key], x.Apply
				x.Apply = func(ctx context.Context, o map[string]any) error {
					if o["kind"] == "Deployment" {
						return errors.New("exceeded quota: pods")
					}
					return apply(ctx, o)
				}
				part := all[:2]
				if taken {
					x.Apply, part = apply, nil
					s.objects[key] = map[string]any{"kind": "Deployment", "metadata": map[string]any{"uid": "theirs"}}
				}
				do(more(docs), true, part...)
				do(docs, true, part...) // which are those of before, and not there as they were
				do(more(docs), true, part...)
				switch x.Apply = apply; {
				case !before:
					var gone []string // what is there of it, in the order in which it is taken away
					if !taken {
						gone = []string{"-Service", "-ServiceAccount"}
					}
					do(strings.ReplaceAll(docs, "weft.dev/gateway-controller", "example.com/other"), false, gone...)
				case taken:
					do(strings.ReplaceAll(docs, "weft.dev/gateway-controller", "example.com/other"), false, "-PodDisruptionBudget", "-Service", "-ServiceAccount")
				default:
					s.objects[key] = mine
					do(docs, false, all...)
				}
			})
		}
	}
}

// TestGatewaysThatTheClusterRefuses: what the API server does not take, for a quota say, stands in the Gateway's status until it does.
func TestGatewaysThatTheClusterRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, x, s, _ := keeping(t)
		full := true
		x.Apply = func(ctx context.Context, o map[string]any) error {
			if o["kind"] == "Deployment" && full {
				return errors.New("exceeded quota: pods")
			}
			return s.apply(ctx, o)
		}
		check := func(refused bool) {
			t.Helper()
			if err := x.Do(t.Context(), p.Mesh()); (err != nil) != refused {
				t.Error(err)
			}
			written := false
			if err := p.NewStatuses(func(_ context.Context, k dialect.Key, status dialect.Status) error {
				if said := fmt.Sprint(status(nil, noon)["conditions"]); k.Kind == "Gateway" {
					if written = true; strings.Contains(said, "not deployed as it asks for: exceeded quota: pods") != refused {
						t.Errorf("refused %v: %s", refused, said)
					}
				}
				return nil
			}).Do(t.Context()); err != nil {
				t.Error(err)
			}
			if !written {
				t.Error("no status")
			}
			time.Sleep(gateway.LastPause)
		}
		check(true)
		if err := x.Do(t.Context(), p.Mesh()); err == nil || len(p.View().Findings) != 1 { // it is tried in vain again
			t.Error(err, p.View().Findings)
		}
		if err := p.NewStatuses(func(_ context.Context, k dialect.Key, _ dialect.Status) error {
			return fmt.Errorf("%v is written again", k)
		}).Do(t.Context()); err != nil {
			t.Error(err)
		}
		full = false
		time.Sleep(gateway.LastPause)
		check(false)
	})
}

// TestGatewaysThatFailRest: what could not be applied is not asked for with each change of anything, but after a while that grows, or once it is to
// be something else.
func TestGatewaysThatFailRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f, x, s, docs := keeping(t)
		s.objects[dialect.Key{Kind: "Service", Namespace: "default", Name: "edge-weft"}] = map[string]any{"kind": "Service", "metadata": map[string]any{"uid": "theirs"}}
		asked := 0
		x.Get = func(ctx context.Context, k dialect.Key) (map[string]any, error) { asked++; return s.get(ctx, k) }
		do := func(asks bool) {
			t.Helper()
			asked = 0
			if err := x.Do(t.Context(), p.Mesh()); err == nil || !strings.Contains(err.Error(), "Service default/edge-weft") || asked > 0 != asks {
				t.Errorf("asked %d times, want %v: %v", asked, asks, err)
			}
		}
		do(true)
		for pause := gateway.FirstPause; pause < 8*gateway.LastPause; pause *= 2 {
			do(false)
			time.Sleep(min(pause, gateway.LastPause) - time.Millisecond)
			do(false)
			time.Sleep(time.Millisecond)
			do(true)
		}
		f.emit(t, source.Event{Put: parse(t, strings.Replace(docs, "port: 80,", "port: 81,", 1))})
		do(true)
		do(false)
		time.Sleep(gateway.FirstPause)
		clear(s.objects)
		if err := x.Do(t.Context(), p.Mesh()); err != nil || len(s.objects) != 4 {
			t.Errorf("%v, %d objects", err, len(s.objects))
		}
	})
}

// TestGatewayLabels: no pods are made for a gateway that a Service of somebody else's would lead to by the labels that its object asks for; its status
// says why. Those that are there before that Service go on, and the object hears of it.
func TestGatewayLabels(t *testing.T) {
	const payments = `
---
apiVersion: v1
kind: Service
metadata: {name: payments}
spec: {clusterIP: 10.96.0.9, selector: {app: payments}, ports: [{name: http, port: 80}]}
`
	p, f, x, s, docs := keeping(t)
	asks := strings.ReplaceAll(docs, "{gatewayClassName: weft,", "{gatewayClassName: weft, infrastructure: {labels: {app: payments, team: shop}},")
	refunds := strings.Replace(payments, "name: payments", "name: refunds", 1)
	do := func(want, told string, refused bool) {
		t.Helper()
		s.did = nil
		if err := x.Do(t.Context(), p.Mesh()); (err != nil) != refused || refused && len(s.did) > 0 {
			t.Errorf("%v, did %v", err, s.did)
		}
		labels := s.objects[dialect.Key{Group: "apps", Kind: "Deployment", Namespace: "default", Name: "edge-weft"}]
		for _, key := range []string{"spec", "template", "metadata", "labels"} {
			labels, _ = labels[key].(map[string]any)
		}
		if got := fmt.Sprint(labels["app"], " ", labels["team"]); got != want {
			t.Errorf("pods have %s, want %s", got, want)
		}
		const says = "by the label app a Service that is not the gateway's, default/"
		found := fmt.Sprint(p.View().Findings)
		if (told != "") != strings.Contains(found, says) || told != "" && !strings.Contains(found, says+told+", leads to its pods") || strings.Contains(found, "not deployed as it asks for") != refused {
			t.Errorf("want a word of %q, refused %v: %s", told, refused, found)
		}
		if err := p.NewStatuses(func(_ context.Context, k dialect.Key, status dialect.Status) error {
			if said := fmt.Sprint(status(nil, noon)["conditions"]); k.Kind == "Gateway" && strings.Contains(said, "not deployed as it asks for") != refused {
				t.Errorf("refused %v: %s", refused, said)
			}
			return nil
		}).Do(t.Context()); err != nil {
			t.Error(err)
		}
	}
	do("<nil> <nil>", "", false)
	f.emit(t, source.Event{Put: parse(t, asks)})
	do("payments shop", "", false)
	f.emit(t, source.Event{Put: parse(t, asks+payments)})
	do("payments shop", "payments", false)
	do("payments shop", "payments", false)
	if len(s.did) > 0 {
		t.Errorf("did %v", s.did)
	}
	f.emit(t, source.Event{Put: parse(t, asks+payments+refunds)})
	do("payments shop", "payments, default/refunds", false)
	f.emit(t, source.Event{Put: parse(t, docs)})
	do("<nil> <nil>", "", false)
	f.emit(t, source.Event{Put: parse(t, asks)})
	do("<nil> <nil>", "payments, default/refunds", true)
	do("<nil> <nil>", "payments, default/refunds", true)
	f.emit(t, source.Event{Put: parse(t, strings.Replace(asks, "app: payments", "app: pay", 1))})
	do("pay shop", "", false)
	f.emit(t, source.Event{Put: parse(t, asks)})
	do("pay shop", "payments, default/refunds", true) // another value is another label
	f.emit(t, source.Event{Put: parse(t, asks+strings.Replace(payments, "app: payments", "app: other", 1)), Delete: []dialect.Key{{Kind: "Service", Namespace: "default", Name: "refunds"}}})
	do("payments shop", "", false)
	f.emit(t, source.Event{Put: parse(t, strings.Replace(asks, "app: payments", "app: other", 1))})
	do("payments shop", "payments", true)
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(asks, "weft.dev/gateway-controller", "example.com/other"))})
	if err := x.Do(t.Context(), p.Mesh()); err != nil || len(s.objects) > 0 {
		t.Errorf("%v, %d objects of what is not weft's any more", err, len(s.objects))
	}
}

const istioEdge = `
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {weft.dev/adopt: "LABEL"}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, uid: u-1}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, protocol: HTTP, name: http}, hosts: ["*"]}]}
`

// TestAdopted: what says not who is to act is acted on in namespaces alone that weft has adopted.
func TestAdopted(t *testing.T) {
	in := func(label string) []*dialect.Object { return parse(t, strings.ReplaceAll(istioEdge, "LABEL", label)) }
	adopts := func(ns *dialect.Object) bool { return ns.Labels["weft.dev/adopt"] == "enabled" }
	f := newFeed(synced(in("disabled")))
	o := options(t, state(t), f)
	o.Adopts = adopts
	p := run(t, o)
	have := &shelf{objects: map[dialect.Key]map[string]any{}}
	x := &Gateways{Get: have.get, Apply: have.apply, Delete: have.remove, Note: p.Note, Adopted: p.Adopted}
	said := 0
	statuses := p.NewStatuses(func(_ context.Context, _ dialect.Key, status dialect.Status) error {
		if strings.Contains(fmt.Sprint(status(nil, noon)), "Reconciled") {
			said++
		}
		return nil
	})
	for _, label := range []string{"disabled", "enabled", "disabled"} {
		f.emit(t, source.Event{Put: in(label)})
		if err := x.Do(t.Context(), p.Mesh()); err != nil || (len(have.objects) > 0) != (label == "enabled") {
			t.Errorf("%s: %d objects: %v", label, len(have.objects), err)
		}
		said = 0
		if err := statuses.Do(t.Context()); err != nil || (said > 0) != (label == "enabled") {
			t.Errorf("%s: %d statuses of kinds that name no controller: %v", label, said, err)
		}
	}
}
