package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// rule says which packages alone may import something.
type rule struct {
	what  string
	by    []string
	tests bool // it binds tests too; else they may import it, as an oracle
	why   string
}

var sole = []rule{
	{"golang.org/x/sys", []string{"internal/sys"}, false, "there is one door to the kernel"},
	{"google.golang.org/grpc", []string{"stream/server", "examples/bookinfo/echo", "test/soak"}, false, "a gRPC-Go client takes a proxy at rest from 5 to 12 MB"},
	{"golang.org/x/net/http2", nil, false, "wire/http2 does it without allocating; x/net is its oracle in tests"},
	{"k8s.io/client-go", []string{"source/kube"}, true, "the API server is one source among others"},
	{"sigs.k8s.io/controller-runtime", []string{"source/kube"}, true, "the API server is one source among others"},
	{"k8s.io", []string{"dialect", "source/kube", "inject", "install", "test/cluster/kube", "test/scale"}, false, "behind the model nobody knows where a rule comes from"},
	{"sigs.k8s.io/gateway-api", []string{"dialect"}, false, "behind the model nobody knows where a rule comes from"},
	{"istio.io", []string{"dialect"}, false, "behind the model nobody knows where a rule comes from"},
	{"helm.sh/helm", []string{"install"}, false, "the chart is rendered in one place"},
	{"github.com/cilium/ebpf", []string{"bpf"}, true, "there is one loader of kernel programs"},
	{"github.com/vishvananda/netlink", []string{"node"}, false, "networks are made where nodes are"},
	{"github.com/google/nftables", []string{"node"}, false, "networks are made where nodes are"},
	{"github.com/fsnotify/fsnotify", []string{"source/files", "node/cni"}, false, "directories are one source among others, and a node's networks are one"},
	{"github.com/containernetworking/cni", []string{"node/cni"}, false, "container runtimes are spoken to in one place"},
	{"github.com/spf13/cobra", []string{"cli", "internal/guard"}, false, "flags are read by commands, not in the middle of logic"},
}

// only says which rooms import nothing but the standard library and each other.
var only = map[string]string{
	"wire":     "codecs of bytes are of use to everybody",
	"decision": "everybody imports it",
}

// beyond are the exceptions, and why.
var beyond = map[[2]string]string{
	{"wire/record", "golang.org/x/crypto/chacha20poly1305"}: "the standard library has this cipher, and keeps it to itself",
}

// Sole finds imports by those who may not.
func Sole(tree []*Package) (broken []string) {
	for _, p := range tree {
		for _, f := range p.Files {
			for _, imp := range f.Imports() {
				broken = append(broken, forbidden(p.Path, f.Test, imp)...)
			}
		}
	}
	return broken
}

func forbidden(pkg string, test bool, imp Import) (broken []string) {
	i := slices.IndexFunc(sole, func(s rule) bool { return below(imp.Path, s.what) }) // the narrowest stands first
	if !imp.Ours && i >= 0 && !below(pkg, sole[i].by...) && (sole[i].tests || !test && !forTests(pkg)) {
		who := cmp.Or(strings.Join(sole[i].by, ", "), "nobody")
		broken = append(broken, fmt.Sprintf("%s: %s imports %s; %s may: %s", imp.At, pkg, imp.Path, who, sole[i].why))
	}
	first, _, _ := strings.Cut(imp.Path, "/")
	for room, why := range only {
		if below(pkg, room) && !test && (imp.Ours && !below(imp.Path, room) || !imp.Ours && strings.Contains(first, ".")) && beyond[[2]string{pkg, imp.Path}] == "" {
			broken = append(broken, fmt.Sprintf("%s: %s imports %s; it imports the standard library alone: %s", imp.At, pkg, imp.Path, why))
		}
	}
	return broken
}

// links says what a package may not contain, not even through what it imports.
var links = []struct {
	pkg  string
	what []string
	why  string
}{
	{"explain", []string{"net", "net/http", "crypto/tls", "os/exec"}, "it runs the chain without a network"},
	{"proxy", heavy, "a proxy at rest stays within 10 MB, and its data path is its own"},
	{"cmd/weft-proxy", heavy, "a proxy at rest stays within 10 MB, and its data path is its own"},
}

var heavy = []string{"k8s.io", "sigs.k8s.io", "istio.io", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/spf13",
	"go.yaml.in", "net/http", Module + "dialect", Module + "compile", Module + "source", Module + "control"}

// Links finds what a package contains and may not. deps is everything that it is linked with, in the words of go list.
func Links(pkg string, deps []string) (broken []string) {
	for _, l := range links {
		if l.pkg != pkg {
			continue
		}
		for _, d := range deps {
			if slices.Contains(l.what, d) || slices.ContainsFunc(l.what, func(w string) bool { return strings.Contains(w, ".") && below(d, w) }) {
				broken = append(broken, fmt.Sprintf("%s links %s: %s", pkg, d, l.why))
			}
		}
	}
	return broken
}
