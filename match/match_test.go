package match

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/traffic"
)

func TestString(t *testing.T) {
	for _, x := range []struct {
		s    String
		v    string
		want bool
	}{
		{String{Exact, "a", false, nil}, "a", true},
		{String{Exact, "a", false, nil}, "A", false},
		{String{Exact, "a", true, nil}, "A", true},
		{String{Prefix, "/foo", false, nil}, "/foobar", true}, // VirtualService: "prefix is textual"
		{String{Prefix, "/foo", true, nil}, "/FOO/x", true},
		{String{Prefix, "/foo", false, nil}, "/fo", false},
		{String{Suffix, ".com", false, nil}, "a.com", true},
		{String{Suffix, ".com", true, nil}, "a.COM", true},
		{String{Suffix, "a.com", false, nil}, "com", false},
		{String{PathPrefix, "/foo", false, nil}, "/foobar", false}, // Gateway API: "path-segment"
		{String{PathPrefix, "/foo", false, nil}, "/foo", true},
		{String{PathPrefix, "/foo", false, nil}, "/foo/", true},
		{String{PathPrefix, "/foo/", false, nil}, "/foo", true},
		{String{PathPrefix, "/", false, nil}, "/anything", true},
		{String{Present, "", false, nil}, "x", true},
		{String{Present, "", false, nil}, "", false},
		{String{Regex, "v[0-9]", false, nil}, "v1", true},
		{String{Regex, "v[0-9]", false, nil}, "v12", false}, // "RE2 regex is full-match"
		{String{Regex, "a|bc", false, nil}, "abc", false},
		{String{Regex, "", false, nil}, "", true},
		{String{Regex, "(?i)ab", false, nil}, "AB", true},
	} {
		if err := x.s.Compile(); err != nil {
			t.Fatal(err)
		}
		if got := x.s.Match(x.v); got != x.want {
			t.Errorf("%v of %q: %v", x.s, x.v, got)
		}
	}
}

func attrs(headers ...string) *traffic.Attrs {
	a := &traffic.Attrs{Conn: &traffic.Conn{Original: netip.MustParseAddrPort("10.0.0.2:9080")}, Proto: traffic.HTTP1,
		Method: "GET", Scheme: "http", Authority: "reviews:9080", Path: "/a", Query: "x=1&y=%31"}
	for _, h := range headers {
		n, v, _ := strings.Cut(h, "=")
		a.Header.Receive(n, v)
	}
	return a
}

func one(v string) []String { return []String{{Value: v}} }

func TestRequest(t *testing.T) {
	regex := []String{{Kind: Regex, Value: "/[a-z]"}}
	if err := compile("path", regex); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		r    Request
		want bool
		miss string
	}{
		{"nothing asked", Request{}, true, ""},
		{"method", Request{Methods: one("POST")}, false, "method GET, wanted [exact POST]"},
		{"any of two methods", Request{Methods: append(one("POST"), one("GET")...)}, true, ""},
		{"not the method", Request{NotMethods: one("GET")}, false, "method GET, wanted [] and not [exact GET]"},
		{"path", Request{Paths: regex}, true, ""},
		{"target has the query", Request{Targets: one("/a?x=1&y=%31")}, true, ""},
		{"target without it", Request{Targets: one("/a")}, false, "path and query /a?x=1&y=%31, wanted [exact /a]"},
		{"host with its port", Request{Hosts: one("reviews:9080")}, true, ""},
		{"not the host", Request{NotHosts: one("reviews:9080")}, false, "host reviews:9080, wanted [] and not [exact reviews:9080]"},
		{"scheme", Request{Schemes: one("https")}, false, "scheme http, wanted [exact https]"},
		{"header", Request{Headers: []Header{{Name: "end-user", Values: one("jason")}}}, true, ""},
		{"header of another value", Request{Headers: []Header{{Name: "end-user", Values: one("ann")}}}, false, `header end-user is "jason", wanted [exact ann]`},
		{"header is there", Request{Headers: []Header{{Name: "empty"}}}, true, ""},
		{"header is not there", Request{Headers: []Header{{Name: "none"}}}, false, `header none is "", wanted []`},
		{"without a header", Request{Headers: []Header{{Name: "none", Invert: true}}}, true, ""},
		{"without a header that is there", Request{Headers: []Header{{Name: "empty", Invert: true}}}, false, `header empty is "", wanted not []`},
		// "withoutHeaders treats missing as empty (non-presence match)"
		{"without a value, missing", Request{Headers: []Header{{Name: "none", Values: one("x"), Invert: true}}}, true, ""},
		{"without the empty value, missing", Request{Headers: []Header{{Name: "none", Values: one(""), Invert: true}}}, false, `header none is "", wanted not [exact ]`},
		// "Duplicate headers are comma-joined before matching"
		{"two fields", Request{Headers: []Header{{Name: "twice", Values: one("1,2")}}}, true, ""},
		{"one of two fields", Request{Headers: []Header{{Name: "twice", Values: one("1")}}}, false, `header twice is "1,2", wanted [exact 1]`},
		{"query parameter", Request{Params: []Param{{Name: "y", Values: one("1")}}}, true, ""},
		{"no such parameter", Request{Params: []Param{{Name: "z"}}}, false, `query parameter z is "", wanted []`},
		{"port", Request{Ports: []Range{{9000, 9999}}}, true, ""},
		{"another port", Request{Ports: []Range{OnePort(80)}}, false, "port 9080 is not of [{80 80}]"},
		{"not the port", Request{NotPorts: []Range{OnePort(9080)}}, false, "port 9080 is not of []"},
	} {
		a := attrs("end-user=jason", "empty=", "twice=1", "twice=2")
		if got := x.r.Match(a, false); got != x.want || x.r.Miss(a) != x.miss {
			t.Errorf("%s: %v %q", x.name, got, x.r.Miss(a))
		}
	}
}

