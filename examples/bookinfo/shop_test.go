package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

// settings are environment variables.
type settings map[string]string

func (s settings) get(name string) string { return s[name] }

// with returns the settings with a peer added, as Kubernetes would.
func (s settings) with(name string, at *httptest.Server) settings {
	u, _ := url.Parse(at.URL)
	s[strings.ToUpper(name)+"_SERVICE_HOST"] = u.Hostname()
	s[strings.ToUpper(name)+"_SERVICE_PORT"] = u.Port()
	return s
}

// startService starts one service in this process.
func startService(t *testing.T, service, version string, env settings) *httptest.Server {
	t.Helper()
	s := setup{serve.NewInstance(service, version, service+"-1", env.get), env.get, slog.New(slog.DiscardHandler)}
	h, err := builder(service)(s)
	if err != nil {
		t.Fatal(err)
	}
	return startHandler(t, s.Mark(h))
}

func startHandler(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// startRecorder answers with a fixed status and body and tells what it was asked.
func startRecorder(t *testing.T, status int, body string) (*httptest.Server, <-chan *http.Request) {
	t.Helper()
	asked := make(chan *http.Request, 16)
	return startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.WriteHeader(status)
		io.WriteString(w, body)
	})), asked
}

func startStopped(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(nil)
	srv.Close()
	return srv
}

// customer is a browser: it keeps cookies and follows redirects.
func customer(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return readAll(t, resp)
}

func readAll(t *testing.T, resp *http.Response) (int, string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

// wantJSON compares values, not spelling.
func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	gb, _ := json.Marshal(g)
	wb, _ := json.Marshal(w)
	if string(gb) != string(wb) {
		t.Errorf("got  %s\nwant %s", gb, wb)
	}
}
