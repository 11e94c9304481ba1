package control

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

func keys(m map[string]stream.Resource) []string { return slices.Sorted(maps.Keys(m)) }

func TestWhatIsWantedComes(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	w := p.register("reviews", "v1")
	x := p.proxy(w)
	x.nothing()
	ip := p.View().Mesh.Services.Get("reviews.default.svc.cluster.local").IPs[0]
	all := []string{host("reviews"), host("nobody"), config.Name(config.KindAddress, ip.String()), config.Name(config.KindAddress, "240.1.2.3"),
		config.Name(config.KindAddress, "no address"), config.Name(config.KindWorkload, w.Key()), config.Name(config.KindPeer, w.Key()),
		config.Name(config.KindTrust, domain), config.Name(config.KindTrust, "elsewhere"), "weather/tomorrow", ""}
	x.want(all...)
	got := x.get()
	if len(got) != len(all) {
		t.Fatalf("got %v, want an answer to each of %v", keys(got), all)
	}
	for name, there := range map[string]bool{all[0]: true, all[1]: false, all[2]: true, all[3]: false, all[4]: false, all[5]: true, all[6]: true, all[7]: true,
		all[8]: false, all[9]: false, all[10]: false} {
		if r := got[name]; r.Gone == there || there != (r.Version == stream.VersionOf(r.Body) && len(r.Body) > 0) {
			t.Errorf("%q: %+v, want it to exist: %v", name, r, there)
		}
	}
	s := of[config.Service](t, got[host("reviews")])
	if len(s.Ports) != 1 || len(s.Ports[0].Pools) != 1 || len(s.Ports[0].Pools[0].Endpoints) != 1 || s.Ports[0].Pools[0].Endpoints[0].Workload != w.Key() {
		t.Errorf("%+v", s)
	}
	if a := of[config.Address](t, got[all[2]]); a.Host != "reviews.default.svc.cluster.local" {
		t.Errorf("%+v", a)
	}
	x.nothing()
}

const database = `
apiVersion: v1
kind: Pod
metadata: {name: db-0, annotations: {weft.dev/tunnel: ":15008"}, labels: {app: db}}
spec: {containers: [{name: db, ports: [{containerPort: 5432, name: tcp}]}]}
status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
`

const headless = `
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
`

// Who calls an address is told whose it is now, and of which headless service.
func TestAddressOfAPod(t *testing.T) {
	f := newFeed(synced(nil))
	p := run(t, options(t, state(t), f))
	x := p.proxy(p.register("reviews", "v1"))
	name := config.Name(config.KindAddress, "10.0.0.1")
	x.want(name)
	if r := x.get()[name]; !r.Gone {
		t.Errorf("%+v", r)
	}
	moved := strings.NewReplacer("db-0", "db-1", ":15008", "").Replace(database)
	for _, step := range []struct {
		what    string
		event   source.Event
		want    string // the workload
		tunnel  string
		members int
	}{
		{"a pod", source.Event{Put: parse(t, database)}, "default/db-0", "10.0.0.1:15008", 0},
		{"a headless service", source.Event{Put: parse(t, headless)}, "default/db-0", "10.0.0.1:15008", 1},
		{"it goes", source.Event{Delete: []dialect.Key{{Kind: "Service", Namespace: "default", Name: "db"}}}, "default/db-0", "10.0.0.1:15008", 0},
		{"another pod", source.Event{Put: parse(t, strings.Replace(moved, `weft.dev/tunnel: ""`, "a: b", 1)),
			Delete: []dialect.Key{{Kind: "Pod", Namespace: "default", Name: "db-0"}}}, "default/db-1", "invalid AddrPort", 0},
		{"none", source.Event{Delete: []dialect.Key{{Kind: "Pod", Namespace: "default", Name: "db-1"}}}, "", "", 0},
	} {
		f.emit(t, step.event)
		r := x.get()[name]
		if step.want == "" {
			if !r.Gone {
				t.Errorf("%s: %+v", step.what, r)
			}
			continue
		}
		if a := of[config.Address](t, r); a.Workload == nil || a.Workload.Workload != step.want || a.Workload.Tunnel.String() != step.tunnel ||
			len(a.Members) != step.members || len(a.Ports) != 1 || a.Ports[0].Proto != traffic.TCP {
			t.Errorf("%s: %+v", step.what, a)
		}
	}
}

