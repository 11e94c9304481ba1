package proxy_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/proxy"
)

// ask is a client of a proxy's admin socket, private or not.
func (n *node) ask(t *testing.T, private bool) *http.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	n.ServeAdmin(l, &proxy.Admin{Metrics: &metrics.Registry{}, Stats: &stat.Table{}, Drain: func() { n.drained.Add(1) },
		Upgrade: func(time.Duration) error { return errors.New("not now") }}, private)
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	return &http.Client{Transport: tr}
}

// askProfile returns an answer's status, and its text, which of a profile is decompressed.
func askProfile(t *testing.T, c *http.Client, query string) (int, string) {
	t.Helper()
	resp, err := c.Get("http://proxy/profile" + query)
	must(t, err)
	defer resp.Body.Close()
	var body io.Reader = bufio.NewReader(resp.Body)
	if resp.StatusCode == 200 {
		body, err = gzip.NewReader(body)
		must(t, err)
	}
	b, err := io.ReadAll(body)
	must(t, err)
	return resp.StatusCode, string(b)
}

// TestWhoMayAskWhat: whoever reaches the port for metrics learns whether the proxy is ready and what it counts, and changes nothing.
func TestWhoMayAskWhat(t *testing.T) {
	n := newWorld(t).start("caller-1", nil, nil)
	private, public := n.ask(t, true), n.ask(t, false)
	for what, want := range map[string][2]int{ // privately, and by the port
		"GET /ready": {200, 200}, "GET /metrics": {200, 200}, "GET /stats": {200, 404}, "GET /config": {200, 404}, "GET /endpoints": {200, 404},
		"POST /drain": {202, 404}, "POST /upgrade": {503, 404}, "GET /drain": {404, 404}, "POST /metrics": {404, 404}, "GET /": {404, 404},
	} {
		method, path, _ := strings.Cut(what, " ")
		for i, c := range []*http.Client{private, public} {
			req, err := http.NewRequest(method, "http://proxy"+path, nil)
			must(t, err)
			resp, err := c.Do(req)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != want[i] {
				t.Errorf("%s, by the port %v: %s, want %d", what, c == public, resp.Status, want[i])
			}
			if kind := resp.Header.Get("content-type"); what == "GET /metrics" && kind != metrics.ContentType {
				t.Errorf("metrics come as %q", kind)
			}
		}
	}
	if got := n.drained.Load(); got != 1 {
		t.Errorf("drained %d times", got)
	}
}

func TestProfile(t *testing.T) {
	n := newWorld(t).start("caller-1", nil, nil)
	private, public := n.ask(t, true), n.ask(t, false)
	for query, want := range map[string]string{ // a profile has its kinds of samples as strings
		"?kind=cpu&seconds=1": "nanoseconds",
		"?kind=heap":          "inuse_space",
		"?kind=allocs":        "alloc_space",
		"?kind=goroutine":     "ServeAdmin",
	} {
		if status, text := askProfile(t, private, query); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d, without %q", query, status, want)
		}
	}
	for query, want := range map[string]string{
		"?kind=block":               "want cpu, heap, allocs or goroutine",
		"?kind=cpu&seconds=0":       "want 1 to 300",
		"?seconds=301":              "want 1 to 300",
		"?seconds=1s":               "want 1 to 300",
		"?kind=goroutine&seconds=1": "is of the moment",
	} {
		if status, text := askProfile(t, private, query); status != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %q, want 400 and %q", query, status, text, want)
		}
	}
	if status, _ := askProfile(t, public, "?kind=heap"); status != 404 {
		t.Errorf("whoever reaches the port for metrics gets %d, want 404", status)
	}
}

// TestProfileTakesTime: other questions are answered meanwhile, another CPU profile is refused, and the one that is being taken ends
// when its caller leaves, and when the proxy does.
func TestProfileTakesTime(t *testing.T) {
	n := newWorld(t).start("caller-1", nil, nil)
	c := n.ask(t, true)
	ctx, leave := context.WithCancel(t.Context())
	begin := func(ctx context.Context) (answer chan *http.Response) {
		answer = make(chan *http.Response, 1)
		req, err := http.NewRequestWithContext(ctx, "GET", "http://proxy/profile?seconds=300", nil)
		must(t, err)
		go func() {
			defer close(answer)
			if resp, err := c.Do(req); err == nil {
				answer <- resp
			}
		}()
		return answer
	}
	running := func() bool { // as the stacks of the process say
		_, stacks := askProfile(t, c, "?kind=goroutine")
		return strings.Contains(stacks, "proxy/profile.wait")
	}
	first := begin(ctx)
	eventually(t, "profiling", running)
	if status, text := askProfile(t, c, "?seconds=1"); status != 409 || !strings.Contains(text, "another CPU profile") {
		t.Errorf("%d %q while a profile is taken", status, text)
	}
	resp, err := c.Get("http://proxy/ready")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("%s while a profile is taken", resp.Status)
	}
	leave()
	<-first
	eventually(t, "free again", func() bool { return !running() })

	second := begin(t.Context())
	eventually(t, "profiling again", running)
	n.Yield()
	got := <-second
	if got == nil {
		t.Fatal("no answer though the proxy could give one")
	}
	defer got.Body.Close()
	if _, err := gzip.NewReader(got.Body); got.StatusCode != 200 || err != nil {
		t.Errorf("%s, %v: want what there was", got.Status, err)
	}
}
