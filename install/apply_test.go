package install

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/source/kube"
)

// An uninstall knows all kinds of what the control plane makes for gateways.
func TestUninstallGateways(t *testing.T) {
	for _, k := range gateway.Kinds {
		if !slices.Contains(kinds, dialect.Key{Group: k.Group, Kind: k.Kind}) {
			t.Errorf("%v would be left", k)
		}
	}
}

// After an uninstall nothing of weft's is there, and all of others' is: whatever the control plane made anew before it ended is gone too.
func TestUninstall(t *testing.T) {
	f := newFake(
		object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"weft-root","namespace":"shop","labels":{"app.kubernetes.io/part-of":"weft"}}}`),
		object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mine","namespace":"shop"}}`),
		object(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"weaving","labels":{"app.kubernetes.io/part-of":"weft"}}}`),
		object(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"weft-ca","namespace":"weft-system"}}`),
		object(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"weft-good-3","namespace":"weft-system","labels":{"app.kubernetes.io/part-of":"weft","app.kubernetes.io/managed-by":"weft"}}}`),
		object(t, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"weft-control","namespace":"weft-system"}}`),
		object(t, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"edge","namespace":"shop","labels":{"app.kubernetes.io/part-of":"weft"}}}`),
		object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","annotations":{"`+inject.Injected+`":"v1"}}}`),
		object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"weft-control-1","namespace":"weft-system","labels":{"app.kubernetes.io/name":"weft-control"}}}`),
		object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"weft-node-1","namespace":"weft-system","labels":{"app.kubernetes.io/name":"weft-node"}}}`),
		object(t, `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gateways.example","labels":{"app.kubernetes.io/part-of":"weft"}}}`),
	)
	installed(t, f, "control.ha=true", "inject.cni=true")
	pod := func(name string) dialect.Key {
		return dialect.Key{Kind: "Pod", Namespace: DefaultNamespace, Name: name}
	}
	plan, err := PlanUninstall(t.Context(), f, "")
	if err != nil || len(f.deleted) > 0 {
		t.Fatal(err, f.deleted)
	}
	var l log
	left, err := Uninstall(t.Context(), f, "", l.say, turns(3, func(turn int) {
		f.put(object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"weft-root","namespace":"late","labels":{"app.kubernetes.io/part-of":"weft"}}}`))
		if f.objects[dialect.Key{Group: "rbac.authorization.k8s.io", Kind: "Role", Namespace: DefaultNamespace, Name: daemon}] == nil {
			t.Error("weft-node cannot ask any more whether it is to take the plugin away")
		}
		if turn == 1 {
			delete(f.objects, pod("weft-control-1"))
		} else {
			delete(f.objects, pod("weft-node-1"))
		}
	}))
	if err != nil || !slices.Equal(left.Pods, []string{"shop/web"}) || !slices.Equal(left.Definitions, []string{"gateways.example"}) {
		t.Fatal(left, err)
	}
	if f.deleted[0] != "MutatingWebhookConfiguration weft-inject" {
		t.Errorf("first goes %s", f.deleted[0])
	}
	var rest []string
	for k := range f.objects {
		rest = append(rest, Name(k))
	}
	slices.Sort(rest)
	if want := []string{"ConfigMap shop/mine", "CustomResourceDefinition gateways.example", "Namespace weaving", "Pod shop/web"}; !slices.Equal(rest, want) {
		t.Errorf("there is still %v", rest)
	}
	if !slices.Contains(l.lines, "waiting for 2 pods to end") {
		t.Errorf("%q", l.lines)
	}
	var would []string
	for _, x := range plan {
		would = append(would, Name(x))
	}
	var did []string
	for _, x := range f.deleted {
		if x != "ConfigMap late/weft-root" { // it was not there yet
			did = append(did, x)
		}
	}
	if slices.Sort(would); would[0] == "" || !slices.Equal(would, slices.Sorted(slices.Values(did))) {
		t.Errorf("a plan of %q, and deleted %q", would, did)
	}
}

// A namespace in which others keep something is not taken away, with all in it. What weft and the cluster put there is nobody else's.
func TestUninstallSharedNamespace(t *testing.T) {
	own := func() []map[string]any {
		return []map[string]any{
			object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"gone","namespace":"weft-system","deletionTimestamp":"2026-11-28T12:00:00Z"}}`),
			object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"edge","namespace":"weft-system","labels":{"app.kubernetes.io/part-of":"weft"}}}`),
			object(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"weft-ca","namespace":"weft-system"}}`),
			object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kube-root-ca.crt","namespace":"weft-system"}}`),
			object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio-ca-root-cert","namespace":"weft-system"}}`),
			object(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"elsewhere","namespace":"shop"}}`),
		}
	}
	space := dialect.Key{Kind: "Namespace", Name: DefaultNamespace}
	for kind, version := range map[string]string{"": "", "Pod": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
		"PersistentVolumeClaim": "v1", "Secret": "v1", "ConfigMap": "v1"} {
		f := newFake(own()...)
		installed(t, f)
		var want []string
		if kind != "" {
			f.put(object(t, `{"apiVersion":"`+version+`","kind":"`+kind+`","metadata":{"name":"mine","namespace":"weft-system"}}`))
			want = []string{kind + " weft-system/mine"}
		}
		stays := kind != ""
		if plan, err := PlanUninstall(t.Context(), f, ""); err != nil || slices.Contains(plan, space) == stays || len(plan) < 10 {
			t.Error(kind, plan, err)
		}
		left, err := Uninstall(t.Context(), f, "", (&log{}).say, turns(0, nil))
		if err != nil || (f.objects[space] != nil) != stays || !slices.Equal(left.Others, want) {
			t.Error(kind, left, err)
		}
		if key := (dialect.Key{Kind: "Secret", Namespace: DefaultNamespace, Name: secret}); f.objects[key] != nil {
			t.Error("the authority's key is left")
		}
	}
}

// A control plane that does not end would make anew what is deleted, so nothing more is.
func TestUninstallStuck(t *testing.T) {
	f := newFake(object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"weft-control-1","namespace":"weft-system","labels":{"app.kubernetes.io/name":"weft-control"}}}`))
	installed(t, f)
	_, err := Uninstall(t.Context(), f, "", (&log{}).say, turns(0, nil))
	if !errors.Is(err, errNever) || f.objects[dialect.Key{Kind: "Namespace", Name: DefaultNamespace}] == nil {
		t.Error(err)
	}
}

