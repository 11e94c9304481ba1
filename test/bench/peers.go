package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/weft-mesh/weft/test/bench/load"
)

// peer is a proxy that is measured.
type peer struct {
	name  string
	can   func(*plan) bool // nil: everything
	start func(context.Context, *tools, *plan) (*running, error)
}

// running is a peer that serves, or nobody: then callers go to the application itself.
type running struct {
	addr      string
	alpn      string     // of addr, if TLS is spoken there
	cert, key string     // files that who connects there shows
	between   uint16     // port between the proxies
	procs     []*process // the proxies
	others    []*process // what runs beside them
	close     func()     // after the processes have ended; nil: nothing is left
}

func (r *running) stop() {
	for _, p := range append(r.procs, r.others...) {
		p.stop()
	}
	if r.close != nil {
		r.close()
	}
}

// tools are the programs of the peers.
type tools struct{ self, bin, relay, nginx, haproxy, envoy string }

const (
	direct = "direct" // no proxy: what added latency is added to
	relay  = "relay"
	weft   = "weft"
)

// peers are all there are, in the order of tables.
var peers = []peer{
	{direct, nil, func(_ context.Context, _ *tools, p *plan) (*running, error) {
		return &running{addr: local(p.AppPort())}, nil
	}},
	{relay, func(p *plan) bool { return !p.Pair && len(p.Next) == 1 }, startRelay},
	{weft, nil, startWeft},
	{"nginx", func(p *plan) bool { return p.TCP() || p.Routes[0].Nginx != "" }, of("nginx.conf.tmpl", false, func(t *tools, config string) []string { return []string{t.nginx, "-c", config} })},
	{"haproxy", func(p *plan) bool { return !p.Pair || !p.HTTP2() }, of("haproxy.cfg.tmpl", false, haproxyArgs)},
	{"haproxy-h2", func(p *plan) bool { return p.Pair && !p.TCP() }, of("haproxy.cfg.tmpl", true, haproxyArgs)},
	{"envoy", func(p *plan) bool { return !p.Pair || !p.HTTP2() }, of("envoy.yaml.tmpl", false, envoyArgs)},
	{"envoy-h2", func(p *plan) bool { return p.Pair && !p.TCP() }, of("envoy.yaml.tmpl", true, envoyArgs)},
	{"net/http", func(p *plan) bool { return !p.TCP() }, startNetHTTP},
}

func haproxyArgs(t *tools, config string) []string { return []string{t.haproxy, "-db", "-f", config} }

func envoyArgs(t *tools, config string) []string {
	return []string{t.envoy, "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"}
}

// sides are the proxies of a plan, the callee's first: whoever is connected to has to be there before. h2 says that HTTP/1.1 travels
// between them as HTTP/2.
func (p *plan) sides(h2 bool) ([]*side, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if !p.Pair {
		return []*side{{plan: p, Side: "hop", ListenPort: port, Next: p.Next, H2In: p.HTTP2(), H2Out: p.HTTP2()}}, nil
	}
	between, err := freePort()
	if err != nil {
		return nil, err
	}
	callee := &side{plan: p, Side: "callee", ListenPort: between, Next: p.Next, TLSIn: true, H2In: h2 || p.HTTP2(), H2Out: p.HTTP2()}
	caller := &side{plan: p, Side: "caller", ListenPort: port, Next: []string{local(between)}, TLSOut: true, H2In: p.HTTP2(), H2Out: h2 || p.HTTP2(), OnceOut: p.Once}
	if p.CalleeOnly {
		return []*side{callee}, nil
	}
	return []*side{callee, caller}, nil
}

// starts runs one process for each side; the last one is the callers'.
func starts(p *plan, h2 bool, each func(*side) (spawn, error)) (r *running, err error) {
	sides, err := p.sides(h2)
	if err != nil {
		return nil, err
	}
	r = &running{}
	for _, s := range sides {
		x, err := each(s)
		if err != nil {
			r.stop()
			return nil, err
		}
		x.core = p.core()
		proc, err := x.start()
		if err == nil {
			r.procs = append(r.procs, proc)
			err = proc.listening(s.ListenPort)
		}
		if err != nil {
			r.stop()
			return nil, err
		}
		r.addr = local(s.ListenPort)
		if s.TLSIn {
			r.between, r.alpn, r.cert, r.key = s.ListenPort, map[bool]string{true: "h2", false: "http/1.1"}[s.H2In], p.Cert, p.Key
		}
	}
	return r, nil
}

//go:embed peers
var files embed.FS

var templates = template.Must(template.ParseFS(files, "peers/*.tmpl"))

// render writes a configuration file.
func render(name, to string, data any) error {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(to, b.Bytes(), 0o600)
}

// of starts a program with a configuration file for each side.
func of(name string, h2 bool, argv func(t *tools, config string) []string) func(context.Context, *tools, *plan) (*running, error) {
	return func(_ context.Context, t *tools, p *plan) (*running, error) {
		return starts(p, h2, func(s *side) (spawn, error) {
			if name == "nginx.conf.tmpl" && p.Protocol == load.HTTP2 && s.Side != "caller" {
				s.Next = []string{local(p.Ports[load.HTTP1])} // it speaks HTTP/1.1 to applications
			}
			ext := filepath.Ext(name[:len(name)-len(".tmpl")])
			config := filepath.Join(p.Dir, fmt.Sprintf("%s-%d%s", name, s.ListenPort, ext))
			return spawn{name: name, argv: argv(t, config)}, render(name, config, s)
		})
	}
}

func startRelay(_ context.Context, t *tools, p *plan) (*running, error) {
	return starts(p, false, func(s *side) (spawn, error) {
		return spawn{name: relay, argv: []string{t.relay, fmt.Sprint(s.ListenPort), fmt.Sprint(p.AppPort())}}, nil
	})
}

func startNetHTTP(_ context.Context, t *tools, p *plan) (*running, error) {
	return starts(p, p.HTTP2(), func(s *side) (spawn, error) {
		b, err := json.Marshal(reverse{Listen: s.Listen(), Next: s.Next, TLSIn: s.TLSIn, TLSOut: s.TLSOut, H2: p.HTTP2(), Once: s.OnceOut, Cert: p.Cert, Key: p.Key, CA: p.CA})
		return spawn{name: "net/http", argv: []string{t.self, "reverse", string(b)}, env: p.procs()}, err
	})
}

// core is where proxies run.
func (p *plan) core() string {
	if p.Unpinned {
		return otherCore + "," + proxyCore
	}
	return proxyCore
}

// procs is the environment of proxies in Go.
func (p *plan) procs() []string { return []string{fmt.Sprintf("GOMAXPROCS=%d", max(p.Procs, 1))} }

// backend is the application.
type backend struct {
	proc  *process
	ports map[load.Protocol]uint16
}

func startBackend(t *tools, size int) (*backend, error) {
	b := load.Backend{Ports: map[load.Protocol]uint16{}, Bytes: size}
	for _, p := range []load.Protocol{load.HTTP1, load.HTTP2, load.GRPC, load.Stream, load.Echo, load.Source, load.Sink} {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		b.Ports[p] = port
	}
	arg, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	proc, err := spawn{name: "application", core: otherCore, argv: []string{t.self, "serve", string(arg)}, env: []string{"GOMAXPROCS=1"}}.start()
	if err != nil {
		return nil, err
	}
	return &backend{proc, b.Ports}, proc.listening(b.Ports[load.HTTP1])
}
