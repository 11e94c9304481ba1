package install

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/files"
)

var update = flag.Bool("update", false, "write what depends on other packages")

func render(t *testing.T, o Options, settings ...string) map[string]map[string]any {
	t.Helper()
	var err error
	if o.Values, err = Read(nil, settings, nil); err != nil {
		t.Fatal(err)
	}
	objects, err := Render(o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, x := range objects {
		out[Name(x.Key)] = x.Tree
	}
	return out
}

// Everything that can be switched on, so that a change of the chart shows.
func TestGolden(t *testing.T) {
	const golden = "testdata/weft.yaml"
	values, err := Read(nil, []string{"control.ha=true", "inject.adopt=true", "namespace.create=true", "image.registry=registry.example/mesh", "image.pullSecrets={key}", "inject.cni=true"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Render(Options{Version: "v1", Values: values})
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, x := range objects {
		got.WriteString("---\n" + x.Text)
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is not what the chart renders (%v): go test ./install -run TestGolden -update, and git diff shows what has changed", golden, err)
	}
}

// manifestsOf are what helm install makes of a chart in a cluster of these capabilities; nil: Helm's own idea of one.
func manifestsOf(t *testing.T, c *chart.Chart, name string, values map[string]any, known *common.Capabilities) []releaseutil.Manifest {
	t.Helper()
	top, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: name, Namespace: DefaultNamespace, IsInstall: true}, known)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := engine.Render(c, top)
	if err != nil {
		t.Fatal(err)
	}
	_, manifests, err := releaseutil.SortManifests(texts, nil, releaseutil.InstallOrder)
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

// What helm install makes of the chart's folder, read and rendered as Helm does it, are the objects of weft install, but for who says to have
// brought them and the namespace, which Helm makes itself. It is for the same versions of Kubernetes.
func TestHelm(t *testing.T) {
	c, err := loader.LoadDir("chart")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Metadata.KubeVersion, ">="+minimum+".0-0"; got != want { // -0: versions as v1.36.3-eks-1 count too
		t.Errorf("the chart is for Kubernetes %s, and weft check wants %s", got, want)
	}
	const settings = "control.ha=true,inject.cni=true,inject.adopt=true,image.tag=v1"
	values, err := Read(nil, []string{settings}, nil)
	if err != nil {
		t.Fatal(err)
	}
	manifests := manifestsOf(t, c, "mesh", values, nil)
	ours := render(t, Options{}, strings.Split(settings, ",")...)
	for _, m := range manifests {
		x, err := parse(m.Content)
		if err != nil {
			t.Fatal(err)
		}
		want := ours[Name(x.Key)]
		text := strings.ReplaceAll(m.Content, managedBy+": Helm", managedBy+": weft")
		if x, err = parse(text); err != nil || strings.Contains(text, "Helm") || !reflect.DeepEqual(x.Tree, want) {
			t.Errorf("%s by Helm is\n%s\nand by weft install %v (%v)", Name(x.Key), text, want, err)
		}
		delete(ours, Name(x.Key))
	}
	for name := range ours {
		t.Errorf("helm install does not bring %s", name)
	}
}

// cluster says whether objects of one of kinds have no namespace.
func cluster(kind string) bool {
	return slices.Contains([]string{"MutatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding", "GatewayClass", "Namespace"}, kind)
}

// What uninstall and check look for is in every object.
func TestObjects(t *testing.T) {
	objects := render(t, Options{Namespace: "mesh", Version: "v1"}, "control.ha=true", "namespace.create=true", "inject.adopt=true", "inject.cni=true")
	for name, o := range objects {
		key := keyOf(o)
		if text(o, "metadata", "labels", partOf) != ours || text(o, "metadata", "labels", managedBy) != ours ||
			text(o, "metadata", "labels", "app.kubernetes.io/version") != "v1" {
			t.Errorf("%s has labels %v", name, o["metadata"])
		}
		if !slices.ContainsFunc(kinds, func(k dialect.Key) bool { return k.Group == key.Group && k.Kind == key.Kind }) {
			t.Errorf("%s: uninstall does not know the kind", name)
		}
		if in := key.Namespace; cluster(key.Kind) != (in == "") || in != "" && in != "mesh" {
			t.Errorf("%s is in namespace %q", name, in)
		}
		b, _ := yaml.Marshal(o)
		if bytes.Contains(b, []byte(DefaultNamespace)) {
			t.Errorf("%s speaks of %s", name, DefaultNamespace)
		}
	}
	for _, want := range []string{"PodDisruptionBudget mesh/weft-control", "NetworkPolicy mesh/weft-control", "Namespace mesh"} {
		if objects[want] == nil {
			t.Errorf("there is no %s", want)
		}
	}
	less := render(t, Options{}, "networkPolicy.enabled=false", "gateways.enabled=false")
	for _, gone := range []string{"PodDisruptionBudget weft-system/weft-control", "NetworkPolicy weft-system/weft-control", "Namespace weft-system"} {
		if less[gone] != nil {
			t.Errorf("there is a %s", gone)
		}
	}
	if n := count(less["Deployment weft-system/weft-control"], "spec", "replicas"); n != 1 {
		t.Errorf("%d replicas", n)
	}
	if n := count(objects["Deployment mesh/weft-control"], "spec", "replicas"); n != 2 {
		t.Errorf("%d replicas", n)
	}
	if n := count(render(t, Options{}, "control.ha=true", "control.replicas=3")["Deployment weft-system/weft-control"], "spec", "replicas"); n != 3 {
		t.Errorf("%d replicas", n)
	}
}

// The control plane fits into the restricted level of Pod security (kubernetes.io/docs/concepts/security/pod-security-standards).
func TestRestricted(t *testing.T) {
	d := render(t, Options{})["Deployment weft-system/weft-control"]
	spec, _ := at[map[string]any](d, "spec", "template", "spec")
	b, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict(b, &pod); err != nil {
		t.Fatal(err)
	}
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%+v", s)
	}
	for _, c := range pod.Containers {
		if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("%s: %+v", c.Name, s)
		}
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil }) {
		t.Errorf("%+v", pod)
	}
}