// An upgrade applies what is rendered, deletes what is not any more, and waits with words.
func TestUpgrade(t *testing.T) {
	f := newFake(object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"weft-root","namespace":"shop","labels":{"app.kubernetes.io/part-of":"weft"}}}`))
	installed(t, f, "control.ha=true", "inject.adopt=true")
	values, err := Installed(t.Context(), f, "")
	if err != nil {
		t.Fatal(err)
	}
	more, err := Read(nil, []string{"control.ha=false"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Version: "v2", Values: Merge(values, more)}
	budget := []string{"PodDisruptionBudget weft-system/weft-control"}
	plan, err := PlanUpgrade(t.Context(), f, o)
	if err != nil || len(f.deleted) > 0 || len(plan.Delete) != 1 || Name(plan.Delete[0]) != budget[0] {
		t.Fatal(plan.Delete, f.deleted, err)
	}
	if last := plan.Apply[len(plan.Apply)-1]; last.Key.Name != given || !strings.Contains(last.Text, "ha: false") {
		t.Error(last.Text)
	}
	var l log
	err = Upgrade(t.Context(), f, o, l.say, turns(3, func(turn int) {
		if turn == 2 {
			f.runs(1)
		}
	}))
	if err != nil {
		t.Fatal(err, l.lines)
	}
	if !slices.Equal(f.deleted, budget) {
		t.Errorf("deleted %v", f.deleted)
	}
	if all := strings.Join(l.lines, "\n"); !strings.Contains(all, "weft-control: 0 of 1 replicas are new\nweft-control: 1 of 1 replicas are available") {
		t.Errorf("%s", all)
	}
	again, err := Installed(t.Context(), f, "")
	if adopt, _ := at[bool](again, "inject", "adopt"); err != nil || !adopt {
		t.Errorf("%v %v", again, err)
	}
	if err := Wait(t.Context(), f, "", l.say, turns(0, nil)); err != nil {
		t.Error(err)
	}
	if values, err = Read(nil, []string{"inject.cni=true"}, nil); err != nil {
		t.Fatal(err)
	}
	set := dialect.Key{Group: "apps", Kind: "DaemonSet", Namespace: DefaultNamespace, Name: daemon}
	l.lines = nil
	err = Upgrade(t.Context(), f, Options{Version: "v2", Values: Merge(o.Values, values)}, l.say, turns(4, func(turn int) {
		f.runs(1)
		if turn > 1 {
			f.objects[set]["status"] = map[string]any{"desiredNumberScheduled": int64(2), "updatedNumberScheduled": int64(2), "numberAvailable": int64(turn - 2)}
		}
	}))
	if all := strings.Join(l.lines, "\n"); err != nil || !strings.Contains(all, "weft-node: available on 0 of 2 nodes\n") || !strings.HasSuffix(all, "weft-node: available on 2 of 2 nodes") {
		t.Errorf("%s, %v", all, err)
	}
	f.deleted = nil
	if err = Upgrade(t.Context(), f, o, l.say, turns(1, func(int) { f.runs(1) })); err != nil || !slices.Contains(f.deleted, "DaemonSet weft-system/weft-node") || !slices.Contains(f.deleted, "ClusterRole weft-node") {
		t.Errorf("%v, %v", f.deleted, err)
	}
	f.put(object(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"weft-control-old","namespace":"weft-system","deletionTimestamp":"2026-11-28T12:00:00Z",
		"labels":{"app.kubernetes.io/name":"weft-control"}}}`))
	gone := func(int) {
		delete(f.objects, dialect.Key{Kind: "Pod", Namespace: DefaultNamespace, Name: "weft-control-old"})
	}
	if err := Wait(t.Context(), f, "", l.say, turns(1, gone)); err != nil || !slices.Contains(l.lines, "weft-control: 1 replicas of before end") {
		t.Errorf("%v, and said %q", err, l.lines)
	}
	f.runs(0)
	if err := Wait(t.Context(), f, "", l.say, turns(0, nil)); !errors.Is(err, errNever) || !strings.Contains(err.Error(), "weft check") {
		t.Error(err)
	}
}