// Who asks whose an address is that a caller comes from is told of that pod, and of each change.
func TestPodOfAnAddress(t *testing.T) {
	f := newFeed(synced(nil))
	p := run(t, options(t, state(t), f))
	x := p.proxy(p.register("reviews", "v1"))
	name, other := config.Name(config.KindPod, "10.0.0.1"), config.Name(config.KindPod, "no address")
	x.want(name, other)
	if got := x.get(); !got[name].Gone || !got[other].Gone {
		t.Errorf("%+v", got)
	}
	naked := strings.Replace(database, `weft.dev/tunnel: ":15008"`, "a: b", 1)
	edit := func(old, now string) string { return strings.Replace(naked, old, now, 1) }
	for _, step := range []struct {
		what  string
		event source.Event
		want  *traffic.Pod
	}{
		{"a pod", source.Event{Put: parse(t, naked)}, &traffic.Pod{Namespace: "default", Account: "default", Labels: []string{"app=db"}}},
		{"other labels", source.Event{Put: parse(t, edit("app: db", "app: web"))}, &traffic.Pod{Namespace: "default", Account: "default", Labels: []string{"app=web"}}},
		{"another pod at the address", source.Event{Put: parse(t, edit("db-0", "db-1"))}, &traffic.Pod{Unclear: true}},
		{"alone", source.Event{Delete: []dialect.Key{{Kind: "Pod", Namespace: "default", Name: "db-0"}}}, &traffic.Pod{Namespace: "default", Account: "default", Labels: []string{"app=db"}}},
		{"it has ended", source.Event{Put: parse(t, strings.Replace(edit("db-0", "db-1"), "status: {", "status: {phase: Failed, ", 1))}, nil},
	} {
		f.emit(t, step.event)
		r := x.get()[name]
		if step.want == nil {
			if !r.Gone {
				t.Errorf("%s: %+v", step.what, r)
			}
			continue
		}
		if got := of[traffic.Pod](t, r); !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: %+v", step.what, got)
		}
	}
}

// A workload's own resource, with the policies on its callers, is for its own proxy.
func TestAnothersWorkloadIsNotTold(t *testing.T) {
	p := run(t, options(t, state(t)))
	mine, other := p.register("reviews", "v1"), p.register("ratings", "v1")
	x := p.proxy(mine)
	x.want(config.Name(config.KindWorkload, other.Key()))
	if r := x.get()[config.Name(config.KindWorkload, other.Key())]; !r.Gone {
		t.Errorf("%+v", r)
	}
}

func TestOnlyWhatAChangeTouchesIsSentAgain(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	w := p.register("reviews", "v1")
	rw, tw := config.Name(config.KindWorkload, w.Key()), config.Name(config.KindTrust, domain)
	x := p.proxy(w)
	x.want(host("reviews"), host("ratings"), host("soon"), rw, tw)
	x.get()
	for _, step := range []struct {
		what   string
		change func()
		want   []string
	}{
		{"nothing", func() { f.emit(t, source.Event{}) }, nil},
		{"the same object again", func() { f.emit(t, source.Event{Put: parse(t, twoServices)}) }, nil},
		{"an endpoint", func() { p.register("ratings", "v1") }, []string{host("ratings")}},
		{"a service that is wanted and was not there", func() {
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "name: ratings", "name: soon"))[1:]})
		}, []string{host("soon")}},
		{"a service that nobody wants", func() {
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "name: ratings", "name: else"))[1:]})
		}, nil},
		{"a rule of one host", func() { f.emit(t, source.Event{Put: parse(t, virtualService)}) }, []string{host("ratings")}},
		{"a policy on the workload", func() { f.emit(t, source.Event{Put: parse(t, authorization)}) }, []string{rw}},
		{"the protocol that a service declares", func() {
			f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "name: http", "name: grpc"))[:1]})
		},
			[]string{host("reviews"), rw}},
		{"a service that goes", func() {
			f.emit(t, source.Event{Delete: []dialect.Key{{Kind: "Service", Namespace: "default", Name: "soon"}}})
		}, []string{host("soon")}},
	} {
		step.change()
		if len(step.want) == 0 {
			x.nothing()
			continue
		}
		slices.Sort(step.want)
		got := x.get()
		if !slices.Equal(keys(got), step.want) {
			t.Errorf("%s: sent again %v, want %v", step.what, keys(got), step.want)
		}
		if step.what == "a service that goes" && !got[host("soon")].Gone {
			t.Errorf("%+v", got)
		}
		x.nothing()
	}
}

const virtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec: {hosts: [ratings], http: [{timeout: 3s, route: [{destination: {host: ratings}}]}]}
`

const authorization = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {selector: {matchLabels: {app: reviews}}}
`

