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

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

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
		if rest := time.Since(now); rest != goodPause {
			t.Errorf("it is written %v after the last time", rest)
		}
		f.emit(t, source.Event{Put: parse(t, badRoute)})
		do("a route has become bad", &task, 0)
		f.emit(t, source.Event{Delete: []dialect.Key{parse(t, badRoute)[0].Key()}})
		do("it is gone", &task, 1)
		if text := c.drawers.data[PieceNames()[pieceOf(parse(t, badRoute)[0].Key())]]; text == nil {
			t.Error("a piece without objects is there")
		} else if objects, err := decodePiece(text, p.kept); len(objects) > 0 || err != nil {
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
		all, in := parse(t, goodPolicy+"---"+reviewsPod), pieceOf(parse(t, goodPolicy)[0].Key())
		random := rand.New(rand.NewPCG(1, 2))
		for n := 0; len(all) < 17; n++ {
			another := strings.Replace(goodPolicy, "no-batch", fmt.Sprintf("a-%d", n), 1)
			if pieceOf(parse(t, another)[0].Key()) != in {
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
			objects, err := decodePiece(c.drawers.data[PieceNames()[in]], p.kept)
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
	route, policy := PieceNames()[pieceOf(parse(t, goodRoute)[0].Key())], PieceNames()[pieceOf(parse(t, goodPolicy)[0].Key())]
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
		{"no JSON", "line 2 is no object", zipped(t, pieceFormat+"\n{\n")},
		{"no object", "line 2 is no object that is kept there", zipped(t, pieceFormat+"\n{}\n")},
		{"a kind that is not kept", "line 2 is no object that is kept there", zipped(t, pieceFormat+"\n"+`{"Version":"v1","Kind":"Pod","Namespace":"shop","Name":"a","Tree":{"kind":"Pod"}}`+"\n")},
		{"two kinds in one", "line 2 is no object that is kept there", zipped(t, pieceFormat+"\n"+`{"Group":"a.b","Version":"v1","Kind":"A","Name":"a","Tree":{"kind":"B"}}`+"\n")},
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

// What is too much for a piece is left, in an order: first what is in force already, then what its API server knows.
func TestPieceIsBounded(t *testing.T) {
	text := func(name, spec string) *dialect.Object {
		return &dialect.Object{Group: "a.b", Version: "v1", Kind: "A", Namespace: "shop", Name: name, Created: noon, Tree: map[string]any{"kind": "A", "spec": spec}}
	}
	random := rand.NewChaCha8([32]byte{1})
	noise := func() string {
		b := make([]byte, 1500)
		_, _ = random.Read(b)
		return fmt.Sprintf("%x", b)
	}
	var all []good
	for i := range 40 {
		all = append(all, good{Object: text(fmt.Sprintf("a%02d", i), noise()), refused: i%4 > 1, guards: i%2 > 0})
	}
	kept := func(dialect.Key) bool { return true }
	weights := func(most, plain int) (in, out [4]int) {
		t.Helper()
		data, left, err := encodePiece(all, most, plain)
		if err != nil || len(data) > max(most, 100) {
			t.Fatalf("%d bytes of %d: %v", len(data), most, err)
		}
		objects, err := decodePiece(data, kept)
		if err != nil || !slices.IsSortedFunc(objects, func(a, b *dialect.Object) int { return a.Key().Compare(b.Key()) }) {
			t.Fatal(err)
		}
		byName := map[string]good{}
		for _, g := range all {
			byName[g.Name] = g
		}
		for _, o := range objects {
			in[byName[o.Name].weight()]++
		}
		for _, g := range left {
			out[g.weight()]++
		}
		return in, out
	}
	for _, x := range []struct {
		most, plain int
		in          [4]int
	}{
		{mostPiece, mostPlain, [4]int{10, 10, 10, 10}},
		{50_000, mostPlain, [4]int{1, 10, 10, 10}},
		{20_000, mostPlain, [4]int{0, 0, 2, 10}},
		{mostPiece, 50_000, [4]int{0, 0, 5, 10}},
		{10, mostPlain, [4]int{}},
	} {
		in, out := weights(x.most, x.plain)
		if in != x.in {
			t.Errorf("of at most %d bytes, %d to read: %v, want %v", x.most, x.plain, in, x.in)
		}
		for w := range in {
			if in[w]+out[w] != 10 {
				t.Errorf("%v and %v are not all", in, out)
			}
		}
	}
}

// FuzzPiece: whatever is there is read without an end of the program, and what is read is of kinds that are kept.
func FuzzPiece(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(zipped(f, pieceFormat+"\n"+`{"Group":"a.b","Version":"v1","Kind":"A","Name":"a","Tree":{"kind":"A"}}`+"\n"))
	kept := func(k dialect.Key) bool { return k.Group != "" }
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := decodePiece(data, kept)
		for _, o := range objects {
			if err != nil || o.Group == "" || o.Name == "" {
				t.Errorf("%+v, %v", o, err)
			}
		}
	})
}

// BenchmarkPiece is what one change costs the leader, where a cluster has so many VirtualServices: to write the piece that they are in.
func BenchmarkPiece(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				text.WriteString("---" + strings.ReplaceAll(goodRoute, "reviews", fmt.Sprint("reviews-", i)))
			}
			var some []good
			for _, o := range parse(b, text.String()) {
				if pieceOf(o.Key()) == 0 {
					some = append(some, good{Object: o})
				}
			}
			b.ResetTimer()
			size := 0
			for range b.N {
				data, left, err := encodePiece(some, mostPiece, mostPlain)
				if size = len(data); err != nil || len(left) > 0 {
					b.Fatal(left, err)
				}
			}
			b.ReportMetric(float64(len(some)), "objects")
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
