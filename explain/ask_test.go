package explain_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unique"

	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// TestQuery: what a person writes means the services and workloads of the mesh.
func TestQuery(t *testing.T) {
	s := world()
	for name, x := range map[string]struct {
		asked explain.Asked
		want  explain.Query
	}{
		"by account":            {explain.Asked{From: "web", Proto: traffic.HTTP1, URL: "http://reviews/a%20b?c=d"}, explain.Query{From: "default/web", Host: host, Port: 80, Authority: "reviews", Path: "/a%20b", Query: "c=d"}},
		"by key":                {explain.Asked{From: "default/web", Proto: traffic.HTTP1, URL: "http://reviews.default:9080"}, explain.Query{From: "default/web", Host: host, Port: 9080, Authority: "reviews.default:9080", Path: "/"}},
		"to a name with svc":    {explain.Asked{From: "web", Proto: traffic.HTTP1, URL: "http://reviews.default.svc/"}, explain.Query{From: "default/web", Host: host, Port: 80, Authority: "reviews.default.svc", Path: "/"}},
		"to a full name":        {explain.Asked{From: "web", Proto: traffic.HTTP1, URL: "http://" + host + "/"}, explain.Query{From: "default/web", Host: host, Port: 80, Authority: host, Path: "/"}},
		"to a virtual address":  {explain.Asked{From: "web", Proto: traffic.TCP, URL: "tcp://10.96.0.1:80"}, explain.Query{From: "default/web", Host: host, Port: 80, Authority: "10.96.0.1:80", Addr: netip.MustParseAddrPort("10.96.0.1:80")}},
		"to an address outside": {explain.Asked{From: "web", Proto: traffic.TCP, URL: "tcp://192.0.2.1:5432"}, explain.Query{From: "default/web", Port: 5432, Authority: "192.0.2.1:5432", Addr: netip.MustParseAddrPort("192.0.2.1:5432")}},
		"from outside":          {explain.Asked{To: "reviews", Proto: traffic.HTTP1, URL: "http://shop.example/"}, explain.Query{To: "default/reviews", Port: 80, Authority: "shop.example", Path: "/"}},
		"with another host":     {explain.Asked{From: "web", Proto: traffic.HTTP1, URL: "http://reviews/", Header: [][2]string{{"Host", "other"}}}, explain.Query{From: "default/web", Host: host, Port: 80, Authority: "other", Path: "/"}},
	} {
		got, err := x.asked.Query(s)
		if len(got.Header) > 0 {
			t.Errorf("%s: headers %v", name, got.Header)
		}
		if x.want.Proto = x.asked.Proto; err != nil || got.From != x.want.From || got.To != x.want.To || got.Host != x.want.Host || got.Port != x.want.Port ||
			got.Addr != x.want.Addr || got.Authority != x.want.Authority || got.Path != x.want.Path || got.Query != x.want.Query || got.Proto != x.want.Proto {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, x.want)
		}
	}
	q, err := (&explain.Asked{From: "web", Proto: traffic.GRPC, URL: "http://reviews/pkg.Service/Method"}).Query(s)
	if err != nil || len(q.Header) != 1 || q.Header[0] != [2]string{"content-type", "application/grpc"} {
		t.Errorf("gRPC: %v, %+v", err, q)
	}
	for want, a := range map[string]explain.Asked{
		"want a URL":                      {From: "web", URL: "reviews"},
		`no workload "nobody"; there are`: {From: "nobody", Proto: traffic.HTTP1, URL: "http://reviews"},
		"names its port":                  {From: "web", Proto: traffic.TCP, URL: "tcp://reviews"},
		"out of range":                    {From: "web", URL: "http://reviews:99999"},
	} {
		if _, err := a.Query(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q: %v", want, err)
		}
	}
}

// A pod is meant by the name of what made it, and by either of the labels that name an application; what an error lists is bounded.
func TestWorkloads(t *testing.T) {
	pod := func(namespace, name string, labels ...string) mesh.Workload {
		w := workload(name, "10.0.0.9")
		w.Namespace, w.Labels, w.Identity = namespace, labels, unique.Handle[identity.ID]{}
		return w
	}
	part := &mesh.Part{Workloads: []mesh.Workload{pod("shop", "web-admin-5c9d8f7b6c-x2k4z"), pod("shop", "web-5c9d8f7b6c-x2k4z"), pod("shop", "db-0"), pod("shop", "agent-x2k4z"),
		pod("shop", "x1", "app.kubernetes.io/name=cart")}}
	for i := range 30 {
		part.Workloads = append(part.Workloads, pod("many", fmt.Sprintf("pod%d", i)))
	}
	s, _ := mesh.New().With([]mesh.Change{{New: part}})
	for from, want := range map[string]string{
		"shop/web": "shop/web-5c9d8f7b6c-x2k4z", "shop/web-admin": "shop/web-admin-5c9d8f7b6c-x2k4z", "db": "shop/db-0", "shop/agent": "shop/agent-x2k4z", "shop/cart": "shop/x1",
	} {
		if q, err := (&explain.Asked{From: from, Proto: traffic.HTTP1, URL: "http://reviews"}).Query(s); err != nil || q.From != want {
			t.Errorf("%s: %q %v, want %q", from, q.From, err, want)
		}
	}
	for from, want := range map[string]string{
		"shop/we": "there are: shop/agent-x2k4z, shop/db-0, shop/web-5c9d8f7b6c-x2k4z, shop/web-admin-5c9d8f7b6c-x2k4z, shop/x1",
		"nobody":  "many/pod25, many/pod26, and 15 more",
	} {
		if _, err := (&explain.Asked{From: from, Proto: traffic.HTTP1, URL: "http://reviews"}).Query(s); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", from, err)
		}
	}
	if _, err := (&explain.Asked{From: "a", Proto: traffic.HTTP1, URL: "http://reviews"}).Query(mesh.New()); err == nil || !strings.Contains(err.Error(), "nor any other") {
		t.Error(err)
	}
}