// The protocol of a workload's port is what a service declares of it, whichever of the two comes first.
func TestProtocolThatAServiceDeclares(t *testing.T) {
	f := newFeed(synced(nil))
	p := run(t, options(t, state(t), f))
	w := p.register("reviews", "v1")
	name := config.Name(config.KindWorkload, w.Key())
	x := p.proxy(w)
	x.want(name)
	if got := of[config.Workload](t, x.get()[name]); got.Ports[0].Proto != traffic.Detect {
		t.Errorf("%+v", got.Ports)
	}
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(twoServices, "name: http", "name: tcp"))})
	if got := of[config.Workload](t, x.get()[name]); got.Ports[0].Proto != traffic.TCP {
		t.Errorf("%+v", got.Ports)
	}
	f.emit(t, source.Event{Delete: []dialect.Key{{Kind: "Service", Namespace: "default", Name: "reviews"}}})
	if got := of[config.Workload](t, x.get()[name]); got.Ports[0].Proto != traffic.Detect {
		t.Errorf("%+v", got.Ports)
	}
}

// Rules for the callers of one namespace make two classes, each encoded once.
const perNamespace = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: other}
spec:
  host: ratings.default.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 7}}}
`

func TestEachClassIsEncodedOnce(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it takes what nobody waits for
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	p.register("ratings", "v1")
	inside := func(r *Registration) { r.Namespace = "other" }
	bodies := func() [][]byte {
		var all [][]byte
		for _, w := range []*Workload{p.register("a", ""), p.register("b", ""), p.register("c", "", inside), p.register("d", "", inside)} {
			x := p.proxy(w)
			x.want(host("ratings"))
			all = append(all, x.get()[host("ratings")].Body)
		}
		return all
	}
	one := func(a, b []byte) bool { return &a[0] == &b[0] }
	all := bodies()
	if !one(all[0], all[1]) || !one(all[0], all[2]) || !one(all[0], all[3]) {
		t.Error("no rule asks who calls, and it was encoded more than once")
	}
	f.emit(t, source.Event{Put: parse(t, perNamespace)})
	all = bodies()
	if !one(all[0], all[1]) || !one(all[2], all[3]) || bytes.Equal(all[0], all[2]) {
		t.Error("there are not two classes with one encoding each")
	}
	a, c := of[config.Service](t, stream.Resource{Body: all[0]}), of[config.Service](t, stream.Resource{Body: all[2]})
	if a.Ports[0].Pools[0].Policy.Breaker != nil || c.Ports[0].Pools[0].Policy.Breaker == nil {
		t.Errorf("a rule of namespace other is seen in default: %+v, or not in other: %+v", a.Ports[0].Pools[0].Policy, c.Ports[0].Pools[0].Policy)
	}
	if n := p.publisher.services["ratings.default.svc.cluster.local"].Len(); n != 2 {
		t.Errorf("%d encodings are kept, want 2", n)
	}
}

// What has been sent is kept by nobody; who comes later, or again, gets the same, and who has that version is sent nothing.
func TestEncodingsThatNobodyWaitsFor(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	p.register("ratings", "v1")
	x := p.proxy(p.register("a", ""))
	x.want(host("ratings"))
	was := x.get()[host("ratings")]
	runtime.GC()
	kept := func() (b *stream.Body) {
		_ = p.do(func() { b = p.publisher.services["ratings.default.svc.cluster.local"].Get(compile.Class{}, 0) })
		return b
	}
	if kept() != nil {
		t.Error("the bytes are kept that every proxy has")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	_ = p.do(func() { p.publisher.reclass(x.s) })
	if x.nothing(); kept() != nil {
		t.Error("it was encoded again for whom has it")
	}
	y := p.proxy(p.register("b", ""))
	y.want(host("ratings"))
	if is := y.get()[host("ratings")]; is.Version != was.Version || !bytes.Equal(is.Body, was.Body) {
		t.Errorf("who comes later has version %x, and not %x", is.Version, was.Version)
	}
}

// perLabels is for callers that have a label.
const perLabels = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - match: [{sourceLabels: {tier: secret}}]
    headers: {request: {set: {x-secret: sesame}}}
    route: [{destination: {host: ratings}}]
  - route: [{destination: {host: ratings}}]
`

