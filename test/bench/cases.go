package main

import (
	"fmt"
	"slices"

	"github.com/weft-mesh/weft/test/bench/load"
)

// benchCase is a question to all proxies, in one or more variants.
type benchCase struct {
	name, title string
	callers     []int // of a whole run; one case alone takes the last but where CALLERS says otherwise
	peers       []string
	variants    []variant
}

// variant is one way to ask it.
type variant struct {
	name  string // empty: there is only one
	plan  plan
	spec  load.Spec
	unit  string   // of what is counted [request]
	peers []string // [those of the case]
}

var allCallers = []int{1, 8, 512, 64}

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

// answerSize is the size of every answer of HTTP and gRPC.
const answerSize = 1024

// with names a variant.
func (v variant) with(name string) variant {
	v.name = name
	return v
}

// at is a variant with requests at a fixed rate.
func (v variant) at(rate int) variant {
	v.spec.Rate = rate
	return v
}

// inbound is a hop through the callee's proxy.
func (v variant) inbound() variant {
	v.plan.Inbound = true
	return v
}

var cases = []benchCase{
	{"hop", "One hop, HTTP/1.1: the caller's proxy, with routes", allCallers, nil, []variant{saturated(load.HTTP1, false)}},
	{"hop-in", "One hop, HTTP/1.1: the callee's proxy, with authorization", allCallers, nil, []variant{saturated(load.HTTP1, false).inbound()}},
	{"pair", "Two proxies with mutual TLS between them, HTTP/1.1 callers", allCallers, nil, []variant{saturated(load.HTTP1, true)}},
	{"http2", "The same with HTTP/2 callers, 16 on a connection", allCallers, nil, []variant{saturated(load.HTTP2, true)}},
	{"grpc", "The same with unary gRPC calls, 16 callers on a connection", allCallers, nil, []variant{saturated(load.GRPC, true)}},
	{"stream", "The same with messages of long gRPC streams", allCallers, nil, []variant{saturated(load.Stream, true)}},
	{"tcp-small", "TCP, messages of 128 bytes and their echoes", allCallers, nil, []variant{
		saturated(load.Echo, true).with("mutual TLS"), saturated(load.Echo, false).with("in the clear")}},
	{"tcp-bulk", "TCP, as much as goes through, per MB", []int{4}, nil, []variant{
		saturated(load.Source, true).with("mutual TLS"), saturated(load.Sink, false).with("in the clear, to the application"),
		saturated(load.Source, false).with("in the clear, to the caller")}},
	{"latency", "1,000 requests a second, evenly spaced", []int{32}, nil, []variant{
		saturated(load.HTTP1, false).with("one hop").at(1000), saturated(load.HTTP1, true).with("pair").at(1000)}},
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
