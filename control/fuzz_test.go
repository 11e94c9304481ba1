package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/traffic"
)

// FuzzRegister: a registration that is taken in makes objects that the mesh reads without a finding, and leaves nothing when it goes.
func FuzzRegister(f *testing.F) {
	for _, r := range []Registration{
		reviews(), {}, {Namespace: "default", Service: "s", Account: "a", Labels: map[string]string{"app": "other", "a/b": "c"}},
		{Name: "s-7", Namespace: "default", Service: "s", Account: "a", Ports: []Port{{Number: 80, Protocol: "http"}, {Number: 80}, {}, {Number: 1, Name: "x", Protocol: "grpc"}}},
		{Namespace: "default", Account: "a", Admin: "/run/a", PID: -1, Token: "t", Draining: true},
	} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"namespace":"../..","service":"a b","account":"\u0000","address":"127.0.0.1"}`))
	f.Add([]byte(`{"namespace":"default","service":"s","account":"a","address":"fe80::1%lo","labels":{"":""}}`))
	p := run(f, options(f, state(f), newFeed(source.Event{Synced: true})))
	before := p.View().Mesh.Workloads.Len()
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Registration
		if json.Unmarshal(b, &r) != nil {
			return
		}
		w, err := p.Register(r, os.Getuid())
		if err != nil {
			if !errors.Is(err, errRegistration) && !errors.Is(err, errTaken) && !errors.Is(err, errForbidden) {
				t.Fatalf("%s: %v", b, err)
			}
			return
		}
		if p.View().Mesh.Workloads.Get(w.Key()) == nil {
			t.Errorf("%s: registered as %s, and not in the mesh", b, w.Key())
		}
		p.Deregister(w.Key(), w.Token)
		if left := p.View().Mesh.Workloads.Len(); left != before {
			t.Errorf("%s: %d workloads are left", b, left)
		}
	})
}

// FuzzExplain: any question gets an answer in JSON, or an error that says what is wrong with it.
func FuzzExplain(f *testing.F) {
	p := run(f, options(f, state(f), newFeed(source.Event{Synced: true})))
	for _, service := range []string{"reviews", "ratings"} {
		r := Registration{Namespace: "default", Service: service, Version: "v1", Account: service, Ports: []Port{{Number: 9080, Protocol: "http"}}}
		if _, err := p.Register(r, os.Getuid()); err != nil {
			f.Fatal(err)
		}
	}
	for _, a := range []explain.Asked{
		{}, {From: "reviews", Method: "GET", URL: "http://ratings:9080/", Proto: traffic.HTTP1},
		{From: "default/reviews-v1-1", Method: "POST", URL: "http://ratings.default.svc.cluster.local:9080/a?b#c", Proto: traffic.GRPC, Header: [][2]string{{"Host", "x"}, {"a", "b"}}, Status: 503, Takes: 1e9},
		{From: "reviews", URL: "tcp://240.0.0.1:9080", Proto: traffic.TCP, Fail: 3}, {To: "ratings", URL: "http://ratings/", Proto: traffic.HTTP2},
		{From: "reviews", Method: "GET", URL: "http://[::1]:99999/", Proto: 200},
	} {
		b, err := json.Marshal(a)
		if err != nil {
			continue // a protocol that has no name
		}
		f.Add(b)
	}
	f.Add([]byte(`{"from":"reviews","url":"http://ratings:9080/","proto":"http/1.1","header":[["",""],["host",""]],"now":"0001-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"to":"ratings","url":"http://x:0/","proto":"http/1.1","source":"::ffff:1.2.3.4"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := httptest.NewRecorder()
		answering(p.serveExplain)(w, httptest.NewRequest("POST", "/v1/explain", bytes.NewReader(b)))
		if w.Code == 200 && !json.Valid(w.Body.Bytes()) || w.Code != 200 && (w.Code != 400 || w.Body.Len() < 2) {
			t.Errorf("%s: %d %q", b, w.Code, w.Body)
		}
	})
}
