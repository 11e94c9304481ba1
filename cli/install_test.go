package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/source/kube"
)

func TestInstallCommand(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	code, out, errs := weft(t, "install", "--offline", "--ha", "--adopt", "--cni", "-n", "mesh", "--set", "image.registry=registry.example")
	if code != 0 {
		t.Fatal(code, errs)
	}
	contains(t, "install", out, "name: weft-inject", "namespace: mesh", "replicas: 2", "adopt: true", "cni: true", "kind: DaemonSet", `image: "registry.example/weft:`+Version, "kind: PodDisruptionBudget", "name: weft-values")
	values := write(t, filepath.Join(t.TempDir(), "values.yaml"), "control: {replicas: 3}\n")
	if _, out, _ := weft(t, "install", "--offline", "-f", values); !strings.Contains(out, "replicas: 3") {
		t.Error(out)
	}
	for want, args := range map[string][]string{
		"--offline":     {"install"}, // no cluster can be asked
		"--crds":        {"install", "--offline", "--crds", "none,istio"},
		"replicas":      {"install", "--offline", "--set", "control.replicas=0"},
		"none.yaml":     {"install", "--offline", "-f", "none.yaml"},
		"cilium":        {"install", "--offline", "--crds", "consul"},
		"--set a":       {"install", "--offline", "--set", "a"},
		"no cluster":    {"check"},
		"no cluster i":  {"uninstall"},
		"no cluster is": {"upgrade", "--dry-run"},
		"no cluster ":   {"uninstall", "--dry-run"},
		"none stands":   {"install", "--offline", "--crds", "istio,none"},
		"cluster's own": {"install", "--offline", "-n", "kube-system"},
		"my_mesh":       {"install", "--offline", "-n", "my_mesh"},
		"read once":     {"install", "--offline", "-f", "-", "-f", "-"},
		"named 2 times": {"inject", "-", "-"},
		"named 3 times": {"inject", "-", "-f", "-", "-", "-f", "a"},
		"flag: --ha":    {"inject", "--ha", "-"},
	} {
		if code, _, errs := weft(t, args...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d: %s, want %q", args, code, errs, want)
		}
	}
}

func TestShowValues(t *testing.T) {
	code, out, errs := weft(t, "install", "--show-values")
	if code != 0 {
		t.Fatal(errs)
	}
	values := write(t, filepath.Join(t.TempDir(), "values.yaml"), out)
	_, plain, _ := weft(t, "install", "--offline", "--crds", "none", "--set-string", "image.tag=1")
	if _, all, errs := weft(t, "install", "--offline", "--crds", "none", "-f", values, "--set-string", "image.tag=1", "--set", "namespace.create=true"); kept(plain) != kept(all) || errs != "" {
		t.Errorf("with all values as they are shown:\n%s\nand without:\n%s\n%s", all, plain, errs)
	}
	contains(t, "the image", plain, `image: "weft:1"`)
}

// kept is without the object that remembers values.
func kept(objects string) string {
	out, _, _ := strings.Cut(objects, "values.yaml: ")
	return out
}

// some is a cluster of which something is asked.
type some struct {
	install.Cluster
	objects []map[string]any
}

func (s some) List(_ context.Context, k dialect.Key, _ string) (out []map[string]any, err error) {
	for _, o := range s.objects {
		if o["kind"] == k.Kind {
			out = append(out, o)
		}
	}
	return out, nil
}

func (s some) Get(context.Context, dialect.Key) (map[string]any, error) { return nil, kube.ErrAbsent }

