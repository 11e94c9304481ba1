package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/explain"
)

// each walks the commands that do something.
func each(c *cobra.Command, f func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		each(sub, f)
	}
	if c.Runnable() {
		f(c)
	}
}

// Every command says what it is, and its examples are right.
func TestHelp(t *testing.T) {
	each(Root(), func(c *cobra.Command) {
		code, out, errs := weft(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help: exit code %d: %s", c.CommandPath(), code, errs)
		}
		if c.Short == "" || c.Name() != "version" && c.Example == "" {
			t.Errorf("%s has no example, or no words at all", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(line, "#")
			line, _, _ = strings.Cut(line, "|")
			args := words(line)
			if len(args) == 0 {
				continue
			}
			if args[0] != "weft" {
				t.Errorf("%s: example %q is no command of weft", c.CommandPath(), line)
				continue
			}
			found, rest, err := Root().Find(args[1:])
			if err != nil || found.CommandPath() != c.CommandPath() {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			} else if err := found.ValidateRequiredFlags(); err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

// words splits as a shell does, single quotes only.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

func TestWrongUse(t *testing.T) {
	for args, says := range map[string]string{
		"nothing":                               `unknown command "nothing"`,
		"status --nothing":                      "unknown flag: --nothing; weft status --help lists them",
		"check --wait 1":                        `invalid argument "1" for "--wait"`,
		"status more":                           `"more": weft status takes flags only; weft status --help lists them`,
		"analyze":                               "files or directories",
		"test":                                  "transcripts",
		"run -- true":                           "name --service, as: weft run --service reviews",
		"explain":                               "name --from and --to, as: weft explain --from productpage --to http://",
		"explain --from a":                      "name --to, as: weft explain",
		"explain --from a --to b":               "--to",
		"explain --from a --to ftp://b":         "http, grpc or tcp",
		"explain --from a --to http://b -H bad": "-H",
		"explain --injected --from a --to http://b": "name files with them by -f",
	} {
		code, out, errs := weft(t, strings.Fields(args)...)
		if code != 2 || out != "" || !strings.HasPrefix(errs, "weft: ") || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("weft %s: exit code %d, %q, want one line that says %q", args, code, errs, says)
		}
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := weft(t, "version"); code != 0 || !strings.HasPrefix(out, "weft "+Version) {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestAnalyze(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.yaml"), reviews)
	warn := write(t, filepath.Join(dir, "warn.yaml"), reviews+"---\napiVersion: example.org/v1\nkind: Unheard\nmetadata: {name: x}\n")
	bad := write(t, filepath.Join(dir, "bad.yaml"), strings.ReplaceAll(reviews, "418", "lots"))
	broken := write(t, filepath.Join(dir, "broken.yaml"), "kind: [")
	empty := write(t, filepath.Join(dir, "empty.yaml"), "# nothing\n")
	for _, x := range []struct {
		what string
		args []string
		code int
		says []string
	}{
		{"clean", []string{good}, 0, []string{good + ":2: Service default/reviews: accepted", "VirtualService default/reviews: accepted", "2 objects, 2 accepted; 0 errors"}},
		{"a warning", []string{warn}, 0, []string{"Unheard", "warning", "3 objects, 2 accepted; 0 errors, 1 warning, 0 notes"}},
		{"an error", []string{bad}, 1, []string{bad + ":7: VirtualService default/reviews: rejected", "spec.http[0].fault.abort.httpStatus: ", "2 objects, 1 accepted; 1 error,"}},
		{"not YAML", []string{broken}, 1, []string{broken + ":1: error: ", "0 objects, 0 accepted; 1 error,"}},
		{"not YAML, after an object", []string{good, broken}, 1, []string{"accepted\n" + broken + ":1: error: "}},
		{"quietly", []string{"-q", good}, 0, []string{"2 objects, 2 accepted"}},
		{"no object", []string{empty}, 2, []string{"there is no object"}},
		{"no file", []string{filepath.Join(dir, "none")}, 2, []string{"no such file"}},
		{"one that is there and one that is not", []string{good, filepath.Join(dir, "none")}, 2, []string{"no such file"}},
		{"another format", []string{"-o", "xml", good}, 2, []string{"table, json or yaml"}},
	} {
		code, out, errs := weft(t, append([]string{"analyze"}, x.args...)...)
		if code != x.code {
			t.Errorf("%s: exit code %d, want %d", x.what, code, x.code)
		}
		contains(t, x.what, out+errs, x.says...)
		if x.what == "quietly" && strings.Contains(out, "good.yaml") {
			t.Errorf("%s: %s", x.what, out)
		}
	}
}

// What kubectl get -o yaml prints may come in by a pipe, among files, or for explain; in findings it is the file "-".
func TestStdin(t *testing.T) {
	good := write(t, filepath.Join(t.TempDir(), "good.yaml"), reviews)
	bad := strings.ReplaceAll(reviews, "418", "lots")
	pods := `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "status": {"phase": "Running", "podIP": "10.0.0.7"}}]}`
	for _, x := range []struct {
		what, in string
		args     []string
		says     []string
	}{
		{"clean", reviews, []string{"analyze", "-"}, []string{"-:2: Service default/reviews: accepted", "2 objects, 2 accepted; 0 errors"}},
		{"a List in JSON", pods, []string{"analyze", "-"}, []string{"Pod shop/web: accepted"}},
		{"an error", bad, []string{"analyze", "-"}, []string{"-:7: VirtualService default/reviews: rejected", "-:14: error: spec.http[0].fault.abort.httpStatus"}},
		{"not YAML", "kind: [", []string{"analyze", "-"}, []string{"-:1: error: "}},
		{"named twice", reviews, []string{"analyze", "-", "-"}, []string{"2 objects, 2 accepted; 0 errors"}},
		{"after a file", bad, []string{"analyze", good, "-"}, []string{good + ":2: Service default/reviews: rejected", "-:7: error: the object at " + good + ":7 has the same name, is read first"}},
		{"before a file", reviews, []string{"analyze", "-", good}, []string{"-:2: Service default/reviews: rejected", good + ":2: error: the object at -:2 has the same name"}},
		{"nothing", "", []string{"analyze", "-"}, []string{"there is no object in [-]"}},
		{"too much", strings.Repeat("#", 9<<20), []string{"analyze", "-"}, []string{"error: the file has 9437184 bytes"}},
		{"explain", pods + "\n---\n" + reviews, []string{"explain", "-f", "-", "--from", "shop/web", "--to", "http://reviews.default:9080/"}, []string{"because mesh default, no endpoint"}},
	} {
		var out bytes.Buffer
		root := Root()
		root.SetArgs(x.args)
		root.SetIn(strings.NewReader(x.in))
		root.SetOut(&out)
		root.SetErr(&out)
		if err := root.Execute(); err != nil {
			fmt.Fprintln(&out, err)
		}
		contains(t, x.what, out.String(), x.says...)
	}
}

func TestAnalyzeForPrograms(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "bad.yaml"), strings.ReplaceAll(reviews, "418", "lots"))
	code, out, _ := weft(t, "analyze", "-o", "json", path)
	var got []Verdict
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || len(got) != 2 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if v := got[0]; v.Object != "Service default/reviews" || !v.Accepted || v.File != path || v.Line != 2 || len(v.Findings) > 0 {
		t.Errorf("%+v", v)
	}
	f := got[1].Findings
	if got[1].Accepted || len(f) != 1 || f[0].Level != "error" || f[0].Line != 14 || f[0].Field != "spec.http[0].fault.abort.httpStatus" || f[0].Text == "" ||
		f[0].Object != "VirtualService default/reviews (istio)" {
		t.Errorf("%+v", got[1])
	}
	if _, out, _ := weft(t, "analyze", "-q", "-o", "json", path); strings.Contains(out, `"object": "Service default`) {
		t.Errorf("quietly: %s", out)
	}
	if _, out, _ := weft(t, "analyze", "-o", "yaml", path); !strings.Contains(out, "- accepted: true\n") {
		t.Errorf("YAML: %s", out)
	}
}

// Kinds of one name in two dialects have their own findings.
func TestAnalyzeTellsDialectsApart(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "two.yaml"), `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: x}
spec: {action: PERMIT}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: x}
spec: {targetRef: {kind: Namespace, name: default}, requiredAuthenticationRefs: [{kind: ServiceAccount, name: default}]}
`)
	_, out, _ := weft(t, "analyze", "-o", "json", path)
	var got []Verdict
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 2 {
		t.Fatal(err, out)
	}
	for _, v := range got {
		if want := v.Line != 2; v.Accepted != want {
			t.Errorf("%+v, want accepted %v", v, want)
		}
	}
}

const transcriptText = `-- a.yaml --` + reviews + `-- workloads --
frontend
reviews ports=9080
-- calls --
from frontend GET http://reviews:9080/ => 200 reviews
from frontend GET http://reviews:9080/ end-user=jason => 418 because VirtualService default/reviews
`

func TestTest(t *testing.T) {
	dir := t.TempDir()
	good, bad := write(t, filepath.Join(dir, "good.txtar"), transcriptText), write(t, filepath.Join(dir, "bad.txtar"), strings.ReplaceAll(transcriptText, "=> 418", "=> 200"))
	none := write(t, filepath.Join(dir, "none.txtar"), "nothing at all")
	for _, x := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{good}, 0, []string{"2 passed, 0 failed"}},
		{[]string{good, bad}, 1, []string{"bad.txtar", "418", "3 passed, 1 failed"}},
		{[]string{none}, 2, []string{"nothing would be tested; see weft test --help"}},
		{[]string{filepath.Join(dir, "missing.txtar")}, 2, []string{"no such file"}},
	} {
		code, out, errs := weft(t, append([]string{"test"}, x.args...)...)
		if code != x.code {
			t.Errorf("%q: exit code %d, want %d", x.args, code, x.code)
		}
		contains(t, fmt.Sprint(x.args), out+errs, x.says...)
	}
}

const pods = `
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, labels: {app: frontend}}
spec: {serviceAccountName: frontend}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: [{name: c, ports: [{containerPort: 9080}]}]}
status: {phase: Running, podIP: 10.0.0.2, conditions: [{type: Ready, status: "True"}]}
`

// A share is said once, in front of each way that a call may go.
func TestExplainShares(t *testing.T) {
	txtar := write(t, filepath.Join(t.TempDir(), "a.txtar"), `-- mesh.yaml --
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - fault: {abort: {percentage: {value: 25}, httpStatus: 418}}
    route: [{destination: {host: reviews}}]
-- workloads --
frontend
reviews
`)
	code, out, errs := weft(t, "explain", "-f", txtar, "--from", "frontend", "--to", "http://reviews/")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	contains(t, "explain", out, "25% of calls: 418 reviews because", "75% of calls: 200 reviews because")
}

// Of a cluster whose pods are not in the mesh yet, explain says on request what would be if they were; not of those that decline.
func TestExplainInjected(t *testing.T) {
	pod := func(name, more string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: %s%s}}\nspec: {containers: [{name: app, ports: [{containerPort: 80}]}]}\n"+
			"status: {phase: Running, podIP: 10.1.0.%d, conditions: [{type: Ready, status: \"True\"}]}\n", name, name, more, len(name))
	}
	yaml := write(t, filepath.Join(t.TempDir(), "cluster.yaml"), `apiVersion: v1
kind: Service
metadata: {name: api}
spec: {clusterIP: 10.0.0.1, selector: {app: api}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: aside}
spec: {clusterIP: 10.0.0.2, selector: {app: aside}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: api}
spec: {selector: {matchLabels: {app: api}}, rules: [{from: [{source: {namespaces: [default]}}]}]}
`+pod("api", "")+pod("web1", "")+pod("aside", ", weft.dev/inject: disabled"))
	for _, x := range []struct {
		to   string
		args []string
		want string
	}{
		{"api", nil, "it has no proxy, so nothing judges the call"},
		{"api", []string{"--injected"}, "200 api because AuthorizationPolicy default/api"},
		{"aside", []string{"--injected"}, "it has no proxy, so nothing judges the call"},
	} {
		_, out, errs := weft(t, append([]string{"explain", "-f", yaml, "--from", "web1", "--to", "http://" + x.to + "/"}, x.args...)...)
		contains(t, x.to+strings.Join(x.args, ""), out+errs, x.want)
	}
}