func TestLabelsMoveAWorkloadToAnotherClass(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices+"---"+perLabels)))
	p := run(t, options(t, state(t), f))
	w := p.register("a", "")
	x := p.proxy(w)
	x.want(host("ratings"), host("reviews"))
	plain := x.get()[host("ratings")]
	if bytes.Contains(plain.Body, []byte("sesame")) {
		t.Error("a caller gets a rule that is for others")
	}
	back := w.Registration
	back.Labels = map[string]string{"tier": "secret"}
	if _, err := p.Register(back, os.Getuid()); err != nil {
		t.Fatal(err)
	}
	got := x.get()
	if !slices.Equal(keys(got), []string{host("ratings")}) || !bytes.Contains(got[host("ratings")].Body, []byte("sesame")) {
		t.Errorf("with the label it gets %v", keys(got))
	}
	back.Labels = nil
	if _, err := p.Register(back, os.Getuid()); err != nil {
		t.Fatal(err)
	}
	if got := x.get(); got[host("ratings")].Version != plain.Version {
		t.Errorf("without the label it gets %v", keys(got))
	}
}

// A policy on callers that reads labels of endpoints is of no host, so all hosts may change for those whom it selects.
const egressByLabels = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out}
spec:
  endpointSelector: {matchLabels: {app: a}}
  egress: [{toEndpoints: [{matchLabels: {app: ratings}}]}]
`

func TestPolicyThatReadsLabelsOfEndpoints(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	p.register("ratings", "v1")
	reads, other := p.proxy(p.register("a", "")), p.proxy(p.register("b", ""))
	for _, x := range []*proxy{reads, other} {
		x.want(host("ratings"))
		if s := of[config.Service](t, x.get()[host("ratings")]); len(s.Ports[0].Pools[0].Endpoints[0].Labels) > 0 {
			t.Errorf("labels of endpoints are told, and nobody reads them: %+v", s)
		}
	}
	f.emit(t, source.Event{Put: parse(t, egressByLabels)})
	if s := of[config.Service](t, reads.get()[host("ratings")]); len(s.Ports[0].Pools[0].Endpoints[0].Labels) == 0 {
		t.Errorf("the caller's policy can't be judged: %+v", s)
	}
	other.nothing()
}

// everyHost is a policy for all of a namespace's services.
const everyHost = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all}
spec:
  host: "*.default.svc.cluster.local"
  trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 7}}}
`

func TestWildcardTouchesAllHosts(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	w := p.register("a", "")
	x := p.proxy(w)
	x.want(host("ratings"), host("reviews"), host("nobody"), config.Name(config.KindWorkload, w.Key()))
	x.get()
	f.emit(t, source.Event{Put: parse(t, everyHost)})
	got := x.get()
	if want := []string{host("ratings"), host("reviews")}; !slices.Equal(keys(got), want) {
		t.Errorf("sent again %v, want %v", keys(got), want)
	}
	if s := of[config.Service](t, got[host("reviews")]); s.Ports[0].Pools[0].Policy.Breaker == nil {
		t.Errorf("%+v", s.Ports[0].Pools[0].Policy)
	}
}

func TestWhatAProxyHasIsNotSentAgain(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	w := p.register("reviews", "v1")
	x := p.proxy(w)
	x.want(host("reviews"), host("ratings"), host("nobody"))
	has := x.get()
	x.s.Close()
	p.register("ratings", "v1") // while the proxy is away
	x = p.proxy(w)
	up := stream.Up{}
	for _, r := range has {
		up.Subscribe = append(up.Subscribe, stream.Want{Name: r.Name, Version: r.Version})
	}
	x.take(up)
	got := x.get()
	if want := []string{host("nobody"), host("ratings")}; !slices.Equal(keys(got), want) { // of what does not exist there is no version to compare
		t.Errorf("a proxy that is back gets %v, want %v", keys(got), want)
	}
	p.register("reviews", "v2")
	if got := x.get(); !slices.Equal(keys(got), []string{host("reviews")}) {
		t.Errorf("and then %v", keys(got))
	}
}

func TestTheLatestOfEachIsSent(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	x := p.proxy(p.register("reviews", "v1"))
	x.want(host("ratings"), host("reviews"))
	first := x.next() // and the proxy is slow
	for n := range 20 {
		p.register("ratings", fmt.Sprint("v", n))
	}
	second := x.next()
	x.nothing()
	if got := names(second); !slices.Equal(got, []string{host("ratings")}) {
		t.Fatalf("sent %v, want the one resource once", got)
	}
	if s := of[config.Service](t, second.Resources[0]); len(s.Ports[0].Pools[0].Endpoints) != 20 {
		t.Errorf("%d endpoints, want those of the last change", len(s.Ports[0].Pools[0].Endpoints))
	}
	if x.s.settled() {
		t.Error("it counts as settled before it has answered")
	}
	x.take(stream.Up{Ack: first.Nonce})
	x.take(stream.Up{Ack: second.Nonce})
	if !x.s.settled() || x.s.acked(host("ratings")) != second.Resources[0].Version {
		t.Error("it has answered all, and does not count as settled")
	}
}

