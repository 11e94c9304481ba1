package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/weft-mesh/weft/test/bench/load"
)

// benchCase is a question to all proxies, in one or more variants, each of which is a table.
type benchCase struct {
	name, title string
	callers     []int    // of a whole run; one case alone takes the last, but where CALLERS says otherwise
	peers       []string // [all that can]
	variants    []variant
}

// variant is one way to ask it.
type variant struct {
	name   string // empty: there is only one
	plan   plan
	spec   load.Spec
	unit   string // of what is counted [request]
	kinds  []kind // measured side by side [one]
	beside bool   // a slow stream of 1 GB runs beside the callers of kinds that want it
	fresh  bool   // proxies are started anew for each round: what counts is their memory
	rounds int    // at most [no bound]
}

// kind changes a variant a little, to compare each proxy with itself.
type kind struct {
	name   string
	change func(*variant)
}

var allCallers = []int{1, 8, 512, 64}

// answerSize is the size of every answer of HTTP and gRPC, but where a case says otherwise.
const answerSize = 1024

// saturated is a variant in which each caller sends its next request as soon as it has the answer to the last.
func saturated(p load.Protocol, pair bool) variant {
	v := variant{plan: plan{Protocol: p, Pair: pair}, spec: load.Spec{Protocol: p, Host: "app", Path: "/api/v1/items?id=1"}}
	switch p {
	case load.HTTP1, load.HTTP2, load.Fresh:
		v.spec.Get = answerSize
	case load.GRPC:
		v.spec.Get, v.spec.Send, v.spec.Path = answerSize, 100, "/bench.Items/Get"
	case load.Stream:
		v.spec.Send, v.spec.Path, v.unit = 100, "/bench.Items/Watch", "message"
	case load.Echo:
		v.spec.Send, v.unit = 128, "message"
	case load.Source, load.Sink:
		v.unit = "MB"
	}
	if v.plan.HTTP2() {
		v.spec.PerConn = 16
	}
	return v
}

// with changes a copy.
func (v variant) with(name string, change func(*variant)) variant {
	v.name = name
	if change != nil {
		change(&v)
	}
	return v
}

func inbound(v *variant) { v.plan.Inbound = true }
func once(v *variant)    { v.plan.Once = true }
func megabytes(v *variant) {
	v.spec.Send, v.spec.Get, v.plan.Answer = 1<<20, 1<<20, 1<<20
}

// at is a rate of requests, whether or not answers come.
func at(rate int) func(*variant) { return func(v *variant) { v.spec.Rate = rate } }

var (
	hop   = saturated(load.HTTP1, false)
	hopIn = hop.with("", inbound)
	pair  = saturated(load.HTTP1, true)
)

