package main

import (
	"bytes"
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

	"github.com/weft-mesh/weft/node/cni"
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

// Only the end of the DaemonSet takes the plugin away: neither a rollout, nor a restart, nor an API server that does not answer, or not to
// this account, does.
func TestGone(t *testing.T) {
	const path = "/apis/apps/v1/namespaces/mesh/daemonsets/weft-node"
	for answer, want := range map[string]string{
		`200 {"metadata":{"name":"weft-node"}}`:                         "false <nil>",
		`200 {"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"}}`: "true <nil>",
		`404 {"kind":"Status"}`:                                         "true <nil>",
		`401 {"kind":"Status"}`:                                         "false the API server answers 401: it does not know who this is; is the ServiceAccount weft-node there?",
		`403 {"kind":"Status"}`:                                         "false the API server answers 403: by RBAC the ServiceAccount weft-node may not get the DaemonSet mesh/weft-node; weft install writes the role and its binding",
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

// At its end weft-node takes the plugin along only where it is told that the DaemonSet is deleted; an answer that says nothing is an error,
// which is told of at the start already.
func TestEnd(t *testing.T) {
	const path, node = "/apis/apps/v1/namespaces/mesh/daemonsets/weft-node", "/api/v1/nodes/n"
	for answer, want := range map[string]string{`200 {}`: "", `404 {}`: "", `403 {}`: "by RBAC", `401 {}`: "does not know who this is"} {
		dir := t.TempDir()
		conf := filepath.Join(dir, "10-net.conflist")
		write(t, conf, `{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]}`)
		write(t, filepath.Join(dir, "plugin"), "a program")
		var log bytes.Buffer
		f := &flags{place: cni.Place{Bin: dir, Conf: dir, Plugin: filepath.Join(dir, "plugin"), Log: slog.New(slog.NewTextHandler(&log, nil))}, namespace: "mesh", name: "weft-node", node: "n"}
		if _, err := f.place.Install(); err != nil {
			t.Fatal(err)
		}
		a := server(t, map[string]string{path: answer, node: `200 {"status":{"nodeInfo":{"containerRuntimeVersion":"cri-o://1.34"}}}`})
		runtime := f.ask(t.Context(), a)
		if said := log.String(); runtime != "cri-o://1.34" || strings.Contains(said, "the plugin will stay") != (want != "") || !strings.Contains(said, want) {
			t.Errorf("%s: runtime %q, log %s", answer, runtime, said)
		}
		err := f.end(t.Context(), a, runtime)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the plugin stays")) {
			t.Errorf("%s: %v", answer, err)
		}
		text, err := os.ReadFile(conf)
		if err != nil || strings.Contains(string(text), cni.Name) != (answer != `404 {}`) {
			t.Errorf("%s: %s, %v", answer, text, err)
		}
	}
}

func TestRuntime(t *testing.T) {
	got, err := server(t, map[string]string{"/api/v1/nodes/n": `200 {"status":{"nodeInfo":{"containerRuntimeVersion":"containerd://2.1.0"}}}`}).runtime(t.Context(), "n")
	if err != nil || got != "containerd://2.1.0" {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := server(t, map[string]string{"/api/v1/nodes/n": "403 no"}).runtime(t.Context(), "n"); err == nil || !strings.Contains(err.Error(), "by RBAC the ServiceAccount weft-node may not get the Node n") {
		t.Error(got, err)
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
