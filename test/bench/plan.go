package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/weft-mesh/weft/test/bench/load"
)

// plan is what the proxies of a measurement have to do, in no proxy's words.
type plan struct {
	Protocol load.Protocol // what callers speak; connect is HTTP/1.1 here
	Pair     bool          // two proxies with mutual TLS between them; else one
	Inbound  bool          // of weft's one hop: the callee's proxy, not the caller's
	Once     bool          // a connection between the proxies serves one request
	Procs    int           // GOMAXPROCS of Go's proxies [1]
	Unpinned bool          // proxies may use every core
	Loss     bool          // between the proxies packets are lost
	Routes   []route       // [routesOf]
	Rules    []rule        // nil: rulesOf; empty: none

	Endpoints  int  // of the application [1]
	Answer     int  // bytes of each answer of the application [answerSize]
	CalleeOnly bool // of a pair only the callee's proxy is there; who measures is its peer

	// What follows depends on the machine.
	Next                []string // addresses of the application
	Ports               map[load.Protocol]uint16
	Dir                 string
	Cert, Key, Both, CA string // files
}

// route leads to the application, said in each proxy's language; empty: it cannot say it, or need not.
type route struct{ Nginx, Haproxy, Envoy, Weft string }

// rule allows calls.
type rule struct{ Envoy, Weft string }

func (p *plan) TCP() bool {
	return p.Protocol == load.Echo || p.Protocol == load.Source || p.Protocol == load.Sink
}

// Bulk is TCP with large amounts: measured, splicing saves haproxy 5 % there, and costs it as much where messages are small.
func (p *plan) Bulk() bool { return p.Protocol == load.Source || p.Protocol == load.Sink }

func (p *plan) GRPC() bool  { return p.Protocol == load.GRPC || p.Protocol == load.Stream }
func (p *plan) HTTP2() bool { return p.Protocol == load.HTTP2 || p.GRPC() }

// app is the protocol, and so the port, of the application.
func (p *plan) app() load.Protocol {
	if p.Protocol == load.Fresh {
		return load.HTTP1
	}
	return p.Protocol
}

func (p *plan) AppPort() uint16 { return p.Ports[p.app()] }

// AppProtocol is a Kubernetes appProtocol.
func (p *plan) AppProtocol() string {
	switch {
	case p.TCP():
		return "tcp"
	case p.GRPC():
		return "grpc"
	case p.Protocol == load.HTTP2:
		return "kubernetes.io/h2c"
	}
	return "http"
}

// side is one proxy of a plan, as the templates see it.
type side struct {
	*plan
	Side        string // hop, caller or callee
	ListenPort  uint16
	Next        []string
	TLSIn       bool
	TLSOut      bool
	H2In, H2Out bool
	OnceOut     bool // a connection to the next hop serves one request
}

func (s *side) Listen() string { return fmt.Sprintf("127.0.0.1:%d", s.ListenPort) }

// NextParts are the addresses in two parts.
func (s *side) NextParts() (out []struct{ Host, Port string }) {
	for _, a := range s.Next {
		host, port, _ := net.SplitHostPort(a)
		out = append(out, struct{ Host, Port string }{host, port})
	}
	return out
}

// NginxPass is the directive of a location.
func (s *side) NginxPass() string {
	directive, scheme := "proxy_pass", "http"
	if s.GRPC() {
		directive, scheme = "grpc_pass", "grpc"
	}
	if s.TLSOut {
		scheme += "s"
	}
	return directive + " " + scheme + "://next;"
}

// HaproxyOut is the end of a server line.
func (s *side) HaproxyOut() (out string) {
	if s.TLSOut {
		out = fmt.Sprintf("ssl crt %s ca-file %s verify required verifyhost app.bench", s.Both, s.CA)
		if s.OnceOut {
			out += " no-ssl-reuse"
		}
		if !s.TCP() {
			out += " alpn " + map[bool]string{true: "h2", false: "http/1.1"}[s.H2Out]
		}
	}
	if s.TCP() {
		return out
	}
	if s.H2Out {
		out += " proto h2"
	}
	return out + " pool-max-conn 4096"
}

// Denied are conditions under which haproxy refuses: its words for authorization.
func (s *side) Denied() []string {
	if s.Side == "caller" || s.TCP() {
		return nil
	}
	return []string{"{ path_beg /admin }"}
}

// routesOf are the routes that every measurement has.
func routesOf() []route {
	return []route{
		prefix("/api/v1/"), prefix("/api/"), prefix("/static/"), prefix("/"),
	}
}

func prefix(p string) route {
	return route{Nginx: p, Haproxy: "{ path_beg " + p + " }", Envoy: fmt.Sprintf("{prefix: %q}", p), Weft: fmt.Sprintf("{uri: {prefix: %q}}", p)}
}

// rulesOf are the rules that every measurement has.
func rulesOf(p *plan) []rule {
	if p.TCP() {
		return []rule{{"{any: true}", "{}"}}
	}
	method := "GET"
	if p.GRPC() {
		method = "POST"
	}
	return []rule{
		pathRule("GET", "/status"), pathRule("PUT", "/api/v1/*"), pathRule("POST", "/*"), pathRule(method, "/*"),
	}
}

// pathRule allows a method for a path, or with a star behind, for what begins so.
func pathRule(method, path string) rule {
	match := fmt.Sprintf("{exact: %q}", path)
	if n := len(path) - 1; path[n] == '*' {
		match = fmt.Sprintf("{prefix: %q}", path[:n])
	}
	return rule{
		Envoy: fmt.Sprintf(`{and_rules: {rules: [{header: {name: ":method", string_match: {exact: %s}}}, {url_path: {path: %s}}]}}`, method, match),
		Weft:  fmt.Sprintf("to: [{operation: {methods: [%s], paths: [%q]}}]", method, path),
	}
}

// freePort is one that nobody uses now.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port(), nil
}

func local(port uint16) string { return "127.0.0.1:" + strconv.Itoa(int(port)) }
