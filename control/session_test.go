package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

func TestWhoIsLetIn(t *testing.T) {
	p := run(t, options(t, state(t)))
	w, other := p.register("reviews", "v1"), p.register("ratings", "v1")
	_, csr, err := cert.NewRequest(identity.Of(domain, "default", "reviews"))
	if err != nil {
		t.Fatal(err)
	}
	for what, hello := range map[string]stream.Hello{
		"another's token": {Workload: w.Key(), Token: other.Token},
		"no token":        {Workload: w.Key()},
		"nobody":          {Workload: "default/nobody", Token: w.Token},
		"nothing":         {},
	} {
		if _, err := p.Open(t.Context(), &hello); !errors.Is(err, server.ErrRefused) {
			t.Errorf("%s opens a stream: %v", what, err)
		}
		if _, err := p.Certify(t.Context(), &stream.CertifyRequest{Workload: hello.Workload, Token: hello.Token, CSR: csr}); !errors.Is(err, server.ErrRefused) {
			t.Errorf("%s gets a certificate: %v", what, err)
		}
	}
}

// A certificate says what was registered; one that asks for more gets nothing.
func TestCertificateIsOfTheRegisteredAccount(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("reviews", "v1", func(r *Registration) { r.Namespace, r.Account = "shop", "bookinfo-reviews" })
	key, csr, err := cert.NewRequest(identity.Of(domain, "shop", "bookinfo-reviews"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Certify(t.Context(), &stream.CertifyRequest{Workload: w.Key(), Token: w.Token, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	is, err := cert.ParseIdentity(got.Chain, key)
	if err != nil || is.ID.String() != "spiffe://cluster.local/ns/shop/sa/bookinfo-reviews" || is.Workload != "shop/reviews-v1-1" {
		t.Errorf("%+v, %v", is, err)
	}
	_, other, err := cert.NewRequest(identity.Of(domain, "shop", "admin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{other, []byte("no request")} {
		if _, err := p.Certify(t.Context(), &stream.CertifyRequest{Workload: w.Key(), Token: w.Token, CSR: bad}); !errors.Is(err, server.ErrRefused) {
			t.Errorf("%v", err)
		}
	}
}

// A refusal is kept until the proxy takes a later version, has no use for the resource any more, or is gone.
func TestRefusalsAreKeptUntilALaterVersionIsTaken(t *testing.T) {
	for _, x := range []struct {
		what string
		then func(p *plane, x *proxy, f *feed, w *Workload)
		kept bool
	}{
		{"nothing happens", func(*plane, *proxy, *feed, *Workload) {}, true},
		{"another resource is taken", func(p *plane, x *proxy, _ *feed, _ *Workload) { p.register("reviews", "v2"); x.get() }, true},
		{"a later version is taken", func(p *plane, x *proxy, _ *feed, _ *Workload) { p.register("ratings", "v2"); x.get() }, false},
		{"a later version is refused as well", func(p *plane, x *proxy, _ *feed, _ *Workload) {
			p.register("ratings", "v2")
			x.take(stream.Up{Ack: x.next().Nonce, Refused: []stream.Nack{{Name: host("ratings"), Error: "worse"}}})
		}, true},
		{"it is gone, and that is taken", func(_ *plane, x *proxy, f *feed, _ *Workload) {
			f.emit(x.t, source.Event{Delete: parseKeys(x.t, twoServices)[1:]})
			x.get()
		}, false},
		{"the proxy does not want it any more", func(_ *plane, x *proxy, _ *feed, _ *Workload) {
			x.take(stream.Up{Unsubscribe: []string{host("ratings")}})
		}, false},
		{"the proxy is away", func(_ *plane, x *proxy, _ *feed, _ *Workload) { x.s.Close() }, true},
		{"the proxy is back, and has what is in force", func(p *plane, x *proxy, _ *feed, w *Workload) {
			x.s.Close()
			var version uint64
			_ = p.do(func() { version = p.publisher.body(host("ratings"), x.s, 0).Version })
			p.proxy(w).take(stream.Up{Subscribe: []stream.Want{{Name: host("ratings"), Version: version}}})
		}, false},
		{"the workload is gone", func(p *plane, _ *proxy, _ *feed, w *Workload) { p.Deregister(w.Key(), w.Token) }, false},
	} {
		t.Run(x.what, func(t *testing.T) {
			f := newFeed(synced(parse(t, twoServices)))
			p := run(t, options(t, state(t), f))
			w := p.register("reviews", "v1")
			px := p.proxy(w)
			px.want(host("ratings"), host("reviews"))
			px.take(stream.Up{Ack: px.next().Nonce, Refused: []stream.Nack{{Name: host("ratings"), Error: "regex: missing closing ]"}}})
			want := "default/reviews-v1-1 " + host("ratings") + ": regex: missing closing ]"
			if got := p.Refused(); !slices.Equal(got, []string{want}) {
				t.Fatalf("refused %q, want %q", got, want)
			}
			if px.s.acked(host("ratings")) != 0 || px.s.acked(host("reviews")) == 0 || !px.s.settled() {
				t.Error("what was refused counts as taken, or the rest does not")
			}
			x.then(p, px, f, w)
			if got := p.Refused(); (len(got) > 0) != x.kept {
				t.Errorf("refused %q", got)
			}
		})
	}
}

func TestWarningOfARefusalNamesIt(t *testing.T) {
	var n nacks
	n.add("a/b", stream.Nack{Name: "service/x", Error: "one"})
	n.add("a/b", stream.Nack{Name: "service/x", Error: "two"})
	n.add("a/bb", stream.Nack{Name: "service/x", Error: "three"})
	n.forget("a/b")
	c := &Control{nacks: nacks{by: n.by}}
	if got := c.Refused(); len(got) != 1 || !strings.HasPrefix(got[0], "a/bb ") {
		t.Errorf("%q", got)
	}
}

// A proxy makes the control plane remember nothing but what is about the resources that it was sent.
func TestWhatAProxySaysIsBounded(t *testing.T) {
	p := run(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	x := p.proxy(p.register("reviews", "v1"))
	x.want(host("ratings"))
	x.take(stream.Up{Refused: []stream.Nack{{Name: "made up", Error: "no"}, {Name: host("ratings"), Error: strings.Repeat("x", 1<<20)}}})
	if got := p.Refused(); len(got) != 1 || len(got[0]) > 2*longestWhy || !strings.Contains(got[0], "ratings") {
		t.Errorf("%d refusals", len(got))
	}
	x.want("mine/x")
	x.next()
	if kinds := p.counters.pushes.All(); kinds["mine"] != 0 || kinds["unknown"] != 1 {
		t.Errorf("a proxy makes labels up: %v", kinds)
	}
	if err := x.s.Take(&stream.Up{Subscribe: []stream.Want{{Name: strings.Repeat("x", longestRef+1)}}}); !errors.Is(err, server.ErrRefused) {
		t.Errorf("a long name: %v", err)
	}
}

// However many streams a workload opens, it wants what one proxy may.
func TestStreamsOfOneWorkloadShareABound(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("reviews", "v1")
	var all []*proxy
	for n := range 3 {
		x := p.proxy(w)
		all = append(all, x)
		var up stream.Up
		for i := range mostNames / 5 * 2 {
			up.Subscribe = append(up.Subscribe, stream.Want{Name: fmt.Sprint("address/", n, ".", i)})
		}
		x.take(up)
	}
	for n, x := range all {
		if err := x.s.ended(); (err != nil) != (n == 0) {
			t.Errorf("stream %d: %v", n, err)
		}
	}
}
