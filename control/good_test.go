package control

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/control/lastgood"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

// format is the first line of a piece.
const format = `{"weft":"last good versions","format":1}`

// drawers are the pieces that replicas share.
type drawers struct {
	mu      sync.Mutex
	data    map[string][]byte
	foreign string // is somebody else's
	fails   error
	saved   []string
}

func (d *drawers) Ref(name string) decision.Ref {
	return decision.Ref{Dialect: decision.Core, Kind: "Secret", Namespace: "weft-system", Name: name}
}

func (d *drawers) Load(_ context.Context, name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == d.foreign {
		return nil, fmt.Errorf("Secret %s is of type Opaque: %w", name, source.ErrForeign)
	}
	return d.data[name], d.fails
}

func (d *drawers) Save(_ context.Context, name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return d.fails
	}
	if d.data == nil {
		d.data = map[string][]byte{}
	}
	d.data[name] = data
	d.saved = append(d.saved, name)
	return nil
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// goodRoute and the others are of a namespace of a cluster.
const (
	goodRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec: {hosts: [reviews.shop.svc.cluster.local], http: [{timeout: 3s, route: [{destination: {host: reviews.shop.svc.cluster.local}}]}]}
`
	goodPolicy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-batch, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/batch"]}}]}]}
`
)

var (
	badRoute  = strings.Replace(goodRoute, "timeout: 3s", "timeout: soon", 1)
	badPolicy = strings.Replace(goodPolicy, `["cluster.local/ns/shop/sa/batch"]`, `[]`, 1)
)

// keep has the leader keep what is good.
func (p *plane) keep(k *Task) {
	p.t.Helper()
	if err := k.Do(p.t.Context()); err != nil {
		p.t.Error(err)
	}
}

// engines are whose rules judge who may call.
func engines(v *View, workload string) (from []string) {
	for _, e := range v.Mesh.Inbound(v.Mesh.Workloads.Get(workload)).Authz {
		for _, tier := range e.Tiers {
			for _, r := range tier.Rules {
				from = append(from, fmt.Sprint(tier.Effect, " ", r.Ref.Kind, " ", r.Ref.Dialect))
			}
		}
	}
	slices.Sort(from)
	return slices.Compact(from)
}

// Objects go bad, all pods of the control plane go, and new ones come: what was in force is, by the word of a leader that is no more.
func TestLastGoodOfACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		f := newFeed(synced(parse(t, goodRoute+"---"+goodPolicy+reviewsPod)))
		p := run(t, c.options(t, 0, f))
		task := p.GoodTask()
		p.keep(&task)
		was := engines(p.View(), "shop/reviews-1")
		bad := parse(t, badRoute+"---"+badPolicy+reviewsPod)
		f.emit(t, source.Event{Put: bad})
		time.Sleep(time.Hour)
		p.keep(&task)
		same := func(when string, v *View) {
			t.Helper()
			if now := engines(v, "shop/reviews-1"); len(was) != 1 || !strings.HasSuffix(was[0], " AuthorizationPolicy istio") || !slices.Equal(now, was) {
				t.Errorf("%s %v judge, and before %v", when, now, was)
			}
			errs := 0
			for _, found := range v.Findings {
				if found.Level == mesh.Error {
					if errs++; !strings.Contains(found.Text, "; the last good version, of test.yaml:") {
						t.Errorf("%s: %s", when, found)
					}
				}
			}
			if errs != 2 {
				t.Errorf("%s: %v", when, v.Findings)
			}
		}
		same("while it runs", p.View())
		p.stop()
		for _, when := range []string{"after a restart", "after another"} {
			q := run(t, c.options(t, 1, newFeed(synced(bad))))
			same(when, q.View())
			task := q.GoodTask()
			q.keep(&task)
			q.stop()
		}
	})
}