// Explain says the same of a call, whoever it asks: a transcript, files with Pods in them, or the running control plane.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	txtar := write(t, filepath.Join(dir, "a.txtar"), transcriptText)
	yaml := write(t, filepath.Join(dir, "a.yaml"), reviews+pods)
	p := serve(t, reviews)
	p.register(t, "frontend", nil)
	p.register(t, "reviews", nil)
	for what, from := range map[string][]string{"a transcript": {"-f", txtar}, "files": {"-f", yaml}, "the control plane": {"--state", p.state}} {
		ask := append([]string{"explain", "--from", "frontend", "--to", "http://reviews:9080/x"}, from...)
		code, out, errs := weft(t, append(ask, "-H", "end-user: jason")...)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", what, code, errs)
		}
		contains(t, what, out, "100% of calls: 418", "caller", "VirtualService default/reviews http[0]", "(istio)")
		_, out, _ = weft(t, ask...)
		contains(t, what, out, "200 reviews", "VirtualService default/reviews http[1]")
		if strings.Contains(out, "not VirtualService") {
			t.Errorf("%s: what was passed over is told unasked: %s", what, out)
		}
		_, out, _ = weft(t, append(ask, "--considered")...)
		contains(t, what, out, "not VirtualService default/reviews http[0]")
		_, out, _ = weft(t, append(ask, "-o", "json")...)
		var branches []explain.Branch
		if err := json.Unmarshal([]byte(out), &branches); err != nil || len(branches) != 1 || branches[0].Share != 1 {
			t.Errorf("%s: %v: %s", what, err, out)
		}
		code, _, errs = weft(t, append([]string{"explain", "--from", "stranger", "--to", "http://reviews:9080/"}, from...)...)
		if code != 2 || !strings.Contains(errs, "stranger") {
			t.Errorf("%s: from nobody: exit code %d: %s", what, code, errs)
		}
	}
	for _, args := range [][]string{{"-f", txtar, "-f", yaml}, {"-f", filepath.Join(dir, "none.yaml")}, {"-f", filepath.Join(dir, "none.txtar")}} {
		if code, _, errs := weft(t, append([]string{"explain", "--from", "a", "--to", "http://b"}, args...)...); code != 2 || errs == "" {
			t.Errorf("%q: exit code %d: %s", args, code, errs)
		}
	}
}