// TestNoHead: "bytes that are not HTTP match no ALLOW and every DENY" (DESIGN section 5).
func TestNoHead(t *testing.T) {
	a := attrs()
	a.Proto = traffic.TCP
	for _, x := range []struct {
		r            Request
		narrow, wide bool
	}{
		{Request{}, true, true},
		{Request{Methods: one("GET")}, false, true},
		{Request{NotPaths: one("/a")}, false, true},
		{Request{Ports: []Range{OnePort(9080)}}, true, true},
		{Request{Ports: []Range{OnePort(80)}, Methods: one("GET")}, false, false},
	} {
		if n, w := x.r.Match(a, false), x.r.Match(a, true); n != x.narrow || w != x.wide {
			t.Errorf("%+v: narrow %v, wide %v", x.r, n, w)
		}
	}
	c := Condition{Key: RequestHeader, Name: "x", Values: one("1")}
	if c.Match(a, false) || !c.Match(a, true) {
		t.Error("a condition on a header")
	}
}

func nets(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestSource(t *testing.T) {
	p := traffic.Peer{Addr: netip.MustParseAddrPort("[::ffff:10.0.0.1]:40000"), Labels: []string{"app=web", "version=v1"},
		ID: identity.Of("cluster.local", "default", "frontend")}
	anon := p
	anon.ID = identity.ID{}
	for _, x := range []struct {
		name        string
		s           Source
		known, anon bool
	}{
		{"anybody", Source{}, true, true},
		{"principal", Source{Principals: one("cluster.local/ns/default/sa/frontend")}, true, false},
		{"principal by suffix", Source{Principals: []String{{Kind: Suffix, Value: "/sa/frontend"}}}, true, false},
		{"not the principal", Source{NotPrincipals: one("cluster.local/ns/default/sa/frontend")}, false, true},
		{"namespace", Source{Namespaces: one("default")}, true, false},
		{"not the namespace", Source{NotNamespaces: one("default")}, false, true},
		{"account of any trust domain", Source{Accounts: one("default/frontend")}, true, false},
		{"another account", Source{Accounts: one("default/front")}, false, false},
		{"account by prefix", Source{Accounts: []String{{Kind: Prefix, Value: "default/"}}}, true, false},
		{"not the account", Source{NotAccounts: one("default/frontend")}, false, true},
		{"network, mapped", Source{Networks: nets("10.0.0.0/8")}, true, true},
		{"not the network", Source{NotNetworks: nets("10.0.0.0/8")}, false, false},
		{"labels", Source{Selectors: []Selector{{Labels: []string{"app=web"}}}}, true, true},
		{"either selector", Source{Selectors: []Selector{{Labels: []string{"app=db"}}, {Labels: []string{"version=v1"}}}}, true, true},
		{"authenticated", Source{Authenticated: true}, true, false},
		{"unauthenticated", Source{Unauthenticated: true}, false, true},
		{"present principal", Source{Principals: []String{{Kind: Present}}}, true, false},
	} {
		if k, a := x.s.Match(&p, false), x.s.Match(&anon, false); k != x.known || a != x.anon {
			t.Errorf("%s: known %v, anonymous %v", x.name, k, a)
		}
	}
}

// TestByAddress: the pod that has a caller's address is meant by its namespace and labels, where the predicate says so, and proves no
// identity.
func TestByAddress(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:1")
	web := Source{Authenticated: true, Namespaces: one("shop"), Selectors: []Selector{{Labels: []string{"app=web"}}}}
	by := func(s Source) Source { s.ByAddress = true; return s }
	for _, x := range []struct {
		name         string
		s            Source
		pod          *traffic.Pod
		narrow, wide bool
	}{
		{"not asked for", web, &traffic.Pod{Namespace: "shop", Labels: []string{"app=web"}}, false, false},
		{"the pod", by(web), &traffic.Pod{Namespace: "shop", Labels: []string{"app=web"}}, true, true},
		{"of other labels", by(web), &traffic.Pod{Namespace: "shop", Labels: []string{"app=db"}}, false, false},
		{"of another namespace", by(web), &traffic.Pod{Namespace: "evil", Labels: []string{"app=web"}}, false, false},
		{"of none but these", by(Source{NotNamespaces: one("evil")}), &traffic.Pod{Namespace: "evil"}, false, false},
		{"no pod", by(web), nil, false, false},
		{"no pod, of everybody", by(Source{}), nil, false, false},
		{"any pod", by(Source{Principals: one("td/")}), &traffic.Pod{Namespace: "shop"}, true, true},
		{"nobody knows", by(web), &traffic.Pod{Unclear: true}, false, true},
		{"nobody knows, and the address is another", by(Source{Networks: nets("192.0.2.0/24")}), &traffic.Pod{Unclear: true}, false, false},
		{"another address", by(Source{NotNetworks: nets("10.0.0.0/8")}), &traffic.Pod{Namespace: "shop"}, false, false},
		{"the account", by(Source{Accounts: one("shop/web")}), &traffic.Pod{Namespace: "shop", Account: "web"}, false, true},
		{"another account", by(Source{Accounts: one("shop/web")}), &traffic.Pod{Namespace: "shop", Account: "db"}, false, false},
		{"any account but one", by(Source{NotAccounts: one("shop/web")}), &traffic.Pod{Namespace: "shop", Account: "db"}, false, true},
		{"not that one", by(Source{NotAccounts: one("shop/web")}), &traffic.Pod{Namespace: "shop", Account: "web"}, false, false},
	} {
		p := traffic.Peer{Addr: at, Pod: x.pod}
		if n, w := x.s.Match(&p, false), x.s.Match(&p, true); n != x.narrow || w != x.wide {
			t.Errorf("%s: narrow %v, wide %v", x.name, n, w)
		}
	}
	known := traffic.Peer{Addr: at, ID: identity.Of("td", "shop", "web"), Labels: []string{"app=web"}}
	if s := by(web); !s.Match(&known, false) {
		t.Error("who has shown an identity is not known by it")
	}
	known.ID.Namespace, known.Pod = "evil", &traffic.Pod{Namespace: "shop", Labels: []string{"app=web"}}
	if s := by(web); s.Match(&known, false) {
		t.Error("an address counts more than an identity")
	}
}

// TestAPodIsNoIdentity: what asks for an identity does not see the pod that has the address.
func TestAPodIsNoIdentity(t *testing.T) {
	a := attrs()
	a.Source = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.1:1"), Pod: &traffic.Pod{Namespace: "shop", Account: "web", Labels: []string{"app=web"}}}
	for name, s := range map[string]Source{"namespace": {Namespaces: one("shop")}, "account": {Accounts: one("shop/web")}, "labels": {Selectors: []Selector{{Labels: []string{"app=web"}}}},
		"principal": {Principals: []String{{Kind: Suffix, Value: "/ns/shop/sa/web"}}}, "any principal": {Principals: []String{{Kind: Present}}}, "authenticated": {Authenticated: true}} {
		if s.Match(&a.Source, false) {
			t.Errorf("%s is proved by an address", name)
		}
	}
	for _, c := range []Condition{{Key: SourceNamespace, Values: one("shop")}, {Key: SourceAccount, Values: one("shop/web")}, {Key: SourcePrincipal, Values: []String{{Kind: Present}}}} {
		if c.Match(a, false) {
			t.Errorf("condition %d is met by an address", c.Key)
		}
	}
}

func TestCondition(t *testing.T) {
	for _, x := range []struct {
		name string
		c    Condition
		want bool
	}{
		{"header", Condition{Key: RequestHeader, Name: "end-user", Values: one("jason")}, true},
		{"not the header", Condition{Key: RequestHeader, Name: "end-user", NotValues: one("jason")}, false},
		{"a header that is not there", Condition{Key: RequestHeader, Name: "none", Values: []String{{Kind: Present}}}, false},
		{"not a value, missing", Condition{Key: RequestHeader, Name: "none", NotValues: one("x")}, true},
		{"source address", Condition{Key: SourceIP, Networks: nets("10.0.0.0/24")}, true},
		{"source address, not", Condition{Key: SourceIP, NotNetworks: nets("10.0.0.0/24")}, false},
		{"namespace", Condition{Key: SourceNamespace, Values: one("default")}, true},
		{"account", Condition{Key: SourceAccount, Values: one("default/frontend")}, true},
		{"principal", Condition{Key: SourcePrincipal, Values: one("td/ns/default/sa/other")}, false},
		{"destination address", Condition{Key: DestinationIP, Networks: nets("10.0.0.2/32")}, true},
		{"destination port", Condition{Key: DestinationPort, Ports: []Range{OnePort(9080)}}, true},
		{"destination port, not", Condition{Key: DestinationPort, NotPorts: []Range{OnePort(9080)}}, false},
		{"remote address", Condition{Key: RemoteIP, Networks: nets("192.0.2.0/24")}, true},
		{"over TCP", Over(OverTCP), true},
		{"over UDP", Over(OverUDP), false},
	} {
		a := attrs("end-user=jason", "x-forwarded-for=203.0.113.9, 192.0.2.7")
		a.Source = traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.7:1"), ID: identity.Of("td", "default", "frontend")}
		a.Secure = true
		if got := x.c.Match(a, false); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

func TestSelector(t *testing.T) {
	have := []string{"app=web", "tier=", "version=v1"}
	for _, x := range []struct {
		s    Selector
		want bool
	}{
		{Selector{}, true},
		{Selector{Labels: []string{"app=web", "version=v1"}}, true},
		{Selector{Labels: []string{"app=db"}}, false},
		{Selector{Exprs: []Requirement{{"app", In, []string{"db", "web"}}}}, true},
		{Selector{Exprs: []Requirement{{"app", NotIn, []string{"web"}}}}, false},
		{Selector{Exprs: []Requirement{{"none", NotIn, []string{"web"}}}}, true}, // as in Kubernetes
		{Selector{Exprs: []Requirement{{"tier", Exists, nil}}}, true},
		{Selector{Exprs: []Requirement{{"none", NotExists, nil}}}, true},
		{Selector{Exprs: []Requirement{{"app", NotExists, nil}}}, false},
	} {
		if got := x.s.Match(have); got != x.want {
			t.Errorf("%+v: %v", x.s, got)
		}
	}
}

// TestReplacePrefixBySegment is the table of the Gateway API (HTTPPathModifier.replacePrefixMatch).
func TestReplacePrefixBySegment(t *testing.T) {
	for _, x := range [][4]string{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		{"/foobar", "/foo", "/xyz", "/foobar"},
		{"/bar", "/", "/xyz", "/xyz/bar"},
		{"/", "/", "/xyz", "/xyz/"},
	} {
		if got := ReplacePrefix(x[0], x[1], x[2], true); got != x[3] {
			t.Errorf("%s, %s -> %s: %s, want %s", x[0], x[1], x[2], got, x[3])
		}
	}
}

func TestReplacePrefixByText(t *testing.T) {
	for _, x := range [][4]string{
		{"/foo/bar", "/foo", "/", "/bar"}, // not "//bar"
		{"/foo/bar", "/foo/", "/", "/bar"},
		{"/foobar", "/foo", "/", "/bar"},
		{"/foobar", "/foo", "/x", "/xbar"},
		{"/foo", "/foo", "/x/", "/x/"},
		{"/foo", "/foo", "", "/"},
		{"/FOO/a", "/foo", "/b", "/b/a"}, // ignoreUriCase
		{"/fo", "/foo", "/b", "/fo"},
		{"/a", "/", "/v1/", "/v1/a"},
	} {
		if got := ReplacePrefix(x[0], x[1], x[2], false); got != x[3] {
			t.Errorf("%s, %s -> %s: %s, want %s", x[0], x[1], x[2], got, x[3])
		}
	}
}

func FuzzReplacePrefix(f *testing.F) {
	f.Add("/foo/bar", "/foo", "/", true)
	f.Add("", "", "", false)
	f.Fuzz(func(t *testing.T, path, prefix, with string, segment bool) {
		got := ReplacePrefix(path, prefix, with, segment)
		if got != path && !strings.HasPrefix(got, "/") {
			t.Errorf("%q is no path", got)
		}
		if strings.Contains(got, "//") && !strings.Contains(path, "//") && !strings.Contains(with, "//") {
			t.Errorf("a slash was doubled: %q", got)
		}
	})
}

func TestCompileNamesTheField(t *testing.T) {
	bad := []String{{Kind: Regex, Value: "("}}
	for want, r := range map[string]*Request{
		"method": {Methods: bad}, "not path": {NotPaths: bad}, "target": {Targets: bad}, "scheme": {Schemes: bad},
		"header x": {Headers: []Header{{Name: "x", Values: bad}}}, "query parameter q": {Params: []Param{{Name: "q", Values: bad}}},
	} {
		if err := r.Compile(); err == nil || !strings.HasPrefix(err.Error(), want+":") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzRegex: what Compile accepts matches as a whole, never a part.
func FuzzRegex(f *testing.F) {
	f.Add("/.*", "/a")
	f.Add("a|b", "ab")
	f.Add("a)|(b", "ax")
	f.Add("(?i)x$", "X")
	f.Fuzz(func(t *testing.T, pattern, v string) {
		s := String{Kind: Regex, Value: pattern}
		if s.Compile() != nil {
			return
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatalf("%q is no expression, and was accepted", pattern)
		}
		re.Longest()
		if loc := re.FindStringIndex(v); s.Match(v) && (loc == nil || loc[0] != 0) {
			t.Errorf("%q matched %q, of which it finds %v", pattern, v, loc)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	r := Request{Methods: one("GET"), Paths: []String{{Kind: PathPrefix, Value: "/a"}}, Headers: []Header{{Name: "end-user", Values: one("jason")}},
		Params: []Param{{Name: "x", Values: one("1")}}}
	a := attrs("accept=*/*", "end-user=jason")
	b.ReportAllocs()
	for b.Loop() {
		if !r.Match(a, false) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkSource(b *testing.B) {
	s := Source{Principals: one("cluster.local/ns/default/sa/frontend"), NotAccounts: one("default/other"), Networks: nets("10.0.0.0/8")}
	p := traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.1:1"), ID: identity.Of("cluster.local", "default", "frontend")}
	b.ReportAllocs()
	for b.Loop() {
		if !s.Match(&p, false) {
			b.Fatal("no match")
		}
	}
}

// TestUnknownIsRefused: what a newer control plane says, and this code cannot judge, must not pass for something that it can.
func TestUnknownIsRefused(t *testing.T) {
	for name, err := range map[string]error{
		"kind":     (&Request{NotPaths: []String{{Kind: Regex + 1}}}).Compile(),
		"key":      (&Condition{Key: Transport + 1}).Compile(),
		"operator": (&Source{Selectors: []Selector{{Exprs: []Requirement{{Op: NotExists + 1}}}}}).Compile(),
	} {
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "older") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherPorts(t *testing.T) {
	for _, x := range []struct{ list, want []Range }{
		{nil, nil},
		{[]Range{{80, 80}}, []Range{{1, 79}, {81, 65535}}},
		{[]Range{{8000, 8010}, {80, 80}, {8005, 8006}, {81, 81}}, []Range{{1, 79}, {82, 7999}, {8011, 65535}}},
		{[]Range{{1, 10}, {65535, 65535}}, []Range{{11, 65534}}},
		{[]Range{{60000, 65535}}, []Range{{1, 59999}}},
	} {
		if got := OtherPorts(x.list); !slices.Equal(got, x.want) {
			t.Errorf("%v: %v, want %v", x.list, got, x.want)
		}
	}
}