// What needs others to be in force, which come later than it, is not forgotten.
func TestLastGoodThatNeedsOthers(t *testing.T) {
	c := newCity()
	const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules: [{timeouts: {request: 3s}, backendRefs: [{name: reviews, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.7, selector: {app: reviews}, ports: [{port: 80}]}
`
	p := run(t, c.options(t, 0, newFeed(synced(parse(t, edge)))))
	task := p.GoodTask()
	p.keep(&task)
	was := p.View()
	p.stop()
	q := run(t, c.options(t, 0, newFeed(synced(parse(t, strings.Replace(edge, "request: 3s", "request: soon", 1))))))
	now := q.View()
	const host = "reviews.shop.svc.cluster.local"
	if a, b := was.Mesh.Services.Get(host), now.Mesh.Services.Get(host); a == nil || b == nil || len(now.Findings) == 0 || !strings.Contains(now.Findings[0].Text, "stays in force") {
		t.Errorf("%+v, %+v, %v", a, b, now.Findings)
	}
}

// Pieces are written when what is in them has changed, some seconds after another time, and by one leader only if another has not.
func TestGoodIsWrittenWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		all := parse(t, goodRoute+"---"+goodPolicy+reviewsPod)
		f, g := newFeed(synced(all)), newFeed(synced(all))
		p, q := run(t, c.options(t, 0, f)), run(t, c.options(t, 1, g))
		task, other := p.GoodTask(), q.GoodTask()
		do := func(what string, task *Task, writes int) {
			t.Helper()
			c.drawers.saved = nil
			p.keep(task)
			if len(c.drawers.saved) != writes {
				t.Errorf("%s: %v, want %d", what, c.drawers.saved, writes)
			}
		}
		do("the first time", &task, 2)
		do("nothing has changed", &task, 0)
		do("another leads", &other, 0)
		f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(reviewsPod, "10.0.0.1", "10.0.0.9"))})
		do("a pod has changed", &task, 0)
		now := time.Now()
		f.emit(t, source.Event{Put: parse(t, strings.Replace(goodRoute, "3s", "4s", 1))})
		do("a route has changed", &task, 1)
		if rest := time.Since(now); rest != lastgood.Pause {
			t.Errorf("it is written %v after the last time", rest)
		}
		f.emit(t, source.Event{Put: parse(t, badRoute)})
		do("a route has become bad", &task, 0)
		f.emit(t, source.Event{Delete: []dialect.Key{parse(t, badRoute)[0].Key()}})
		do("it is gone", &task, 1)
		if text := c.drawers.data[lastgood.Names()[lastgood.Of(parse(t, badRoute)[0].Key())]]; text == nil {
			t.Error("a piece without objects is there")
		} else if objects, err := lastgood.Decode(text, p.kept); len(objects) > 0 || err != nil {
			t.Error(objects, err)
		}
		c.drawers.data = nil
		time.Sleep(leadAgain)
		do("somebody has taken them away", &task, 1)
		c.drawers.fails = errors.New("away")
		f.emit(t, source.Event{Put: parse(t, goodRoute)})
		if err := task.Do(t.Context()); err == nil || !strings.Contains(err.Error(), "away") {
			t.Error(err)
		}
		c.drawers.fails = nil
		do("the API server was away", &task, 1)
	})
}

// What is lost most with is kept first, also where nothing but that has changed: of a policy that goes bad the version in force, though others of
// as much weight had taken all room before.
func TestGoodThatGoesBadFindsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		all, in := parse(t, goodPolicy+"---"+reviewsPod), lastgood.Of(parse(t, goodPolicy)[0].Key())
		random := rand.New(rand.NewPCG(1, 2))
		for n := 0; len(all) < 17; n++ {
			another := strings.Replace(goodPolicy, "no-batch", fmt.Sprintf("a-%d", n), 1)
			if lastgood.Of(parse(t, another)[0].Key()) != in {
				continue
			}
			var accounts []string
			for range 3000 { // 100 KB that cannot be made less
				accounts = append(accounts, fmt.Sprintf("%016x%016x%016x%016x", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64()))
			}
			all = append(all, parse(t, strings.Replace(another, "sa/batch", "sa/"+strings.Join(accounts, `","`), 1))...)
		}
		f := newFeed(synced(all))
		p := run(t, c.options(t, 0, f))
		task := p.GoodTask()
		has := func(want bool) {
			t.Helper()
			p.keep(&task)
			objects, err := lastgood.Decode(c.drawers.data[lastgood.Names()[in]], p.kept)
			if got := slices.ContainsFunc(objects, func(o *dialect.Object) bool { return o.Name == "no-batch" }); got != want || err != nil || len(objects) < 5 {
				t.Errorf("kept: %v, want %v: %v, %d objects", got, want, err, len(objects))
			}
		}
		has(false)
		f.emit(t, source.Event{Put: parse(t, badPolicy)})
		has(true)
		f.emit(t, source.Event{Put: parse(t, goodPolicy)})
		has(false)
	})
}

// What is no piece of this version is a finding, which names it and says what to do, and no reason not to begin. That nobody knows is one.
func TestBrokenPieces(t *testing.T) {
	c := newCity()
	p := run(t, c.options(t, 0, newFeed(synced(parse(t, goodRoute+"---"+goodPolicy)))))
	task := p.GoodTask()
	p.keep(&task)
	p.stop()
	route, policy := lastgood.Names()[lastgood.Of(parse(t, goodRoute)[0].Key())], lastgood.Names()[lastgood.Of(parse(t, goodPolicy)[0].Key())]
	if route == policy {
		t.Fatal("they are in one piece")
	}
	whole := c.drawers.data[route]
	for _, x := range []struct {
		name, says string
		data       []byte
	}{
		{"not compressed", "not compressed", []byte("hello")},
		{"nothing", "not compressed", []byte{}},
		{"cut off", "compression is broken", whole[:len(whole)/2]},
		{"of another version", "another version of weft", zipped(t, `{"weft":"last good versions","format":2}`+"\n")},
		{"no lines", "another version of weft", zipped(t, "")},
		{"no JSON", "line 2 is no object", zipped(t, format+"\n{\n")},
		{"no object", "line 2 is no object that is kept there", zipped(t, format+"\n{}\n")},
		{"a kind that is not kept", "line 2 is no object that is kept there", zipped(t, format+"\n"+`{"Version":"v1","Kind":"Pod","Namespace":"shop","Name":"a","Tree":{"kind":"Pod"}}`+"\n")},
		{"two kinds in one", "line 2 is no object that is kept there", zipped(t, format+"\n"+`{"Group":"a.b","Version":"v1","Kind":"A","Name":"a","Tree":{"kind":"B"}}`+"\n")},
	} {
		t.Run(x.name, func(t *testing.T) {
			c.drawers.data[route] = x.data
			q := run(t, c.options(t, 0, newFeed(synced(parse(t, badRoute+"---"+badPolicy)))))
			var lost, stays []string
			for _, f := range q.View().Findings {
				if f.File == "Secret weft-system/"+route {
					lost = append(lost, f.String())
				}
				if strings.Contains(f.Text, "stays in force") {
					stays = append(stays, f.Ref.Kind)
				}
			}
			if len(lost) != 1 || !strings.Contains(lost[0], x.says) || !strings.Contains(lost[0], "the leader writes it anew") {
				t.Errorf("%q", lost)
			}
			if !slices.Equal(stays, []string{"AuthorizationPolicy"}) {
				t.Errorf("%v: another piece is whole", stays)
			}
		})
	}
	c.drawers.data[route], c.drawers.foreign = whole, policy
	f := newFeed(synced(parse(t, goodRoute+"---"+goodPolicy)))
	q := run(t, c.options(t, 0, f))
	if found := q.View().Findings; len(found) == 0 || !strings.Contains(found[0].String(), "somebody else's") || !strings.Contains(found[0].String(), "delete it") {
		t.Error(found)
	}
	c.drawers.saved = nil
	task = q.GoodTask()
	if err := task.Do(t.Context()); !errors.Is(err, source.ErrForeign) || len(c.drawers.saved) > 0 {
		t.Errorf("%v, written %v", err, c.drawers.saved)
	}
	c.drawers.fails = errors.New("no route to host")
	if _, err := New(c.options(t, 0, f)); err == nil || !strings.Contains(err.Error(), "last good versions") || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("%v, and nobody knows what was in force", err)
	}
}