// Weft-node, which has a node's directories, has no capability, and may change nothing in the cluster.
func TestNode(t *testing.T) {
	objects := render(t, Options{}, "inject.cni=true", "node.cniBin=/usr/lib/cni", "node.seLinuxOptions.type=spc_t")
	spec, _ := at[map[string]any](objects["DaemonSet weft-system/weft-node"], "spec", "template", "spec")
	b, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict(b, &pod); err != nil {
		t.Fatal(err)
	}
	s := pod.Containers[0].SecurityContext
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 ||
		s.Privileged != nil || s.SELinuxOptions.Type != "spc_t" || pod.HostPID || pod.HostIPC {
		t.Errorf("%+v", s)
	}
	var paths []string
	for _, v := range pod.Volumes {
		paths = append(paths, v.HostPath.Path)
	}
	if want := []string{"/usr/lib/cni", "/etc/cni/net.d"}; !slices.Equal(paths, want) {
		t.Errorf("it has %v", paths)
	}
	for _, role := range []string{"Role weft-system/weft-node", "ClusterRole weft-node"} {
		rules, _ := at[[]any](objects[role], "rules")
		for _, r := range rules {
			if verbs, _ := at[[]any](r, "verbs"); len(verbs) != 1 || verbs[0] != "get" {
				t.Errorf("%s: %v", role, r)
			}
		}
	}
	for name := range render(t, Options{}) {
		if strings.HasSuffix(name, "weft-node") {
			t.Errorf("without the plugin there is %s", name)
		}
	}
}

// No webhook is asked about the control plane's own pods, or those of the cluster: else none of them could start without it.
func TestWebhooksSpare(t *testing.T) {
	w := render(t, Options{Namespace: "mesh"}, "inject.adopt=true", "inject.failurePolicy=Ignore")["MutatingWebhookConfiguration weft-inject"]
	hooks, _ := at[[]any](w, "webhooks")
	names := map[string]bool{}
	for _, h := range hooks {
		names[text(h, "name")] = true
		list, _ := at[[]any](h, "namespaceSelector", "matchExpressions")
		spared := slices.ContainsFunc(list, func(e any) bool {
			values, _ := at[[]any](e, "values")
			return text(e, "key") == "kubernetes.io/metadata.name" && text(e, "operator") == "NotIn" && slices.Contains(values, any("mesh")) &&
				slices.Contains(values, any("kube-system"))
		})
		if !spared || text(h, "sideEffects") != "None" || text(h, "failurePolicy") != "Ignore" || text(h, "clientConfig", "service", "namespace") != "mesh" {
			t.Errorf("%v", h)
		}
		if _, set := at[any](h, "clientConfig", "caBundle"); set {
			t.Errorf("%s: applying it again would take away what the leader wrote", text(h, "name"))
		}
	}
	if len(names) != 7 || len(hooks) != 7 {
		t.Errorf("%v", names)
	}
}

// hook is a webhook by whom it is asked about.
type hook struct {
	name              string
	namespace, object labels.Selector
	noted             bool // pods alone that have the annotation
}