// A proxy that reads and never answers costs no more than what it wants.
func TestUnansweredMessagesAreBounded(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	x := p.proxy(p.register("reviews", "v1"))
	x.want(host("ratings"))
	var last *stream.Down
	for n := range mostFlying {
		last = x.next()
		p.register("ratings", fmt.Sprint("v", n))
	}
	x.nothing()
	for len(x.s.wake) > 0 {
		<-x.s.wake
	}
	x.take(stream.Up{Ack: last.Nonce})
	if len(x.s.wake) == 0 {
		t.Error("nobody wakes who waits for what may be sent now")
	}
	if s := of[config.Service](t, x.get()[host("ratings")]); len(s.Ports[0].Pools[0].Endpoints) != mostFlying {
		t.Errorf("%d endpoints, want those of the last change", len(s.Ports[0].Pools[0].Endpoints))
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	w, other := p.register("reviews", "v1"), p.register("ratings", "v1")
	x, y := p.proxy(w), p.proxy(other)
	x.want(host("ratings"), host("reviews"))
	y.want(host("ratings"))
	down := x.next()
	x.take(stream.Up{Unsubscribe: []string{host("ratings"), host("never-wanted")}})
	x.take(stream.Up{Ack: down.Nonce}) // of what is not wanted any more too
	p.register("ratings", "v2")
	x.nothing()
	if x.s.wants() != 1 || x.s.acked(host("ratings")) != 0 {
		t.Errorf("held %v", x.s.names())
	}
	x.take(stream.Up{Ack: 99}) // of nothing
	x.s.Close()
	x.s.Close()
	y.s.Close()
	_ = p.do(func() {
		if len(p.publisher.wanted)+len(p.publisher.sessions) != 0 {
			t.Errorf("wanted %v, sessions %v", p.publisher.wanted, p.publisher.sessions)
		}
	})
	z := p.proxy(w)
	p.Deregister(w.Key(), w.Token)
	if _, err := z.s.Next(t.Context()); err == nil || z.s.Take(&stream.Up{Ack: 1}) == nil || z.s.Take(&stream.Up{Subscribe: []stream.Want{{Name: "a/b"}}}) == nil {
		t.Errorf("the proxy of a workload that is gone is still served: %v", err)
	}
	if _, err := p.Open(t.Context(), &stream.Hello{Workload: w.Key(), Token: w.Token}); err == nil {
		t.Error("and let in again")
	}
}

func TestWantsAreBounded(t *testing.T) {
	p := run(t, options(t, state(t)))
	x := p.proxy(p.register("reviews", "v1"))
	up := stream.Up{}
	for n := range mostNames + 1 {
		up.Subscribe = append(up.Subscribe, stream.Want{Name: fmt.Sprint("service/", n)})
	}
	if err := x.s.Take(&up); err == nil || x.s.wants() > 0 {
		t.Errorf("%d wanted: %v", x.s.wants(), err)
	}
}

// BenchmarkEndpointChange is the cost of one endpoint's coming and going, with 1,000 services beside and 50 proxies that want the
// service.
func BenchmarkEndpointChange(b *testing.B) {
	var text strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {selector: {app: s%d}, ports: [{port: 80}]}\n", n, n)
	}
	m := newModel(domain, newVIPs(nil))
	p := newPublisher()
	put := func(o []*dialect.Object, gone []dialect.Key) {
		touched, _ := m.apply(o, gone)
		p.update(m.snap, touched)
	}
	put(parse(b, text.String()), nil)
	for n := range 50 {
		s := newSession(&Control{}, &member{workload: fmt.Sprint("default/caller-", n)})
		p.open(s)
		p.subscribe(s, host("s7"), 0)
	}
	w := Simulated(Registration{Namespace: "default", Name: "s7-1", Service: "s7", Account: "s7", Ports: []Port{{Number: 80}}}, 1, noon)
	b.ReportAllocs()
	for b.Loop() {
		put([]*dialect.Object{pod(w)}, nil)
		put(nil, []dialect.Key{pod(w).Key()})
	}
}
