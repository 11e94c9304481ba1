package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
)

func parseKeys(t testing.TB, text string) (out []dialect.Key) {
	for _, o := range parse(t, text) {
		out = append(out, o.Key())
	}
	return out
}

// A service that no file declares stands as long as one of its workloads; one that a file declares is the file's.
func TestServicesOfWorkloads(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	a := p.register("details", "v1", func(r *Registration) {
		r.Ports = []Port{{Number: 80, Protocol: "http"}, {Number: 81, Name: "admin"}}
	})
	b := p.register("details", "v2")
	c := p.register("reviews", "v1", func(r *Registration) { r.Ports = []Port{{Number: 1234}} })
	job := p.register("batch", "", func(r *Registration) { r.Ports = nil })
	if got := services(p.View()); !slices.Equal(got, []string{"details", "ratings", "reviews"}) {
		t.Errorf("services %v: one without a port is none", got)
	}
	s := p.View().Mesh.Services.Get("reviews.default.svc.cluster.local")
	if len(s.Ports) != 1 || s.Ports[0].Number != 9080 {
		t.Errorf("%+v: what the file says counts", s.Ports)
	}
	p.Deregister(a.Key(), a.Token)
	if got := services(p.View()); !slices.Contains(got, "details") {
		t.Errorf("services %v: another workload of details runs", got)
	}
	for _, w := range []*Workload{b, c, job} {
		p.Deregister(w.Key(), w.Token)
	}
	if got := services(p.View()); !slices.Equal(got, []string{"ratings", "reviews"}) {
		t.Errorf("services %v", got)
	}
	if n := p.View().Mesh.Workloads.Len(); n != 0 {
		t.Errorf("%d workloads", n)
	}
	p.Deregister(a.Key(), a.Token) // once more
}

