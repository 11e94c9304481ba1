package guard

import (
	"fmt"
	"slices"
	"strings"
)

// House is the rooms of the repository in import order: a package may import only what stands before it.
var House = strings.Fields(`internal/sys internal/abridge internal/spelling wire decision identity traffic match feature mesh config dialect/schema dialect compile chain explain observe
	stream source bpf inject install proxy node cluster control cli dashboard cmd internal/leaktest internal/meshtest internal/proctest internal/guard examples test`)

// inside are the imports between packages of one room, besides those of the folder above, and why they are there.
var inside = map[[2]string]string{
	{"feature/balance", "feature/outlier"}:                "an endpoint is chosen among those that are not ejected",
	{"dialect/all", "dialect/*"}:                          "it is their list",
	{"dialect/linkerd", "dialect/gatewayapi"}:             "its HTTPRoute is the Gateway API's, and its Servers have routes of both",
	{"proxy", "proxy/*"}:                                  "its protocols and its start have folders of their own",
	{"proxy/plane", "proxy/h2"}:                           "the control plane is reached over the same HTTP/2 as everything else",
	{"proxy/h1", "proxy/buffer"}:                          "bytes on their way take from one set of pools, whatever the protocol",
	{"proxy/h2", "proxy/buffer"}:                          "bytes on their way take from one set of pools, whatever the protocol",
	{"proxy/datagram", "proxy/buffer"}:                    "bytes on their way take from one set of pools, whatever the protocol",
	{"proxy/probe", "proxy/h1"}:                           "it asks applications",
	{"proxy/probe", "proxy/h2"}:                           "it asks applications",
	{"node/sandbox", "node/nft"}:                          "rules are said in the same words wherever they are loaded",
	{"node/podnet", "node/nft"}:                           "rules are said in the same words wherever they are loaded",
	{"node/cni", "node/podnet"}:                           "it loads a pod's rules from outside of the pod",
	{"proxy/tls13", "proxy/buffer"}:                       "bytes on their way take from one set of pools, whatever the protocol",
	{"proxy/gateway", "proxy/origin"}:                     "names are looked for in certificates of callers as in those of servers",
	{"proxy/pool", "proxy/h1"}:                            "it keeps that protocol's connections",
	{"cli", "cli/transcript"}:                             "weft test runs transcripts",
	{"cli", "cli/live"}:                                   "weft explain asks clusters",
	{"control", "control/lastgood"}:                       "who leads keeps them",
	{"test/bench", "test/machine"}:                        "its page says what it ran on",
	{"test/scale", "test/machine"}:                        "its page says what it ran on",
	{"test/bench", "test/bench/*"}:                        "one program",
	{"examples/bookinfo", "examples/bookinfo/*"}:          "one program",
	{"examples/bookinfo/echo", "examples/bookinfo/serve"}: "it serves as the shop does",
}

// Order finds imports that go back in the house. Tests are not bound by it, except that only they use what is for tests.
func Order(tree []*Package) (broken []string) {
	for _, p := range tree {
		room := roomOf(p.Path)
		if room < 0 {
			broken = append(broken, fmt.Sprintf("%s: is in no room of the house; the rooms are %s", p.Path, strings.Join(House, " ")))
			continue
		}
		for _, f := range p.code() {
			for _, imp := range f.Imports() {
				if why := backwards(p.Path, imp); why != "" {
					broken = append(broken, fmt.Sprintf("%s: %s imports %s, %s", imp.At, p.Path, imp.Path, why))
				}
			}
		}
	}
	return broken
}

func backwards(pkg string, imp Import) string {
	from, to := roomOf(pkg), roomOf(imp.Path)
	switch {
	case !imp.Ours || forTests(pkg):
		return ""
	case forTests(imp.Path) && !below(pkg, "internal/guard", "test"):
		return "which is for tests"
	case forTests(imp.Path) || from > to:
		return ""
	case from < to:
		return "which stands after it in the house: what it needs from there has to be passed in, or stand earlier"
	case strings.HasPrefix(pkg, imp.Path+"/"), excepted(pkg, imp.Path):
		return ""
	}
	return "its neighbour: what both need stands in a room before them"
}

// excepted looks at inside; "*" stands for every folder there.
func excepted(pkg, imp string) bool {
	parent := imp[:strings.LastIndexByte(imp, '/')+1]
	return inside[[2]string{pkg, imp}] != "" || inside[[2]string{pkg, parent + "*"}] != ""
}

func roomOf(pkg string) int {
	return slices.IndexFunc(House, func(room string) bool { return below(pkg, room) })
}