func hooksOf(t *testing.T, settings string) (out []hook) {
	t.Helper()
	list, _ := at[[]any](render(t, Options{}, settings)["MutatingWebhookConfiguration weft-inject"], "webhooks")
	for _, h := range list {
		selector := func(field string) labels.Selector {
			b, err := yaml.Marshal(h.(map[string]any)[field])
			var s metav1.LabelSelector
			if err == nil {
				err = yaml.UnmarshalStrict(b, &s)
			}
			if err != nil {
				t.Fatal(err)
			}
			of, err := metav1.LabelSelectorAsSelector(&s)
			if err != nil {
				t.Fatal(err)
			}
			return of
		}
		conditions, _ := at[[]any](h, "matchConditions")
		out = append(out, hook{text(h, "name"), selector("namespaceSelector"), selector("objectSelector"), len(conditions) > 0})
	}
	return out
}

// either are all that one of two words, both or neither say.
func either(a, b []map[string]string) (out []map[string]string) {
	for _, x := range append(a, nil) {
		for _, y := range append(b, nil) {
			m := map[string]string{}
			maps.Copy(m, x)
			maps.Copy(m, y)
			out = append(out, m)
		}
	}
	return out
}

// TestWebhooksAsk: about each pod that is to be in the mesh the API server asks, whatever words of its own and of its namespace say so; of a pod
// that nobody has asked for it does not, but for Linkerd's sake, nor of one that declines.
func TestWebhooksAsk(t *testing.T) {
	words := func(key string, values ...string) (out []map[string]string) {
		for _, v := range values {
			out = append(out, map[string]string{key: v})
		}
		return out
	}
	own, revision := words(inject.Label, "enabled", "disabled", "odd"), words("istio.io/rev", "1-31")
	nsLabels, nsNotes := either(own, append(words("istio-injection", "enabled", "disabled"), revision...)), append(words("linkerd.io/inject", "enabled", "disabled"), nil)
	podLabels := either(own, append(words("sidecar.istio.io/inject", "true", "false"), revision...))
	podNotes := either(own, append(words("linkerd.io/inject", "enabled", "disabled"), words("sidecar.istio.io/inject", "true")...))
	for _, adopt := range []bool{false, true} {
		hooks := hooksOf(t, fmt.Sprint("inject.adopt=", adopt))
		o, wanted := inject.Options{Namespace: DefaultNamespace, Adopt: adopt}, 0
		for i := range len(nsLabels) * len(nsNotes) * len(podLabels) * len(podNotes) {
			pick := func(list []map[string]string) map[string]string {
				x := list[i%len(list)]
				i /= len(list)
				return x
			}
			namespace := inject.Namespace{Name: "shop", Labels: pick(nsLabels), Annotations: pick(nsNotes)}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: pick(podLabels), Annotations: pick(podNotes)}}
			in := maps.Clone(namespace.Labels)
			in["kubernetes.io/metadata.name"] = namespace.Name
			var by []string
			for _, h := range hooks {
				if _, noted := pod.Annotations[inject.Label]; (noted || !h.noted) && h.namespace.Matches(labels.Set(in)) && h.object.Matches(labels.Set(pod.Labels)) {
					by = append(by, h.name)
				}
			}
			wants := inject.Wants(pod, namespace, o)
			if wants {
				wanted++
			}
			silent := len(namespace.Labels)+len(namespace.Annotations)+len(pod.Labels)+len(pod.Annotations) == 0 && !slices.Equal(by, []string{"linkerd.inject.weft.dev"})
			if wants && len(by) == 0 || len(by) > 0 && (silent || pod.Labels[inject.Label] == "disabled") {
				t.Fatalf("adopt %v: a pod with labels %v and annotations %v in %+v is wanted: %v; asked are %v", adopt, pod.Labels, pod.Annotations, namespace, wants, by)
			}
		}
		if wanted == 0 {
			t.Errorf("adopt %v: nobody is wanted", adopt)
		}
	}
}