func TestServiceOfSeveralPorts(t *testing.T) {
	p := run(t, options(t, state(t)))
	p.register("details", "v1", func(r *Registration) {
		r.Ports = []Port{{Number: 80, Protocol: "http"}, {Number: 81, Name: "admin", Protocol: "tcp"}, {Number: 82}}
	})
	var got []string
	for _, x := range p.View().Mesh.Services.Get("details.default.svc.cluster.local").Ports {
		got = append(got, x.Name+" "+x.Proto.String())
	}
	if want := []string{"port-80 http/1.1", "admin tcp", "port-82 detect"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if found := p.View().Findings; len(found) > 0 {
		t.Errorf("findings %v", found)
	}
}

// A service has the ports of all its workloads, and each port leads to those that have it, whoever came first.
func TestPortsOfSeveralWorkloads(t *testing.T) {
	p := run(t, options(t, state(t)))
	ends := func() (out []string) {
		m := p.View().Mesh
		s := m.Services.Get("web.default.svc.cluster.local")
		for i := range s.Ports {
			for _, e := range m.Endpoints(s, &s.Ports[i], nil) {
				out = append(out, fmt.Sprintf("%d %s", s.Ports[i].Number, e.Workload.Name))
			}
		}
		return out
	}
	with := func(ports ...Port) func(*Registration) { return func(r *Registration) { r.Ports = ports } }
	a := p.register("web", "a", with(Port{Number: 80, Protocol: "http"}))
	b := p.register("web", "b", with(Port{Number: 80, Protocol: "http"}, Port{Number: 81}))
	p.register("web", "c", with(Port{Number: 82, Name: "admin"}))
	if got, want := ends(), []string{"80 web-a-1", "80 web-b-1", "81 web-b-1", "82 web-c-1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	p.Deregister(a.Key(), a.Token)
	if got, want := ends(), []string{"80 web-b-1", "81 web-b-1", "82 web-c-1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	p.Deregister(b.Key(), b.Token)
	if got, want := ends(), []string{"82 web-c-1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if found := p.View().Findings; len(found) > 0 {
		t.Errorf("findings %v", found)
	}
}

func TestLabelsOfWorkloads(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("reviews", "v1", func(r *Registration) { r.Labels = map[string]string{"tier": "backend", "version": "mine"} })
	if got, want := p.View().Mesh.Workloads.Get(w.Key()).Labels, []string{"app=reviews", "tier=backend", "version=mine"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func draining(t *testing.T, r stream.Resource) (out []bool) {
	for _, e := range of[config.Service](t, r).Ports[0].Pools[0].Endpoints {
		out = append(out, e.Draining)
	}
	return out
}

func TestDrainWaitsForTheCallers(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	w := p.register("ratings", "v1")
	caller, other, slow := p.proxy(p.register("a", "")), p.proxy(p.register("b", "")), p.proxy(p.register("c", ""))
	caller.want(host("ratings"))
	caller.get()
	other.want(host("reviews"))
	other.get()
	slow.want(host("reviews"))
	slow.next() // it never answers, and does not call ratings
	done := make(chan error, 1)
	go func() { done <- p.Drain(t.Context(), w.Key(), w.Token) }()
	down := caller.next()
	if got := draining(t, down.Resources[0]); !slices.Equal(got, []bool{true}) {
		t.Errorf("the caller is told %v", got)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the caller: %v", err)
	default:
	}
	caller.take(stream.Up{Ack: down.Nonce})
	if err := <-done; err != nil {
		t.Error(err)
	}
	other.nothing()
}

func TestDrainThatIsHeldUp(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	w := p.register("ratings", "v1")
	caller := p.proxy(p.register("a", ""))
	caller.want(host("ratings"))
	caller.get()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := p.Drain(ctx, w.Key(), w.Token); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Drain(t.Context(), w.Key(), w.Token) }() // and once more, until the caller is gone
	caller.s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := p.Drain(t.Context(), w.Key(), "guessed"); err == nil {
		t.Error("anybody can drain a workload")
	}
	if err := p.Drain(t.Context(), "default/nobody", ""); err == nil {
		t.Error("nobody was drained")
	}
}

// A proxy that is not back yet after a restart goes on calling: it has to hear of it first.
func TestDrainSoonAfterARestart(t *testing.T) {
	o := options(t, state(t))
	p := run(t, o)
	w, a, b := p.register("ratings", "v1"), p.register("a", ""), p.register("b", "")
	p.stop()
	p = run(t, o)
	done := make(chan error, 1)
	go func() { done <- p.Drain(t.Context(), w.Key(), w.Token) }()
	eventually(t, "it drains", func() bool { return p.View().Mesh.Workloads.Get(w.Key()).Draining })
	x := p.proxy(a)
	x.want(host("ratings"))
	if got := draining(t, x.get()[host("ratings")]); !slices.Equal(got, []bool{true}) {
		t.Errorf("a proxy that is back is told %v", got)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the other one: %v", err)
	default:
	}
	p.Deregister(b.Key(), b.Token) // its process has ended meanwhile
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A workload that comes back while it drains is not called again.
func TestDrainOverARestart(t *testing.T) {
	o := options(t, state(t))
	p := run(t, o)
	w := p.register("ratings", "v1")
	if err := p.Drain(t.Context(), w.Key(), w.Token); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p = run(t, o)
	back := w.Registration
	back.Draining = true
	if _, err := p.Register(back, os.Getuid()); err != nil {
		t.Fatal(err)
	}
	if m := p.View().Mesh.Workloads.Get(w.Key()); m == nil || !m.Draining {
		t.Errorf("%+v", m)
	}
}

func TestFindings(t *testing.T) {
	f := newFeed(synced(parse(t, twoServices)))
	p := run(t, options(t, state(t), f))
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(virtualService, "3s", "soon")), Findings: []dialect.Located{lost("broken.yaml")}})
	var got []string
	for _, l := range p.View().Findings {
		got = append(got, l.String())
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "broken.yaml") || !strings.HasPrefix(got[1], "test.yaml:5: error: VirtualService default/ratings (istio): spec.http[0].timeout:") {
		t.Errorf("findings %q", got)
	}
	f.emit(t, source.Event{Put: parse(t, virtualService)})
	if found := p.View().Findings; len(found) > 0 {
		t.Errorf("mended, and there are still %v", found)
	}
	if r := p.View().Mesh.Services.Get("ratings.default.svc.cluster.local"); r == nil {
		t.Error("the service is gone")
	}
}

func TestStoppedControlPlaneAnswers(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("ratings", "v1")
	p.stop()
	if _, err := p.Register(Registration{Namespace: "default", Service: "s", Account: "s"}, os.Getuid()); !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
	if _, err := p.Open(t.Context(), &stream.Hello{Workload: w.Key(), Token: w.Token}); !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
	if err := p.Drain(t.Context(), w.Key(), w.Token); !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
	p.Deregister(w.Key(), w.Token)
}

func TestSourceThatFails(t *testing.T) {
	o := options(t, state(t), broken{})
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "inotify") {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) Run(context.Context, func(source.Event)) error {
	return errors.New("no inotify instances are left")
}

// Whoever asks gets an answer, however fast things change meanwhile.
func TestViewWhileThingsChange(t *testing.T) {
	p := run(t, options(t, state(t)))
	var busy sync.WaitGroup
	for n := range 4 {
		busy.Go(func() {
			for range 10 {
				w, err := p.Register(Registration{Namespace: "default", Service: fmt.Sprint("s", n), Account: "a", Ports: []Port{{Number: 80}}}, os.Getuid())
				if err != nil {
					t.Error(err)
					return
				}
				if v := p.View(); v == nil || v.Mesh.Workloads.Get(w.Key()) == nil {
					t.Errorf("%v does not know %s", v, w.Key())
				}
				p.Deregister(w.Key(), w.Token)
			}
		})
	}
	busy.Wait()
	p.stop()
	if v := p.View(); v == nil || v.Mesh.Workloads.Len() > 0 {
		t.Errorf("%v", v)
	}
}

func TestLoad(t *testing.T) {
	w := Simulated(Registration{Namespace: "default", Name: "ratings-1", Service: "ratings", Account: "ratings"}, 258, noon)
	v := Load(domain, parse(t, twoServices), nil, []*Workload{w})
	if m := v.Mesh.Workloads.Get(w.Key()); m == nil || m.Addr != addr("127.64.1.2") || len(v.Objects) != 3 {
		t.Errorf("%+v, %d objects", m, len(v.Objects))
	}
}
