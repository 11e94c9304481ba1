package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func env(of map[string]string) func(string) string {
	return func(name string) string { return of[name] }
}

func TestParse(t *testing.T) {
	in := env(map[string]string{"POD_NAMESPACE": "mesh", "NODE_NAME": "node1"})
	f, err := parse([]string{"-cni-bin=/b", "-cni-conf=/c", "ready"}, in)
	if err != nil || !f.ready || f.place.Bin != "/b" || f.place.Conf != "/c" || f.namespace != "mesh" || f.node != "node1" || f.place.Plugin != "/weft-cni" {
		t.Errorf("%+v, %v", f, err)
	}
	for want, args := range map[string][]string{"at most": {"ready", "now"}, "not": {"-kubeconfig=x"}} {
		if _, err := parse(args, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := parse(nil, env(nil)); err == nil {
		t.Error("it knows neither its namespace nor its node")
	}
}

// server is an API server that answers each path with a status and a text.
func server(t *testing.T, answers map[string]string) *api {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked by %q", r.Header.Get("Authorization"))
		}
		var status int
		var text string
		if _, err := fmt.Sscanf(answers[r.URL.Path], "%d %s", &status, &text); status == 0 {
			t.Errorf("asked for %s: %v", r.URL.Path, err)
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "secret\n")
	write(t, filepath.Join(dir, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	a, err := open(s.URL, dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Only the end of the DaemonSet takes the plugin away: neither a rollout, nor a restart, nor an API server that does not answer does.
func TestGone(t *testing.T) {
	const path = "/apis/apps/v1/namespaces/mesh/daemonsets/weft-node"
	for answer, want := range map[string]string{
		`200 {"metadata":{"name":"weft-node"}}`:                         "false <nil>",
		`200 {"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}`: "true <nil>",
		`404 {"kind":"Status"}`:                                         "true <nil>",
		`401 {"kind":"Status"}`:                                         "true <nil>",
		`403 {"kind":"Status"}`:                                         "true <nil>",
		`500 {"kind":"Status"}`:                                         "false the API server answers 500",
		`503 {"kind":"Status"}`:                                         "false the API server answers 503",
		`200 <html>`:                                                    "false invalid character '<' looking for beginning of value",
	} {
		gone, err := server(t, map[string]string{path: answer}).gone(t.Context(), "mesh", "weft-node")
		if got := fmt.Sprint(gone, " ", err); got != want {
			t.Errorf("%s: %s, want %s", answer, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if gone, err := server(t, nil).gone(ctx, "mesh", "weft-node"); gone || err == nil {
		t.Errorf("without an answer: %v, %v", gone, err)
	}
}

func TestRuntime(t *testing.T) {
	got, err := server(t, map[string]string{"/api/v1/nodes/n": `200 {"status":{"nodeInfo":{"containerRuntimeVersion":"containerd://2.1.0"}}}`}).runtime(t.Context(), "n")
	if err != nil || got != "containerd://2.1.0" {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := server(t, map[string]string{"/api/v1/nodes/n": "403 no"}).runtime(t.Context(), "n"); err == nil {
		t.Error(got)
	}
}

func TestInCluster(t *testing.T) {
	if _, err := inCluster(env(nil)); err == nil || !strings.Contains(err.Error(), "KUBERNETES_SERVICE_HOST") {
		t.Error(err)
	}
	dir := t.TempDir()
	if _, err := open("https://x", dir); err == nil {
		t.Error("without credentials")
	}
	write(t, filepath.Join(dir, "token"), "t")
	write(t, filepath.Join(dir, "ca.crt"), "none")
	if _, err := open("https://x", dir); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Error(err)
	}
	f := &flags{}
	f.place.Log = slog.New(slog.DiscardHandler)
	if err := f.leave("containerd://2.1.0"); err != nil { // outside of a cluster nobody says that it is over
		t.Error(err)
	}
}
