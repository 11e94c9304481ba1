package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/traffic"
)

// served is a control plane that answers on a socket.
type served struct {
	*plane
	socket string
	client http.Client
	close  func() // of the socket alone
}

func serveAPI(t *testing.T, o Options) *served {
	t.Helper()
	s := &served{plane: run(t, o)}
	dir, err := os.MkdirTemp("", "weft") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s.socket = filepath.Join(dir, "api.sock")
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	s.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.ServeAPI(ctx, l); err != nil {
			t.Error(err)
		}
	})
	s.close = sync.OnceFunc(func() { cancel(); serving.Wait() })
	t.Cleanup(func() { s.close(); os.RemoveAll(dir) })
	return s
}

func (s *served) ask(method, path string, in any, header ...string) *http.Response {
	s.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	if raw, ok := in.(string); ok {
		b = []byte(raw)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://weft"+path, bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func decode[T any](t testing.TB, r *http.Response) (v T) {
	t.Helper()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", r.Status, text(t, r))
	}
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, bound)
		}
	}
}

func TestRegistrationLastsAsLongAsItsConnection(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	o.Private = []string{"/somewhere/sockets"}
	s := serveAPI(t, o)
	resp := s.ask("POST", "/v1/workloads", reviews())
	got := decode[Registered](t, resp)
	if got.Workload != "default/reviews-v1-1" || got.Tunnel != got.Address+":15008" || len(got.Token) < 26 || got.TrustDomain != domain {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(got.Private, []string{o.State, "/somewhere/sockets"}) {
		t.Errorf("applications are kept from %q", got.Private)
	}
	if len(got.Services) != 2 || got.Services[0].Name != "ratings" || got.Services[1].Name != "reviews" || got.Services[1].IP == "" ||
		!slices.Equal(got.Services[1].Ports, []Port{{Number: 9080, Name: "http"}}) {
		t.Errorf("services %+v", got.Services)
	}
	if s.View().Mesh.Workloads.Get(got.Workload) == nil {
		t.Error("it is not in the mesh")
	}
	resp.Body.Close()
	eventually(t, "it is gone with its connection", func() bool {
		return s.registry.get(got.Workload) == nil && s.View().Mesh.Workloads.Get(got.Workload) == nil
	})
}

// A control plane that ends keeps its workloads: their processes live on, and come back to the next one.
func TestRegistrationOutlivesTheControlPlane(t *testing.T) {
	s := serveAPI(t, options(t, state(t)))
	got := decode[Registered](t, s.ask("POST", "/v1/workloads", reviews()))
	s.close()
	if s.registry.get(got.Workload) == nil || s.View().Mesh.Workloads.Get(got.Workload) == nil {
		t.Error("it is gone")
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	o := options(t, state(t), newFeed(synced(parse(t, twoServices))))
	s := serveAPI(t, o)
	mine := decode[Registered](t, s.ask("POST", "/v1/workloads", reviews(func(r *Registration) { r.Name = "mine" })))
	for _, x := range []struct {
		what, method, path string
		in                 any
		status             int
		says               string
	}{
		{"no JSON", "POST", "/v1/workloads", "{", 400, "registration refused"},
		{"nonsense", "POST", "/v1/workloads", reviews(func(r *Registration) { r.Service = "A B" }), 400, "A B"},
		{"a name that is taken", "POST", "/v1/workloads", reviews(func(r *Registration) { r.Name = "mine" }), 409, "--name"},
		{"too much", "POST", "/v1/workloads", reviews(func(r *Registration) { r.Version = strings.Repeat("x", maxAsked) }), 400, "too large"},
		{"no path", "GET", "/v1/nothing", nil, 404, "not found"},
		{"another method", "GET", "/v1/workloads", nil, 405, "Not Allowed"},
		{"drain without a token", "POST", "/v1/workloads/drain?workload=" + mine.Workload, nil, 400, "another token"},
		{"explain nothing", "POST", "/v1/explain", "", 400, "EOF"},
		{"explain from nobody", "POST", "/v1/explain", explain.Asked{From: "nobody", Method: "GET", URL: "http://reviews:9080/", Proto: traffic.HTTP1}, 400, "nobody"},
	} {
		if r := s.ask(x.method, x.path, x.in); r.StatusCode != x.status {
			t.Errorf("%s: %s: %s", x.what, r.Status, text(t, r))
		} else if got := text(t, r); !strings.Contains(got, x.says) {
			t.Errorf("%s: %q, want it to say %q", x.what, got, x.says)
		}
	}
	if r := s.ask("POST", "/v1/workloads/drain?workload="+mine.Workload, nil, "authorization", mine.Token); r.StatusCode != 200 {
		t.Errorf("drain: %s: %s", r.Status, text(t, r))
	}
	if !s.View().Mesh.Workloads.Get(mine.Workload).Draining {
		t.Error("it does not drain")
	}
}

// What is about the whole mesh is for the user who runs the control plane; users of --allow have their own workloads, and may
// drain these.
func TestOtherUsersOfTheAPI(t *testing.T) {
	o := options(t, state(t))
	o.Allow = []Rule{{UID: os.Getuid(), Namespace: "shop", Account: "*"}}
	s := serveAPI(t, o)
	for _, path := range []string{"GET /v1/status", "POST /v1/identity/rotate", "POST /v1/explain"} {
		method, path, _ := strings.Cut(path, " ")
		if r := s.ask(method, path, nil); r.StatusCode != 403 {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if r := s.ask("POST", "/v1/workloads", reviews()); r.StatusCode != 403 {
		t.Errorf("a claim of namespace default: %s", r.Status)
	}
	got := decode[Registered](t, s.ask("POST", "/v1/workloads", reviews(func(r *Registration) { r.Namespace = "shop" })))
	if r := s.ask("POST", "/v1/workloads/drain?workload="+got.Workload, nil, "authorization", got.Token); r.StatusCode != 200 {
		t.Errorf("drain: %s: %s", r.Status, text(t, r))
	}
}

func TestStatus(t *testing.T) {
	s := serveAPI(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	a, b := s.register("reviews", "v1", func(r *Registration) { r.Admin = "/tmp/a.sock" }), s.register("ratings", "v1")
	s.proxy(b)
	got := decode[Status](t, s.ask("GET", "/v1/status", nil))
	if got.TrustDomain != domain || got.Rotation != "steady" || got.Root != s.ca.Roots().Active.ID().String() || len(got.Proxies) != 2 {
		t.Fatalf("%+v", got)
	}
	if p := got.Proxies[1]; p.Workload != a.Key() || p.Admin != "/tmp/a.sock" || p.Version != "v1" || p.Connected {
		t.Errorf("%+v", p)
	}
	if p := got.Proxies[0]; p.Workload != b.Key() || !p.Connected {
		t.Errorf("%+v", p)
	}
	if raw := text(t, s.ask("GET", "/v1/status", nil)); strings.Contains(raw, a.Token) || strings.Contains(raw, b.Token) {
		t.Error("tokens are told")
	}
}

func TestRotateTellsEachStep(t *testing.T) {
	s := serveAPI(t, options(t, state(t)))
	s.member("reviews", true)
	r := s.ask("POST", "/v1/identity/rotate", nil)
	lines := strings.Split(strings.TrimSpace(text(t, r)), "\n")
	if r.StatusCode != 200 || !slices.Equal(first(lines), []string{"distributing", "issuing", "retired"}) {
		t.Errorf("%s: %q", r.Status, lines)
	}
}

func TestExplain(t *testing.T) {
	s := serveAPI(t, options(t, state(t), newFeed(synced(parse(t, twoServices)))))
	s.register("reviews", "v1")
	s.register("ratings", "v1")
	asked := explain.Asked{From: "reviews", Method: "GET", URL: "http://ratings:9080/", Proto: traffic.HTTP1}
	got := decode[[]explain.Branch](t, s.ask("POST", "/v1/explain", asked))
	if len(got) != 1 || got[0].Share != 1 {
		t.Errorf("%+v", got)
	}
}
