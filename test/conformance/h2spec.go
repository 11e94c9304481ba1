package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// h2specCases is how many cases there are in h2spec 2.2.1, generic, http2 and hpack, strict: fewer would be a run that broke off.
const h2specCases = 146

// kept are the cases in which h2spec asks for something else than RFC 9113, or understands less.
var kept = map[string]struct{ actual, rule string }{
	"http2/3.5/2": {"looked like an HTTP/1.1 header", "RFC 9113 section 3.4: an invalid preface ends the connection, and a GOAWAY may be " +
		"left out, since the peer is not using HTTP/2. Ports without TLS serve HTTP/1.1 too: it is answered with 400 in HTTP/1.1 (RFC 9112 " +
		"section 2.2), and closed; h2spec cannot read the answer"},
}

// side is one way into a proxy.
type side struct {
	name string
	kept bool // HTTP/1.1 is served there too
	run  func(context.Context) (string, error)
}

// h2spec measures both sides of a proxy, and the listeners of a gateway. The inbound side in the clear is a published port, the way in from
// outside.
func (r *rig) h2spec(ctx context.Context) (score, error) {
	published, err := proctest.FreePort()
	if err != nil {
		return score{}, err
	}
	server, err := r.Run("server", nil, []string{"--service", "server", "--port", "8080/http", "--publish", published + ":8080"},
		filepath.Join(r.Bin, "conformance"), "serve", ":8080")
	if err != nil {
		return score{}, err
	}
	if err := r.AwaitAnswer(ctx, server, published); err != nil {
		return score{}, err
	}
	relay, err := newRelay(ctx, r.Mesh, "default/server-1")
	if err != nil {
		return score{}, err
	}
	defer relay.close()
	over2 := proctest.HTTP2()
	defer over2.CloseIdleConnections()
	if err := proctest.Ask(ctx, &http.Client{Transport: over2}, relay.addr()); err != nil {
		return score{}, fmt.Errorf("through mutual TLS: %w", err)
	}
	e, err := r.openGateway(ctx, func(e edge) error { return proctest.Ask(ctx, http.DefaultClient, e.clear) })
	if err != nil {
		return score{}, err
	}
	var all score
	for _, s := range []side{
		{"outbound", true, func(ctx context.Context) (string, error) { return r.within(ctx, h2specArgs("server:8080")) }},
		{"inbound, plaintext", true, func(ctx context.Context) (string, error) { return r.outside(ctx, h2specArgs(published)) }},
		{"inbound, mutual TLS", false, func(ctx context.Context) (string, error) { return r.outside(ctx, h2specArgs(relay.addr())) }},
		{"gateway, plaintext", true, func(ctx context.Context) (string, error) { return r.outside(ctx, h2specArgs(e.clear)) }},
		{"gateway, TLS", false, func(ctx context.Context) (string, error) {
			return r.outside(ctx, append(h2specArgs(e.secure), "--tls", "--insecure"))
		}},
	} {
		out, err := s.run(ctx)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		all.add(s.judge(out, err))
	}
	return all, nil
}

// h2specArgs: a case may take 5 s, since others may be using this machine.
func h2specArgs(at string) []string {
	host, port, _ := net.SplitHostPort(at)
	return []string{"h2spec", "--host", host, "--port", port, "--strict", "--timeout", "5"}
}

// within runs a suite's program as a workload of the mesh, and outside beside it.
func (r *rig) within(ctx context.Context, args []string) (string, error) {
	return r.await(ctx, args, append(r.Weft("run", "--state", r.State(), "--service", "client", "--"), filepath.Join(r.suites, args[0])))
}

func (r *rig) outside(ctx context.Context, args []string) (string, error) {
	return r.await(ctx, args, []string{filepath.Join(r.suites, args[0])})
}

// most is how long a program may take.
const most = 3 * time.Minute

func (r *rig) await(ctx context.Context, args, argv []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("it was not done within %v", most))
	defer cancel()
	p, err := proctest.Start(strings.Join(args, " "), r.Log, nil, append(argv, args[1:]...)...)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Stop(10 * time.Second)
		return p.Output(), context.Cause(ctx)
	}
	return p.Output(), p.Exit()
}

// outcome is what became of a case.
type outcome struct {
	id, text string
	passed   bool
	why      []string
}

// judge prints what failed, and counts.
func (s side) judge(out string, exit error) (n score) {
	cases := read(out)
	for _, c := range cases {
		if c.passed {
			n.passed++
			continue
		}
		if k, ok := kept[c.id]; ok && s.kept && strings.Contains(strings.Join(c.why, "\n"), k.actual) {
			n.passed++
			fmt.Printf("kept    %s: %s %s\n        %s\n", s.name, c.id, c.text, k.rule)
			continue
		}
		n.failed++
		fmt.Printf("FAILED  %s: %s %s\n        %s\n", s.name, c.id, c.text, strings.Join(c.why, "\n        "))
	}
	if len(cases) != h2specCases {
		n.failed++
		fmt.Printf("FAILED  %s: %d cases were run, want %d (%v):\n%s\n", s.name, len(cases), h2specCases, exit, out)
	}
	fmt.Printf("%-20s %d passed, %d failed\n", s.name, n.passed, n.failed)
	return n
}

var (
	suiteNames = map[string]string{"Generic tests for HTTP/2 server": "generic", "Hypertext Transfer Protocol Version 2 (HTTP/2)": "http2",
		"HPACK: Header Compression for HTTP/2": "hpack"}
	sectionLine = regexp.MustCompile(`^\s*(\d+(?:\.\d+)*)\. `)
	caseLine    = regexp.MustCompile(`(✔|×) (\d+): (.*?)\s*$`)
	skipLine    = regexp.MustCompile(`^.*\s(\d+): (.*)\s+(\d+): (.*?)\s*$`)
)

// read takes the cases out of h2spec's report. One that was skipped has not passed.
func read(out string) (cases []outcome) {
	suite, section := "", ""
	in := bufio.NewScanner(strings.NewReader(out))
	for in.Scan() {
		line := in.Text()
		if line == "Failures: " {
			break // they follow once more
		}
		if name := suiteNames[line]; name != "" {
			suite = name
		} else if m := caseLine.FindStringSubmatch(line); m != nil {
			cases = append(cases, outcome{id: suite + "/" + section + "/" + m[2], text: m[3], passed: m[1] == "✔"})
		} else if m := skipLine.FindStringSubmatch(line); m != nil && m[1] == m[3] {
			cases = append(cases, outcome{id: suite + "/" + section + "/" + m[1], text: m[4], why: []string{"skipped"}})
		} else if m := sectionLine.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if n := len(cases); n > 0 && !cases[n-1].passed && strings.TrimSpace(line) != "" {
			cases[n-1].why = append(cases[n-1].why, strings.TrimSpace(line))
		}
	}
	return cases
}