// Of a call from outside, explain asks for the address where a policy does, whoever it asks.
func TestExplainFromOutside(t *testing.T) {
	const policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: near}\n" +
		"spec: {rules: [{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}]}\n"
	txtar := write(t, filepath.Join(t.TempDir(), "a.txtar"), "-- a.yaml --\n"+policy+"-- workloads --\nreviews ports=9080\n")
	p := serve(t, policy)
	p.register(t, "reviews", nil)
	for what, from := range map[string][]string{"a transcript": {"-f", txtar}, "the control plane": {"--state", p.state}} {
		for _, x := range []struct {
			args []string
			code int
			says string
		}{
			{[]string{"--from", "outside"}, 2, "--at ADDRESS"},
			{[]string{"--from", "outside", "--at", "192.0.2.7"}, 0, "200 because AuthorizationPolicy default/near rules[0]"},
			{[]string{"--from", "outside", "--at", "198.51.100.1"}, 0, "403 because AuthorizationPolicy default/near, no rule allows"},
			{[]string{"--from", "outside", "--at", "home"}, 2, "want an address"},
			{[]string{"--from", "reviews", "--at", "192.0.2.7"}, 2, "--from outside"},
		} {
			for _, host := range []string{"reviews", "reviews.default", "reviews.default.svc.cluster.local"} {
				code, out, errs := weft(t, slices.Concat([]string{"explain", "--to", "http://" + host + ":9080/"}, x.args, from)...)
				if code != x.code || !strings.Contains(out+errs, x.says) {
					t.Errorf("%s, %q of %s: exit code %d: %s%s", what, x.args, host, code, out, errs)
				}
			}
		}
	}
}

func TestRotateCommand(t *testing.T) {
	p := serve(t, reviews)
	code, out, errs := weft(t, "identity", "rotate", "--state", p.state)
	var steps []string
	for line := range strings.Lines(out) {
		steps = append(steps, strings.Fields(line)[0])
	}
	if code != 0 || !slices.Equal(steps, []string{"distributing", "issuing", "retired"}) {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
