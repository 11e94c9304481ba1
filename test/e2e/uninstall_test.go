package e2e

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// weft is installed with everything on, used, and uninstalled: the API server has then what it had before, to the field, but for the kinds
// that weft brought, which it names and leaves to its user.
func TestUninstall(t *testing.T) {
	c := cluster.Shared(t)
	shop := c.Namespace("e2e-uninstall", "weft.dev/inject=enabled")
	c.Apply(shop, app("callee", "echo", 1))
	c.Ready(shop, "deploy/callee")
	settled(c, shop)
	before := everything(t, c)

	c.Install("--ha", "--adopt", "--crds", "gateway-api,istio,linkerd,cilium", "--set", "gateways.service=ClusterIP")
	used := c.Namespace("e2e-uninstall-used", "weft.dev/inject=enabled")
	c.Apply(used, app("callee", "echo", 1)+app("caller", "caller", 1)+"---"+strict+"---"+rolloutGateway)
	c.Kubectl("wait", "-n", used, "--for=condition=Programmed", "gateway/edge", "--timeout=90s")
	c.Ready(used, "deploy/callee", "deploy/caller")
	if a := c.Call(used, "deploy/caller", "http://callee/"); a.Status != 200 {
		t.Errorf("%+v", a)
	}
	c.Kubectl("delete", "namespace", used)
	said := weft(t, c, []string{"uninstall"}, "weft is uninstalled")
	brought := strings.Fields(c.Kubectl("get", "customresourcedefinitions", "-l", "app.kubernetes.io/part-of=weft", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(brought) == 0 {
		t.Error("no kinds were brought")
	}
	for _, name := range brought {
		if !strings.Contains(said, name) {
			t.Errorf("weft uninstall does not say that %s is left:\n%s", name, said)
		}
	}
	c.Kubectl("delete", "customresourcedefinitions", "-l", "app.kubernetes.io/part-of=weft")
	c.Kubectl("wait", "--for=delete", "namespace/weft-system", "--timeout=60s")

	c.Eventually("all is as it was", func() error { return different(before, everything(t, c)) })
}

// everything is what the API server has, by kind and name, without what changes by itself.
func everything(t *testing.T, c *cluster.Test) map[string]string {
	t.Helper()
	kinds := strings.Fields(c.Kubectl("api-resources", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(k string) bool {
		return strings.HasPrefix(k, "events") || k == "leases.coordination.k8s.io" || k == "componentstatuses"
	})
	var all struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(c.Kubectl("get", strings.Join(kinds, ","), "-A", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range all.Items {
		meta := o["metadata"].(map[string]any)
		name, _ := meta["name"].(string)
		namespace, _ := meta["namespace"].(string)
		for _, f := range []string{"resourceVersion", "managedFields", "generation"} {
			delete(meta, f)
		}
		delete(o, "status")
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out[o["kind"].(string)+" "+namespace+"/"+name] = string(b)
	}
	for lease := range strings.FieldsSeq(c.Kubectl("get", "leases", "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}`)) {
		out["Lease "+lease] = ""
	}
	return out
}

// different names what is in one and not the same in the other.
func different(before, after map[string]string) error {
	var lines []string
	for name, was := range before {
		if is, ok := after[name]; !ok {
			lines = append(lines, name+" is gone")
		} else if is != was {
			lines = append(lines, name+" was "+was+" and is "+is)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			lines = append(lines, name+" is left")
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return errors.New(strings.Join(lines, "\n"))
}
