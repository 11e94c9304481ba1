package guard

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// tree makes packages of files; "|" ends a line.
func tree(t *testing.T, files map[string]string) []*Package {
	t.Helper()
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "|", "\n"))}
	}
	out, err := Load(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// says checks that a rule finds one thing and speaks of it; want empty: it finds nothing.
func says(t *testing.T, name string, broken []string, want string) {
	t.Helper()
	if want == "" && len(broken) > 0 || want != "" && (len(broken) != 1 || !strings.Contains(broken[0], want)) {
		t.Errorf("%s: %q, want %q", name, broken, want)
	}
}

func ours(path string) string { return fmt.Sprintf("import _ %q|", Module+path) }

func TestOrder(t *testing.T) {
	for _, x := range []struct{ file, text, want string }{
		{"mesh/a.go", ours("feature/retry"), ""},
		{"feature/retry/a.go", ours("mesh"), "feature/retry/a.go:2: feature/retry imports mesh, which stands after it"},
		{"feature/retry/a_test.go", ours("mesh"), ""},
		{"feature/retry/a.go", ours("feature/fault"), "its neighbour"},
		{"feature/balance/a.go", ours("feature/outlier"), ""},
		{"identity/ca/a.go", ours("identity"), ""},
		{"identity/a.go", ours("identity/ca"), "its neighbour"},
		{"dialect/all/a.go", ours("dialect/istio"), ""},
		{"dialect/istio/a.go", ours("dialect/linkerd"), "its neighbour"},
		{"proxy/a.go", ours("proxy/h1"), ""},
		{"proxy/h1/a.go", ours("proxy"), ""},
		{"proxy/h1/a.go", ours("proxy/h2"), "its neighbour"},
		{"wire/a.go", ours("internal/guard"), "stands after it"},
		{"cli/a.go", ours("traffic/traffictest"), "which is for tests"},
		{"cli/a_test.go", ours("traffic/traffictest"), ""},
		{"traffic/traffictest/a.go", ours("cli"), ""},
		{"test/demo/a.go", ours("cli"), ""},
		{"examples/bookinfo/a.go", ours("examples/bookinfo/echo"), ""},
		{"engine/a.go", "", "engine: is in no room of the house"},
		{"internal/stuff/a.go", "", "is in no room of the house"},
		{"a.go", "", "is in no room of the house"},
	} {
		says(t, x.file, Order(tree(t, map[string]string{x.file: "package a|" + x.text})), x.want)
	}
}

func TestPure(t *testing.T) {
	for _, x := range []struct{ file, text, want string }{
		{"mesh/a.go", `import "time"|func f(t time.Time) { t.After(t); _ = time.Second; _ = t.Sub(t) }`, ""},
		{"mesh/a.go", `import "time"|func f() { _ = time.Now() }`, "mesh/a.go:3: mesh uses time.Now"},
		{"mesh/a.go", `import clock "time"|func f() { _ = clock.Now() }`, "mesh uses clock.Now"},
		{"mesh/a.go", `import "time"|var now = time.Now`, "uses time.Now"}, // not called, but given away
		{"mesh/a.go", `import "time"|func f() { <-time.After(1) }`, "uses time.After"},
		{"mesh/a.go", `import "time"|func f() { time.NewTimer(1).Stop() }`, "uses time.NewTimer"},
		{"mesh/a.go", `import "context"|func f() { context.WithTimeout(nil, 1) }`, "uses context.WithTimeout"},
		{"mesh/a.go", `func f() { _ = "time.Now()" } // go f()`, ""},
		{"mesh/a.go", `func f() { go f() }`, "mesh/a.go:2: mesh starts a goroutine"},
		{"mesh/a.go", `func f() { func() { go func() {}() }() }`, "starts a goroutine"},
		{"feature/retry/a.go", `import "net"|var _ net.Conn`, "feature/retry imports net"},
		{"feature/retry/a.go", `import "net"|var _ = net.ParseIP`, ""},
		{"feature/retry/a.go", `import "net/netip"|import "net/url"`, ""},
		{"feature/retry/a.go", `import "net/http"|var _ = http.StatusText|var _ http.Client`, "imports net/http"},
		{"feature/retry/a.go", `import "net/http/httptest"`, "imports net/http/httptest"},
		{"wire/http1/a.go", `import "os"`, "imports os"},
		{"wire/http1/a.go", `import "math/rand/v2"`, "imports math/rand/v2"},
		{"identity/cert/a.go", `import "crypto/tls"`, ""},
		{"identity/a.go", `import "crypto/tls"`, "imports crypto/tls"},
		{"explain/a.go", ours("internal/sys"), "imports internal/sys"},
		{"mesh/a_test.go", `import "time"|func f() { go f(); _ = time.Now() }`, ""},
		{"traffic/traffictest/a.go", `import "time"|var _ = time.Now`, ""},
		{"proxy/a.go", `import "net"|import "time"|func f() { go f(); _ = time.Now() }`, ""},
	} {
		says(t, x.file+" "+x.text, Pure(tree(t, map[string]string{x.file: "package a|" + x.text})), x.want)
	}
}

func TestSole(t *testing.T) {
	for _, x := range []struct{ file, imp, want string }{
		{"internal/sys/a.go", "golang.org/x/sys/unix", ""},
		{"proxy/a.go", "golang.org/x/sys/unix", "proxy/a.go:2: proxy imports golang.org/x/sys/unix; internal/sys may: there is one door"},
		{"stream/server/a.go", "google.golang.org/grpc", ""},
		{"stream/a.go", "google.golang.org/grpc/codes", "stream/server, examples/bookinfo/echo, test/soak may"},
		{"stream/a_test.go", "google.golang.org/grpc", ""}, // an oracle
		{"control/a.go", "k8s.io/client-go/kubernetes", "source/kube may"},
		{"control/a_test.go", "github.com/cilium/ebpf", "bpf may"},
		{"dialect/istio/a.go", "istio.io/api/networking/v1", ""},
		{"mesh/a.go", "istio.io/api/networking/v1", "dialect may"},
		{"compile/a.go", "sigs.k8s.io/gateway-api/apis/v1", "dialect may"},
		{"source/files/a.go", "k8s.io/api/core/v1", "may: behind the model"},
		{"proxy/h2/a.go", "golang.org/x/net/http2/hpack", "nobody may"},
		{"proxy/h2/a_test.go", "golang.org/x/net/http2", ""},
		{"proxy/a.go", "golang.org/x/net/dns/dnsmessage", ""},
		{"proxy/a.go", "github.com/spf13/cobra", "cli, internal/guard may"},
		{"wire/http1/a.go", "github.com/x/y", "the standard library alone"},
		{"wire/http1/a.go", "bytes", ""},
		{"decision/a.go", Module + "wire", "the standard library alone"},
	} {
		says(t, x.file+" "+x.imp, Sole(tree(t, map[string]string{x.file: "package a|import _ \"" + x.imp + "\"|"})), x.want)
	}
}

func TestLinks(t *testing.T) {
	for _, x := range []struct{ pkg, dep, want string }{
		{"explain", "net", "explain links net: it runs the chain without a network"},
		{"explain", "net/netip", ""},
		{"proxy", "net", ""},
		{"proxy", "net/http", "proxy links net/http"},
		{"proxy", "net/http/internal", ""}, // parts of it that others use too
		{"proxy", "k8s.io/api/core/v1", "proxy links k8s.io/api/core/v1"},
		{"proxy", "google.golang.org/grpc", "proxy links"},
		{"cmd/weft-proxy", Module + "dialect/istio", "cmd/weft-proxy links"},
		{"cli", "k8s.io/api/core/v1", ""},
	} {
		says(t, x.pkg+" "+x.dep, Links(x.pkg, []string{"fmt", x.dep}), x.want)
	}
}

func TestShape(t *testing.T) {
	long := "package a|" + strings.Repeat("|", maxLines)
	for _, x := range []struct{ file, text, want string }{
		{"a/b/c/a.go", "package a", ""},
		{"a/b/c/d/a.go", "package a", "is 4 folders deep"},
		{"proxy/util/a.go", "package util", `"util" does not say`},
		{"pkg/proxy/a.go", "package a", `"pkg" does not say`},
		{"a/a.go", long, "a: has 4001 lines"},
		{"a/a_test.go", long, ""},
		{"a/testdata/util/a.go", "nothing of Go's", ""}, // not read
		{".cache/util/a.go", "nothing of Go's", ""},
	} {
		says(t, x.file, Shape(tree(t, map[string]string{x.file: x.text})), x.want)
	}
}

func TestComments(t *testing.T) {
	for _, x := range []struct{ a, b, want string }{
		{"// Package a is.|package a", "package a", ""},
		{"package a", "package a", "here 0 do"},
		{"// Package a is.|package a", "// Package a is too.|package a", "here 2 do"},
		{"// This is it.|package a", "package a", `begins with "Package a"`},
		{"// Command a does.|package main", "package main", ""},
		{"// A does.|package main", "package main", ""},
		{"// Main does.|package main", "package main", `begins with "Command a"`},
	} {
		says(t, x.a, Comments(tree(t, map[string]string{"a/a.go": x.a, "a/b.go": x.b, "a/a_test.go": "package a"})), x.want)
	}
}

func TestFormat(t *testing.T) {
	says(t, "good", Format("a.go", []byte("package a\n\nvar x = 1\n")), "")
	says(t, "bad", Format("a.go", []byte("package a\nvar x=1\n")), "a.go: is not as gofmt")
}

func TestFeatures(t *testing.T) {
	code := map[string]string{"feature/a/policy.go": "package a", "feature/a/filter.go": "package a", "mesh/a.go": "package mesh"}
	for missing, want := range map[string]string{"": "", "policy.go": "has no policy.go", "README.md": "has no README.md"} {
		code["feature/a/a_test.go"] = "package a"
		got := Features(tree(t, code), func(name string) bool { return name != "feature/a/"+missing })
		says(t, missing, got, want)
	}
	delete(code, "feature/a/a_test.go")
	says(t, "test", Features(tree(t, code), func(string) bool { return true }), "has no test")
}

func TestRegistered(t *testing.T) {
	for _, x := range []struct{ call, want string }{
		{`NewCounts("weft_refused_total", "What was refused.", "reason")`, ""},
		{`NewGauge("weft_idle_connections", "Parked.", nil)`, ""},
		{`NewCounts("weft_refused", "What was refused.", "reason")`, "counters end in _total"},
		{`NewGauge("weft_refused_total", "What was refused.", nil)`, "counters end in _total, and nothing else"},
		{`NewCounts("refused_total", "What was refused.", "reason")`, "is not weft_"},
		{`NewCounts("weft_refusedCalls_total", "What was refused.", "reason")`, "snake_case"},
		{`NewCounts("weft_refused_total", "What was refused.", "theReason")`, `label "theReason"`},
		{`NewCounts("weft_refused_total", "", "reason")`, "has no help"},
		{`NewGauge("weft_age_ms", "Age.", nil)`, `say "seconds"`},
		{`NewGauge(name, "Age.", nil)`, "so that it can be found"},
	} {
		got := Registered(tree(t, map[string]string{"proxy/a.go": "package a|func f() {|r." + x.call + "|}"}))
		says(t, x.call, got, x.want)
		if x.want != "" && len(got) == 1 && !strings.HasPrefix(got[0], "proxy/a.go:3: ") {
			t.Errorf("%s: no place", got)
		}
	}
}

func TestExposition(t *testing.T) {
	const good = "# HELP weft_requests_total Requests.|# TYPE weft_requests_total counter|weft_requests_total{a_b=\"x,y=\\\"z\\\"\",c=\"\"} 1|" +
		"# HELP weft_took_seconds Time.|# TYPE weft_took_seconds histogram|weft_took_seconds_bucket{le=\"1\"} 2|weft_took_seconds_sum 1|weft_took_seconds_count 2|" +
		"# HELP istio_requests_total Requests.|# TYPE istio_requests_total counter|istio_requests_total 1|"
	for _, x := range []struct{ from, to, want string }{
		{"", "", ""},
		{"a_b=", "aB=", `label "aB"`},
		{"# HELP weft_requests_total Requests.|", "", "has no help"},
		{"# TYPE weft_took_seconds histogram|", "# TYPE weft_took_seconds gauge|", "weft_took_seconds_bucket: has no type"},
		{"requests_total counter", "requests_total gauge", "counters end in _total"},
		{"weft_took_seconds", "weft_took_duration", `say "duration_seconds"`},
		{"weft_took_seconds", "weft_took", "a histogram ends in its unit"},
		{"weft_took_seconds_sum 1", "weft took", "is no sample"},
		{"istio_requests_total", "envoy_requests_total", "is not weft_"},
	} {
		text := strings.ReplaceAll(strings.ReplaceAll(good, x.from, x.to), "|", "\n")
		if x.from == "" {
			text = strings.ReplaceAll(good, "|", "\n")
		}
		if got := Exposition(text); x.want == "" && len(got) > 0 || x.want != "" && (len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), x.want)) {
			t.Errorf("%s -> %s: %q, want %q", x.from, x.to, got, x.want)
		}
	}
}
