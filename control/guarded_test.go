package control

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/source"
)

// bad are objects of each kind that says who may call, each with a mistake, and the field that it is in.
var bad = map[string]string{
	`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: x}, spec: {action: DENY, rules: many}}`:                                               "spec.rules",
	`{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: x}, spec: {mtls: {mode: STRICTEST}}}`:                                                  "spec.mtls.mode",
	`{apiVersion: policy.linkerd.io/v1beta3, kind: Server, metadata: {name: x}, spec: {podSelector: {}}}`:                                                                 "spec.port",
	`{apiVersion: policy.linkerd.io/v1alpha1, kind: AuthorizationPolicy, metadata: {name: x}, spec: {requiredAuthenticationRefs: []}}`:                                    "spec.targetRef",
	`{apiVersion: policy.linkerd.io/v1beta1, kind: ServerAuthorization, metadata: {name: x}, spec: {server: {name: a}}}`:                                                  "spec.client",
	`{apiVersion: policy.linkerd.io/v1alpha1, kind: MeshTLSAuthentication, metadata: {name: x}, spec: {}}`:                                                                "spec",
	`{apiVersion: policy.linkerd.io/v1alpha1, kind: NetworkAuthentication, metadata: {name: x}, spec: {networks: [{cidr: everywhere}]}}`:                                  "spec.networks[0].cidr",
	`{apiVersion: policy.linkerd.io/v1beta3, kind: HTTPRoute, metadata: {name: x}, spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: a, port: 80}]}}`:    "spec.parentRefs[0].port",
	`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x}, spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: a, port: 80}]}}`: "spec.parentRefs[0].port",
	`{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: x}, spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: a, port: 80}]}}`: "spec.parentRefs[0].port",
	`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingressDeny: [{fromEntities: many}]}}`:                       "spec.ingressDeny[0].fromEntities",
	`{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: x}, spec: {endpointSelector: {}, ingressDeny: [{fromEntities: many}]}}`:            "spec.ingressDeny[0].fromEntities",
	`{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: x}, spec: {externalCIDRs: [everywhere]}}`:                                                         "spec.externalCIDRs[0]",
	`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: {podSelector: {}, ingress: [{from: [{}]}]}}`:                                      "spec.ingress[0].from[0]",
	// Of a kind that is misspelled.
	`{apiVersion: security.istio.io/v1, kind: AuthorizationPolic, metadata: {name: x}, spec: {}}`:   "did you mean AuthorizationPolicy?",
	`{apiVersion: security.istio.oi/v1, kind: AuthorizationPolicy, metadata: {name: x}, spec: {}}`:  "did you mean apiVersion: security.istio.io/v1",
	`{apiVersion: networking.istio.io/v1, kind: PeerAuthentication, metadata: {name: x}, spec: {}}`: "did you mean apiVersion: security.istio.io/v1",
}

const strict = `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: x}, spec: {mtls: {mode: STRICT}}}`

// begins runs a control plane until it has read its sources, and says why it did not begin.
func begins(t *testing.T, o Options) error {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case <-c.Synced():
		cancel()
		return <-ended
	case err := <-ended:
		return err
	}
}

// twice is what a source gives of two objects with one name.
func twice(t *testing.T, text string) source.Event {
	first, found := dialect.Unique(all.Kinds(domain), append(parse(t, text), in("other.yaml", parse(t, text))...))
	return synced(first, found...)
}

func TestRefusedPolicyAtTheStart(t *testing.T) {
	for text, field := range bad {
		o := options(t, state(t), newFeed(synced(parse(t, text))))
		err := begins(t, o)
		if !errors.Is(err, ErrUnguarded) || !strings.Contains(err.Error(), "\ntest.yaml:1: error: ") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want %s named", text, err, field)
		}
		if err := begins(t, o); !errors.Is(err, ErrUnguarded) {
			t.Errorf("%s: %v at the second start: nothing that was refused is kept as good", text, err)
		}
	}
}