// What a command would do it says, and does not.
func TestDryRun(t *testing.T) {
	meta := map[string]any{"name": "weft-node", "namespace": "weft-system"}
	k := some{objects: []map[string]any{{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta},
		{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "web", "namespace": "shop", "annotations": map[string]any{inject.Injected: "v1"}}}}}
	var out, errs bytes.Buffer
	if err := wouldUninstall(t.Context(), &out, k, "weft-system"); err != nil {
		t.Fatal(err)
	}
	contains(t, "uninstall", out.String(), "would delete DaemonSet weft-system/weft-node\n", "kubectl rollout restart:\n  shop/web\n", "not weft's:\n  Pod shop/web\n")
	out.Reset()
	c := upgradeMeshCommand()
	c.SetOut(&out)
	c.SetErr(&errs)
	if err := planned(t.Context(), c, k, options("weft-system", map[string]any{})); err != nil {
		t.Fatal(err)
	}
	contains(t, "upgrade", out.String(), "---\napiVersion: v1\nkind: Namespace\n", "name: weft-values")
	if errs.String() != "would delete DaemonSet weft-system/weft-node\n" {
		t.Error(errs.String())
	}
}

// What is written for Helm goes by one name, which is printed so that a shell can pass it on, and is what install.Pack makes.
func TestHelmChart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dist")
	code, out, errs := weft(t, "install", "--helm-chart", dir)
	if code != 0 {
		t.Fatal(errs)
	}
	name, packed, err := install.Pack(Version)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(strings.TrimSuffix(out, "\n"))
	if want := filepath.Join(dir, name) + "\n"; out != want || err != nil || !bytes.Equal(got, packed) {
		t.Errorf("%q, want %q: %v", out, want, err)
	}
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	if code, _, errs := weft(t, "install", "--helm-chart", file); code != 2 || !strings.Contains(errs, file) {
		t.Error(code, errs)
	}
}

func TestInstallKinds(t *testing.T) {
	code, out, errs := weft(t, "install", "--offline", "--crds", "linkerd,cilium")
	if code != 0 {
		t.Fatal(errs)
	}
	contains(t, "kinds", out, "name: servers.policy.linkerd.io", "name: ciliumnetworkpolicies.cilium.io")
	if strings.Index(out, "CustomResourceDefinition") > strings.Index(out, "Deployment") {
		t.Error("kinds come after what may be of them")
	}
	const own = "name: gatewayclasses.gateway.networking.k8s.io"
	if strings.Contains(out, own) {
		t.Error("kinds were brought that nobody asked for")
	}
	for asks, args := range map[bool][]string{true: {"install", "--offline"}, false: {"install", "--crds", "none"}} {
		if code, out, errs := weft(t, args...); code != 0 || strings.Contains(out, own) != asks {
			t.Errorf("%q: exit code %d: %s: the Gateway API's kinds: %v, want %v", args, code, errs, !asks, asks)
		}
	}
}

func TestInjectCommand(t *testing.T) {
	dir := t.TempDir()
	app := write(t, filepath.Join(dir, "app.yaml"), `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers: [{name: web, image: web:1}]
`)
	plain := write(t, filepath.Join(dir, "plain.yaml"), "apiVersion: v1\nkind: Service\nmetadata:   {name: web}\n")
	code, out, errs := weft(t, "inject", app, plain, "--set", "inject.accessLog=json")
	if code != 0 {
		t.Fatal(errs)
	}
	contains(t, "inject", out, "name: weft-proxy", "name: weft-redirect", "image: weft:"+Version, "value: json", "\n---\napiVersion: v1\nkind: Service\nmetadata:   {name: web}\n")
	contains(t, "inject", errs, app+":1: Deployment default/web: injected: it was asked for by hand")
	if _, _, errs := weft(t, "inject", "-q", app); errs != "" {
		t.Error(errs)
	}
	bad := write(t, filepath.Join(dir, "bad.yaml"), `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    ports:
    - containerPort: 15001
`)
	code, out, errs = weft(t, "inject", app, bad)
	if code != 2 || out != "" || !strings.Contains(errs, bad+":8: error") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code, _, errs := weft(t, "inject"); code != 2 || !strings.Contains(errs, "weft inject app.yaml") {
		t.Error(code, errs)
	}
	if code, _, errs := weft(t, "inject", filepath.Join(dir, "none.yaml")); code != 2 || !strings.Contains(errs, "none.yaml") {
		t.Error(code, errs)
	}
}