func TestValues(t *testing.T) {
	for setting, want := range map[string]string{
		"control.replicas=0":             "replicas",
		"inject.failurePolicy=Maybe":     "failurePolicy",
		"inject.drain=5 minutes":         "drain",
		"controls.replicas=2":            "controls",
		"trustDomain=spiffe://x":         "trustDomain",
		"inject.accessLog=xml":           "accessLog",
		"networkPolicy.enabled=perhaps":  "enabled",
		"inject.timeoutSeconds=31":       "timeoutSeconds",
		"image.pullPolicy=Sometimes":     "pullPolicy",
		"podDisruptionBudget.minimum=50": "minimum",
		"node.cniBin=opt":                "cniBin",
		"control.replica=2,inject.x=1":   "the values: control.replica: there is no such value\ninject.x: there is no such value\nweft install --show-values",
		"control=null":                   "control: null takes away",
		"control=2":                      "control: got number, want object",
		"gateways.replicas=5-2":          "gateways.replicas: \"5-2\" is no number of replicas",
		"gateways.replicas=0":            "gateways.replicas",
		"gateways.cpu=lots":              "gateways.cpu: \"lots\" is no quantity",
		"inject.resources.limits.cpu=x":  "the values of inject and image: ",
	} {
		values, err := Read(nil, []string{setting}, nil)
		if err == nil {
			_, err = Render(Options{Values: values})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v", setting, err)
		}
	}
	got, err := Read([]File{{"a", []byte("control: {replicas: 2, extraArgs: [a]}")}, {"b", []byte("# nothing\n---\ncontrol: {replicas: 3}\n---\n")}}, []string{"control.ha=true", "image.tag=1"}, []string{"image.tag=2"})
	if b, _ := yaml.Marshal(got); err != nil || string(b) != "control:\n  extraArgs:\n  - a\n  ha: true\n  replicas: 3\nimage:\n  tag: \"2\"\n" {
		t.Errorf("%s %v", b, err)
	}
	for text, want := range map[string]string{
		"# a\na: [":              "--values x.yaml: in the document that begins at line 1: yaml: line 2",
		"a: {b: 1, b: 2}":        `key "b" already set`,
		"- a":                    "line 1: values are NAME: VALUE",
		"text":                   "values are NAME: VALUE",
		"a: 1\n---\n\n---\nb: 2": "x.yaml: line 4: a second document begins",
	} {
		if got, err := Read([]File{{"x.yaml", []byte(text)}}, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if b, err := Defaults(); err != nil || !strings.Contains(string(b), "\ncontrol:\n  replicas: 1\n") {
		t.Error(string(b), err)
	}
}

// weft inject and the webhook know the same.
func TestInjection(t *testing.T) {
	values, err := Read(nil, []string{"inject.adopt=true", "image.registry=registry.example/", "inject.drain=7s", "inject.failurePolicy=Ignore"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Injection(Options{Namespace: "mesh", Version: "v1", Values: values})
	if err != nil || o.Image != "registry.example/weft:v1" || o.Version != "v1" || !o.Adopt || !o.Ignore || o.Drain.Seconds() != 7 ||
		o.Control != "weft-control.mesh.svc:15012" || o.Namespace != "mesh" || o.TrustDomain != "" || o.Resources.Requests.Memory().String() != "20Mi" {
		t.Errorf("%+v, %v", o, err)
	}
}

// The chart says a trust domain to the control plane and to injection if it is given one, and else leaves it to the authority's Secret.
func TestTrustDomain(t *testing.T) {
	for _, domain := range []string{"", "shop.example"} {
		values, err := Read(nil, []string{"trustDomain=" + domain}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Version: "v1", Values: values}
		objects, err := Render(o)
		if err != nil {
			t.Fatal(err)
		}
		says := false
		for _, x := range objects {
			says = says || x.Key.Kind == "Deployment" && strings.Contains(x.Text, "--trust-domain=shop.example\n")
			if domain == "" && strings.Contains(x.Text, "--trust-domain") {
				t.Errorf("%s", x.Text)
			}
		}
		if in, err := Injection(o); says != (domain != "") || in.TrustDomain != domain || err != nil {
			t.Errorf("%q: the Deployment says it: %v; injection %q, %v", domain, says, in.TrustDomain, err)
		}
	}
}

// role is what the control plane may, by group and resource.
func role(t *testing.T, settings ...string) map[[2]string][]string {
	t.Helper()
	out := map[[2]string][]string{}
	rules, _ := at[[]any](render(t, Options{}, settings...)["ClusterRole weft-control"], "rules")
	for _, r := range rules {
		groups, _ := at[[]any](r, "apiGroups")
		resources, _ := at[[]any](r, "resources")
		verbs, _ := at[[]any](r, "verbs")
		names, _ := at[[]any](r, "resourceNames")
		for _, g := range groups {
			for _, res := range resources {
				for _, v := range verbs {
					if g == "*" || res == "*" || v == "*" {
						t.Errorf("%v allows everything", r)
					}
					word := v.(string)
					if len(names) > 0 {
						word += " of some"
					}
					key := [2]string{g.(string), res.(string)}
					out[key] = append(out[key], word)
				}
			}
		}
	}
	return out
}

// readKinds are those that source/kube lists and watches, by group.
func readKinds() (read, status map[string][]string) {
	read, status = map[string][]string{}, map[string][]string{}
	for _, k := range all.Kinds("cluster.local") {
		if _, none := k.Ignored[""]; none && k.Lower == nil || k.Group == "" && (k.Name == "Endpoints" || k.Name == "Secret" || k.Name == "ConfigMap") {
			continue // Secrets and ConfigMaps are for gateways, and have a rule of their own
		}
		name := plural(k.Name)
		read[k.Group] = append(read[k.Group], name)
		if k.Status != nil {
			status[k.Group] = append(status[k.Group], name+"/status")
		}
	}
	return read, status
}

// The chart lets the control plane read the kinds of all dialects, write their statuses, and do nothing else to them.
func TestKinds(t *testing.T) {
	const file = "chart/files/kinds.yaml"
	read, status := readKinds()
	type rule struct {
		Group     string   `json:"group"`
		Resources []string `json:"resources"`
	}
	rules := func(of map[string][]string) (out []rule) {
		for group, list := range of {
			slices.Sort(list)
			out = append(out, rule{group, slices.Compact(list)})
		}
		slices.SortFunc(out, func(a, b rule) int { return strings.Compare(a.Group, b.Group) })
		return out
	}
	body, err := yaml.Marshal(map[string][]rule{"read": rules(read), "status": rules(status)})
	if err != nil {
		t.Fatal(err)
	}
	want := "# The kinds that dialects read, and whose statuses are written: made from the readers by make docs.\n" + string(body)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return // what is embedded is of before
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is behind the readers (%v): run make docs", file, err)
	}
	may := role(t, "gateways.enabled=false")
	for group, list := range read {
		for _, name := range list {
			if got := may[[2]string{group, name}]; !slices.Equal(got, []string{"get", "list", "watch"}) {
				t.Errorf("%s of %q: %v", name, group, got)
			}
		}
	}
	if got := may[[2]string{"", "secrets"}]; got != nil {
		t.Errorf("without gateways it may %v all secrets", got)
	}
	if got := may[[2]string{"", "configmaps"}]; slices.Contains(got, "list") || slices.Contains(got, "get") {
		t.Errorf("without gateways it may %v all configmaps", got)
	}
	for key, verbs := range may {
		for _, v := range verbs {
			writes := !slices.Contains([]string{"get", "list", "watch"}, v)
			if writes && !strings.HasSuffix(v, " of some") && !strings.HasSuffix(key[1], "/status") && key[1] != "tokenreviews" {
				t.Errorf("it may %s every one of %v", v, key)
			}
		}
	}
}

// What gateways add, and nothing else: to make and take away the objects of their proxies, and to read the Secrets of their certificates.
func TestGatewayRights(t *testing.T) {
	less, more := role(t, "gateways.enabled=false"), role(t)
	makes := []string{"get", "create", "patch", "delete"}
	want := map[[2]string][]string{
		{"apps", "deployments"}: makes, {"", "services"}: makes, {"", "serviceaccounts"}: makes, {"autoscaling", "horizontalpodautoscalers"}: makes,
		{"policy", "poddisruptionbudgets"}: makes, {"", "secrets"}: {"list", "watch"}, {"", "configmaps"}: {"list", "watch"}, {"gateway.networking.k8s.io", "gateways/finalizers"}: {"update"},
		{"gateway.networking.k8s.io", "gatewayclasses"}: {"create of some", "patch of some"},
		{"networking.k8s.io", "ingressclasses"}:         {"create of some", "patch of some"},
	}
	for key, verbs := range more {
		added := slices.Clone(verbs)
		for _, v := range less[key] {
			if i := slices.Index(added, v); i >= 0 {
				added = slices.Delete(added, i, i+1)
			}
		}
		if !slices.Equal(added, want[key]) {
			t.Errorf("of %v: %v, want %v", key, added, want[key])
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// The plurals are those of the definitions themselves.
func TestPlurals(t *testing.T) {
	n := 0
	for module, pattern := range map[string]string{"sigs.k8s.io/gateway-api": "config/crd/*/*.yaml", "istio.io/api": "kubernetes/*.gen.yaml"} {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(module, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range files.Documents(data) {
				x, err := parse(string(d.Text))
				if err != nil || x.Key.Kind != "CustomResourceDefinition" {
					continue
				}
				n++
				if got, want := plural(text(x.Tree, "spec", "names", "kind")), text(x.Tree, "spec", "names", "plural"); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		}
	}
	if n < 25 {
		t.Errorf("%d definitions", n)
	}
}