func TestWhatMayBegin(t *testing.T) {
	mistake := strings.Replace(strict, "STRICT", "STRICTEST", 1)
	const route = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: x}, spec: {hosts: 7}}`
	for _, x := range []struct {
		name       string
		first, now source.Event
		unguarded  bool
		refused    bool
	}{
		{name: "a bad route, which forbids nothing", now: synced(parse(t, route))},
		{name: "a bad policy of which an earlier version is known", first: synced(parse(t, strict)), now: synced(parse(t, mistake))},
		{name: "another's earlier version", first: synced(parse(t, strings.Replace(strict, "name: x", "name: other", 1))), now: synced(parse(t, mistake)), refused: true},
		{name: "a bad policy, and its author wants it so", now: synced(parse(t, mistake)), unguarded: true},
		{name: "a file that may hold one", now: synced(nil, lost("a.yaml")), refused: true},
		{name: "one that was read before", first: synced(in("a.yaml", parse(t, strict))), now: synced(nil, lost("a.yaml"))},
		{name: "one that another of its name stands before", now: twice(t, strict), refused: true},
		{name: "the same, known from an earlier run", first: synced(parse(t, strict)), now: twice(t, strict), refused: true},
		{name: "the same, and its author wants it so", now: twice(t, strict), unguarded: true},
		{name: "a route that another of its name stands before", now: twice(t, route)},
		{name: "a file that may hold one, and its author wants it so", now: synced(nil, lost("a.yaml")), unguarded: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := options(t, state(t), newFeed(x.first))
			if x.first.Synced {
				run(t, o).stop()
			}
			o.Sources, o.Unguarded = []source.Source{newFeed(x.now)}, x.unguarded
			if err := begins(t, o); errors.Is(err, ErrUnguarded) != x.refused || err != nil && !x.refused {
				t.Errorf("%v, want refused %v", err, x.refused)
			}
		})
	}
}

// Who may write policies into one namespace of a cluster closes that one with a bad one, until it is mended, and keeps nobody else from
// the mesh. Who may write them for all does.
func TestRefusedPolicyOfANamespaceOfACluster(t *testing.T) {
	for text := range bad {
		o := newCity().options(t, 0, newFeed(synced(parse(t, text))))
		wide := strings.Contains(text, "Clusterwide") || strings.Contains(text, "CIDRGroup") || strings.Contains(text, "kind: AuthorizationPolic,") || strings.Contains(text, "istio.oi") ||
			strings.Contains(text, "networking.istio")
		if err := begins(t, o); errors.Is(err, ErrUnguarded) != wide || err != nil && !wide {
			t.Errorf("%s: %v", text, err)
		}
	}
	mistake := strings.Replace(strict, "STRICT", "STRICTEST", 1)
	if err := begins(t, newCity().options(t, 0, newFeed(synced(parse(t, strings.Replace(mistake, "name: x", "name: x, namespace: istio-system", 1)))))); !errors.Is(err, ErrUnguarded) {
		t.Errorf("a policy for all: %v", err)
	}
	f := newFeed(synced(parse(t, strings.ReplaceAll(mistake, "name: x", "name: x, namespace: shop")+"\n"+reviewsPod+podOf("other", "a", "u", "a", "10.0.0.7"))))
	p := run(t, newCity().options(t, 0, f))
	closed := func(workload string) (n int) {
		snap := p.View().Mesh
		w := snap.Workloads.Get(workload)
		for _, e := range append(snap.Inbound(w).Authz, snap.Egress(w)...) {
			n += len(e.Tiers)
		}
		return n
	}
	if in, out := closed("shop/reviews-1"), closed("other/a"); in != 2 || out != 0 {
		t.Errorf("%d tiers where the policy is, %d elsewhere", in, out)
	}
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(strict, "name: x", "name: x, namespace: shop"))})
	if in := closed("shop/reviews-1"); in != 0 {
		t.Errorf("%d tiers after it was mended", in)
	}
}

// While the mesh runs a bad policy does not end it: what is in force stays, and the log says at the level of errors what is not.
func TestRefusedPolicyWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFeed(synced(parse(t, strict)))
		o := options(t, state(t), f)
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		p := run(t, o)
		was := p.View().Mesh
		f.emit(t, source.Event{Put: parse(t, strings.Replace(strict, "STRICT", "STRICTEST", 1))})
		if log.Len() > 0 {
			t.Errorf("%s: the last good version is in force", log.String())
		}
		other := strings.Replace(strings.Replace(strict, "STRICT", "STRICTEST", 1), "name: x", "name: other", 1)
		f.emit(t, source.Event{Put: append(parse(t, other), parse(t, twoServices)...)})
		if got := log.String(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "PeerAuthentication default/other") || !strings.Contains(got, "spec.mtls.mode") {
			t.Errorf("log %q", got)
		}
		now := p.View()
		if now.Mesh.Services.Len() != was.Services.Len()+2 || len(now.Findings) != 2 {
			t.Errorf("%d services, findings %v", now.Mesh.Services.Len(), now.Findings)
		}
		p.stop()
	})
}

// Every object that is refused and guards something is one that this test knows.
func TestKindsThatGuard(t *testing.T) {
	known := map[dialect.Key]bool{}
	for text := range bad {
		k := parse(t, text)[0].Key()
		known[dialect.Key{Group: k.Group, Kind: k.Kind}] = true
	}
	for _, k := range all.Kinds(domain) {
		if key := (dialect.Key{Group: k.Group, Kind: k.Name}); k.Guards != known[key] {
			t.Errorf("%s of %s guards: %v", k.Name, k.Group, k.Guards)
		}
	}
}

// A policy that comes while the mesh runs, is refused and has no earlier version closes its namespace, as it does at a start, and its status
// says so; one that may be about all namespaces is said and closes nothing.
func TestRefusedPolicyClosesWhileItRuns(t *testing.T) {
	var log bytes.Buffer
	mistake := strings.Replace(strings.ReplaceAll(strict, "name: x", "name: x, namespace: shop"), "STRICT", "STRICTEST", 1)
	c := newCity()
	f := newFeed(synced(parse(t, reviewsPod+podOf("other", "a", "u", "a", "10.0.0.7"))))
	o := c.options(t, 0, f)
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	p := run(t, o)
	check := func(what string, v *View, in, out int) {
		t.Helper()
		for workload, want := range map[string]int{"shop/reviews-1": in, "other/a": out} {
			n, w := 0, v.Mesh.Workloads.Get(workload)
			for _, e := range append(v.Mesh.Inbound(w).Authz, v.Mesh.Egress(w)...) {
				n += len(e.Tiers)
			}
			if n != want {
				t.Errorf("%s: %d tiers of %s, want %d", what, n, workload, want)
			}
		}
	}
	f.emit(t, source.Event{Put: parse(t, mistake)})
	check("refused", p.View(), 2, 0)
	said := func(v *View) (n int) {
		for _, f := range v.Findings {
			if strings.Contains(f.String(), "PeerAuthentication shop/x") && strings.Contains(f.Text, "all calls into namespace shop and out of it are denied") {
				n++
			}
		}
		return n
	}
	if n := said(p.View()); n != 1 {
		t.Errorf("findings %v", p.View().Findings)
	}
	if got := log.String(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "all calls of the namespace are denied") || !strings.Contains(got, "spec.mtls.mode") {
		t.Errorf("log %q", got)
	}
	again := run(t, c.options(t, 1, newFeed(synced(parse(t, mistake+"\n"+reviewsPod+podOf("other", "a", "u", "a", "10.0.0.7"))))))
	check("after a restart", again.View(), 2, 0)
	if n := said(again.View()); n != 1 {
		t.Errorf("findings %v", again.View().Findings)
	}
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(mistake, "STRICTEST", "LOOSEST"))})
	check("refused again", p.View(), 2, 0)
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(mistake, "STRICTEST", "STRICT"))})
	check("mended", p.View(), 0, 0)
	if n := said(p.View()); n != 0 {
		t.Errorf("findings of what is mended: %v", p.View().Findings)
	}
	f.emit(t, source.Event{Put: parse(t, mistake)})
	check("refused, with a version of before", p.View(), 0, 0)
	f.emit(t, source.Event{Delete: []dialect.Key{parse(t, mistake)[0].Key()}})
	f.emit(t, source.Event{Put: parse(t, mistake)})
	check("made anew", p.View(), 2, 0)
	f.emit(t, source.Event{Delete: []dialect.Key{parse(t, mistake)[0].Key()}})
	check("gone", p.View(), 0, 0)
	log.Reset()
	f.emit(t, source.Event{Put: parse(t, strings.Replace(mistake, "namespace: shop", "namespace: istio-system", 1))})
	check("one for all", p.View(), 0, 0)
	if got := log.String(); !strings.Contains(got, "calls pass that it forbids") {
		t.Errorf("log %q", got)
	}
	o = c.options(t, 2, newFeed(synced(parse(t, mistake+"\n"+reviewsPod+podOf("other", "a", "u", "a", "10.0.0.7")))))
	o.Unguarded = true
	check("and its author wants it so", run(t, o).View(), 0, 0)
}