// Whoever asks for the cluster hears the trust domain of the chart, else the one that the control plane tells its proxies.
func TestTrustDomainOf(t *testing.T) {
	f := newFake()
	if _, err := TrustDomain(t.Context(), f, ""); !errors.Is(err, kube.ErrAbsent) {
		t.Error(err)
	}
	installed(t, f)
	if got, err := TrustDomain(t.Context(), f, ""); got != "" || err != nil {
		t.Error(got, err)
	}
	f.put(object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"weft-root","namespace":"shop","labels":{"app.kubernetes.io/part-of":"weft","app.kubernetes.io/managed-by":"weft"}},"data":{"trust-domain":"shop.example"}}`))
	if got, err := TrustDomain(t.Context(), f, ""); got != "shop.example" || err != nil {
		t.Error(got, err)
	}
	f.put(object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"weft-root","namespace":"any","labels":{"app.kubernetes.io/part-of":"weft","app.kubernetes.io/managed-by":"weft"}},"data":{"trust-domain":"b.example"}}`))
	if got, err := TrustDomain(t.Context(), f, ""); got != "" || err == nil || !strings.Contains(err.Error(), "any/weft-root") || !strings.Contains(err.Error(), "shop/weft-root") {
		t.Error("two that differ:", got, err)
	}
	installed(t, f, "trustDomain=chart.example")
	if got, err := TrustDomain(t.Context(), f, ""); got != "chart.example" || err != nil {
		t.Error(got, err)
	}
}