var cases = slices.Concat([]benchCase{
	{"hop", "One hop, HTTP/1.1: the caller's proxy, with routes", allCallers, nil, []variant{hop}},
	{"hop-in", "One hop, HTTP/1.1: the callee's proxy, with authorization", allCallers, nil, []variant{hopIn}},
	{"pair", "Two proxies with mutual TLS between them, HTTP/1.1 callers", allCallers, nil, []variant{pair}},
	{"http2", "Two proxies with mutual TLS, HTTP/2 callers, 16 on a connection", allCallers, nil, []variant{saturated(load.HTTP2, true)}},
	{"grpc", "Two proxies with mutual TLS, unary gRPC calls, 16 callers on a connection", allCallers, nil, []variant{saturated(load.GRPC, true)}},
	{"stream", "Two proxies with mutual TLS, messages of long gRPC streams, 16 on a connection", allCallers, nil, []variant{saturated(load.Stream, true)}},
	{"tcp-small", "TCP, messages of 128 bytes and their echoes", allCallers, nil, []variant{
		saturated(load.Echo, true).with("mutual TLS", nil), saturated(load.Echo, false).with("in the clear", nil)}},
	{"tcp-bulk", "TCP, as much as goes through, per MB", []int{4}, nil, []variant{
		saturated(load.Source, true).with("mutual TLS", nil), saturated(load.Sink, false).with("in the clear, to the application", nil),
		saturated(load.Source, false).with("in the clear, to the caller", nil)}},
	{"latency", "1,000 requests a second, evenly spaced", []int{32}, nil, []variant{
		hop.with("one hop", at(1000)), pair.with("pair", at(1000))}},
	{"connect", "A new connection for each request", []int{8, 64}, nil, []variant{
		saturated(load.Fresh, false).with("one hop", nil), saturated(load.Fresh, true).with("pair", nil)}},
	{"handshake", "A new connection with a full handshake between the proxies for each request, one caller", []int{1},
		[]string{direct, weft, "nginx", "haproxy", "envoy", "envoy-h2", "net/http"}, []variant{pair.with("", once)}},
	{"body", "1 MB there and 1 MB back", []int{8}, nil, []variant{
		hop.with("one hop", megabytes), pair.with("pair", megabytes), saturated(load.HTTP2, true).with("pair, HTTP/2", megabytes)}},
	{"endpoints", "One hop to an application with one endpoint and with 200", []int{64}, nil, []variant{hop.with("", func(v *variant) {
		v.kinds = []kind{{"1", nil}, {"200", func(v *variant) { v.plan.Endpoints = 200 }}}
	})}},
	{"procs", "10,000 requests a second by proxies that may use both cores, with GOMAXPROCS 1 and 2", []int{64}, []string{direct, weft}, []variant{
		hop.with("one hop", procs), pair.with("pair", procs)}},
	{"idle", "Memory for connections that have made a request and now idle, in the clear; fresh proxies for each round", []int{1}, nil, []variant{
		hop.with("one hop", idle)}},
	{"idle-tls", "Memory of the callee's proxy for idle connections with mutual TLS; fresh proxies for each round", []int{1}, nil, []variant{
		pair.with("", func(v *variant) {
			idle(v)
			v.plan.CalleeOnly = true
		})}},
	{"rest", "Memory of proxies that nobody has called; fresh proxies for each round", []int{1}, nil, []variant{pair.with("", func(v *variant) {
		v.fresh, v.rounds, v.spec.Idle = true, 5, true
		v.kinds = []kind{{"", func(v *variant) { v.spec.Callers = 0 }}}
	})}},
	{"slow", "Small calls of 8 callers, alone and beside an answer of 1 GB that is read at 10 MB/s", []int{8}, nil, []variant{
		pair.with("", func(v *variant) {
			v.kinds = []kind{{"alone", nil}, {"beside", func(v *variant) { v.beside = true }}}
		})}},
	{"loss", "1 % of the packets between the proxies are lost", []int{64}, nil, []variant{
		pair.with("HTTP/1.1", func(v *variant) { v.plan.Loss = true }), saturated(load.GRPC, true).with("gRPC", func(v *variant) { v.plan.Loss = true })}},
}, tables())

func procs(v *variant) {
	v.spec.Rate, v.plan.Unpinned = 10000, true
	v.kinds = []kind{{"GOMAXPROCS=1", nil}, {"GOMAXPROCS=2", func(v *variant) { v.plan.Procs = 2 }}}
}

func idle(v *variant) {
	v.fresh, v.rounds, v.spec.Idle = true, 3, true
	for _, n := range []int{64, 5000} {
		v.kinds = append(v.kinds, kind{strconv.Itoa(n), func(v *variant) { v.spec.Callers = n }})
	}
}

// tables are the cases with large tables of routes and rules, of which the last is hit.
func tables() (out []benchCase) {
	for _, m := range matchers {
		v := hop
		v.spec.Path = m.path
		v.spec.Headers = m.headers
		for _, n := range []int{1, 50, 1000} {
			v.kinds = append(v.kinds, kind{strconv.Itoa(n), func(v *variant) { v.plan.Routes = m.routes(n) }})
		}
		out = append(out, benchCase{"routes-" + m.name, fmt.Sprintf("One hop with 1, 50 and 1,000 routes by %s, the last one hit", m.name), []int{64},
			[]string{direct, weft, "nginx", "haproxy", "envoy"}, []variant{v}})
	}
	for _, m := range matchers[:3] {
		v := hopIn
		v.spec.Path = m.path
		v.spec.Headers = m.headers
		for _, n := range []int{0, 1, 20, 1000} {
			v.kinds = append(v.kinds, kind{strconv.Itoa(n), func(v *variant) { v.plan.Rules = m.rules(n) }})
		}
		out = append(out, benchCase{"rules-" + m.name, fmt.Sprintf("One hop with 0, 1, 20 and 1,000 authorization rules by %s, the last one hit", m.name), []int{64},
			[]string{direct, weft, "envoy"}, []variant{v}})
	}
	return out
}

func caseOf(name string) (*benchCase, error) {
	i := slices.IndexFunc(cases, func(c benchCase) bool { return c.name == name })
	if i < 0 {
		var names []string
		for _, c := range cases {
			names = append(names, c.name)
		}
		return nil, fmt.Errorf("no case %q; there are %q", name, names)
	}
	return &cases[i], nil
}
