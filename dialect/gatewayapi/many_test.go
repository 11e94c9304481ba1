package gatewayapi_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

// BenchmarkManyPolicies is a change of one of many BackendTLSPolicies of a namespace, each of which asks whether an older one is for its Service.
func BenchmarkManyPolicies(b *testing.B) {
	const n = 400
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: a}\nspec: {clusterIP: 10.0.%d.%d, ports: [{port: 80}]}\n", i, i/200, i%200+1)
		fmt.Fprintf(&text, "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p%d, namespace: a}\nspec: {targetRefs: [{group: '', kind: Service, name: s%d}], validation: {hostname: a.example, wellKnownCACertificates: System}}\n", i, i)
	}
	list := dialecttest.Objects(b, kinds, text.String())
	s := dialect.NewSet(kinds)
	s.Apply(list, nil)
	last := list[len(list)-1:]
	for b.Loop() {
		s.Apply(nil, []dialect.Key{last[0].Key()})
		s.Apply(last, nil)
	}
}

// counting counts the objects that a reader is given.
type counting struct {
	dialect.View
	given *int
}

func (c counting) Get(group, kind, namespace, name string) *dialect.Object {
	*c.given++
	return c.View.Get(group, kind, namespace, name)
}

func (c counting) List(group, kind, namespace string) []*dialect.Object {
	list := c.View.List(group, kind, namespace)
	*c.given += len(list)
	return list
}

func (c counting) Find(x *dialect.Lookup, key string) []*dialect.Object {
	list := c.View.Find(x, key)
	*c.given += len(list)
	return list
}

// many are Gateways, each with a ListenerSet, a route of two kinds, a Service, and a BackendTLSPolicy for that.
func many(n int) string {
	const one = `---
apiVersion: v1
kind: Service
metadata: {name: s#, namespace: a}
spec: {clusterIP: 10.0.0.#, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p#, namespace: a}
spec: {targetRefs: [{group: '', kind: Service, name: s#}], validation: {hostname: a.example, wellKnownCACertificates: System}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g#, namespace: a}
spec: {gatewayClassName: weft, listeners: [{name: http, port: 80, protocol: HTTP}], allowedListeners: {namespaces: {from: Same}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: l#, namespace: a}
spec: {parentRef: {name: g#}, listeners: [{name: more, port: 81, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: h#, namespace: a}
spec: {parentRefs: [{name: g#}, {kind: ListenerSet, name: l#}], hostnames: [h.example], rules: [{backendRefs: [{name: s#, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r#, namespace: a}
spec: {parentRefs: [{kind: ListenerSet, name: l#}], hostnames: [g.example], rules: [{backendRefs: [{name: s#, port: 80}]}]}
`
	var text strings.Builder
	text.WriteString("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: weft}\nspec: {controllerName: weft.dev/gateway-controller}\n")
	for i := range n {
		text.WriteString(strings.ReplaceAll(one, "#", strconv.Itoa(i+1)))
	}
	return text.String()
}

// TestWorkOfStatuses: the status of an object looks at what is attached to it, however many others there are, and so does what it says.
func TestWorkOfStatuses(t *testing.T) {
	given := func(n int) map[string]int {
		out := map[string]int{}
		list := dialecttest.Objects(t, kinds, many(n))
		for _, o := range list[1 : len(list)/n+1] {
			k, count := dialect.Find(kinds, o.Group, o.Kind), 0
			if k.Status == nil {
				continue
			}
			v := counting{dialecttest.View(list), &count}
			k.Lower(o, v)
			status := k.Status(o, v, nil)(nil, now)
			if o.Kind == "Gateway" && !strings.Contains(fmt.Sprint(status), "attachedRoutes:1") {
				t.Errorf("%v", status)
			}
			if o.Kind == "BackendTLSPolicy" && !strings.Contains(fmt.Sprint(status), "name:g1") {
				t.Errorf("%v", status)
			}
			out[o.Kind] = count
		}
		return out
	}
	few, lots := given(3), given(30)
	if len(few) != 5 {
		t.Errorf("statuses of %v", few)
	}
	for kind, n := range lots {
		if n != few[kind] {
			t.Errorf("for a %s of 3 that look alike %d objects are looked at, and of 30 %d", kind, few[kind], n)
		}
	}
}

// BenchmarkManyStatuses is a change of one of many routes, each of a Gateway of its own, and the statuses that it has asked for again.
func BenchmarkManyStatuses(b *testing.B) {
	for _, n := range []int{50, 200} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			list := dialecttest.Objects(b, kinds, many(n))
			s := dialect.NewSet(kinds)
			s.Apply(list, nil)
			last := list[len(list)-1:]
			for b.Loop() {
				s.Apply(nil, []dialect.Key{last[0].Key()})
				s.Apply(last, nil)
				for _, k := range s.Stirred() {
					if status := s.Status(k); status != nil {
						status(nil, now)
					}
				}
			}
		})
	}
}
