package proxy

import (
	"cmp"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/probe"
	"github.com/weft-mesh/weft/proxy/profile"
	"github.com/weft-mesh/weft/traffic"
)

// Admin answers questions about the proxy over HTTP:
//
//	GET /ready      200, or 503 and why not
//	GET /metrics    Prometheus text
//	GET /probe/NAME 200 if the application is well by its probe of that name, else why not; see package probe
//	GET /stats      stat.Snapshot
//	GET /config     what is held, a held.Resource for each resource; with ?name=KIND/KEY that one's content
//	GET /endpoints  what was learnt of endpoints: an Endpoint each
//	GET /profile    what the process spends time or memory on, see profile.Take
//	POST /drain     begins to drain, and returns at once
//	POST /upgrade   has a new process take this one's place, and returns when it has: 200, or 503 and why not; ?limit=DURATION
//	                is how long connections may go on here after that
//
// The last six on a Unix socket only: they tell more than is everybody's business. Served by the engine's own HTTP/1.1: net/http
// would cost a proxy at rest 2 MB.
type Admin struct {
	Stats   *stat.Table
	Metrics *metrics.Registry
	Since   time.Time
	Drain   func()                          // POST /drain
	Upgrade func(limit time.Duration) error // POST /upgrade; 0: no limit was given
	Probe   func(name, agent string) error  // GET /probe/NAME, for a caller that calls itself agent
}

// Endpoint is what was learnt of one.
type Endpoint struct {
	Target   string    `json:"target"`
	Address  string    `json:"address"`
	Workload string    `json:"workload,omitempty"`
	Latency  float64   `json:"latencySeconds"`
	Pending  int32     `json:"pending"`
	Ejected  bool      `json:"ejected"`
	Until    time.Time `json:"until,omitzero"`
	Draining bool      `json:"draining,omitempty"`
}

// ServeAdmin answers on l until the proxy ends. private: l is a Unix socket that only the proxy's user reaches.
func (p *Proxy) ServeAdmin(l net.Listener, a *Admin, private bool) {
	srv := &h1.Server{Serve: func(c *traffic.Call) error { return c.Host.(*admin).serve(c) }, Done: p.done, Idle: time.Minute}
	p.admins.accept(l, nil, func(s *slot) {
		c := srv.NewConn(s.Conn, nil, &admin{engine{p}, a, private, s}, &traffic.Conn{}, "http")
		s.becomes(c.Shutdown)
		_ = c.Serve()
	})
}

// admin is the host of one connection's questions.
type admin struct {
	engine
	*Admin
	private bool
	by      *slot
}

// Forward is never used: every answer is made here.
func (a *admin) Forward(c *traffic.Call) error { return c.Fail(traffic.ErrConnect) }

func (a *admin) serve(c *traffic.Call) error {
	what := c.Method + " " + c.Path
	switch {
	case what == "GET /ready":
		return a.ready(c)
	case what == "GET /metrics" && a.Metrics != nil:
		return reply(c, 200, metrics.ContentType, a.Metrics.Append(nil))
	case a.Probe != nil && c.Method == "GET" && strings.HasPrefix(c.Path, probePath):
		return a.probe(c)
	case !a.private:
	case what == "GET /stats" && a.Stats != nil:
		s := a.Stats.Snapshot()
		s.Workload, s.Since, s.Now = a.p.opts.Workload, a.Since, a.p.now()
		return replyJSON(c, s)
	case what == "GET /config":
		return a.config(c)
	case what == "GET /endpoints":
		return replyJSON(c, a.endpoints())
	case what == "GET /profile":
		status, kind, body := profile.Take(c, a.p.admins.draining)
		return reply(c, status, kind, body)
	case what == "POST /drain" && a.Drain != nil:
		a.Drain()
		return reply(c, 202, textPlain, []byte("draining\n"))
	case what == "POST /upgrade" && a.Upgrade != nil:
		return a.upgrade(c)
	}
	return reply(c, 404, textPlain, []byte("there is /ready, /metrics or /probe/NAME, and on the Unix socket /stats, /config, /endpoints, /profile, POST /drain and POST /upgrade\n"))
}

const textPlain = "text/plain; charset=utf-8"

func reply(c *traffic.Call, status int, kind string, body []byte) error {
	c.Response.Status, c.Response.Local, c.Response.Body = status, true, &traffic.Bytes{B: body}
	c.Response.Header.Set("content-type", kind)
	return nil
}

func replyJSON(c *traffic.Call, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return reply(c, 500, textPlain, []byte(err.Error()+"\n"))
	}
	return reply(c, 200, "application/json", append(b, '\n'))
}

func (a *admin) ready(c *traffic.Call) error {
	if err := a.p.Ready(); err != nil {
		return reply(c, 503, textPlain, []byte(err.Error()+"\n"))
	}
	return reply(c, 200, textPlain, []byte("ready\n"))
}

const probePath = "/probe/"

func (a *admin) probe(c *traffic.Call) error {
	agent, _ := c.Header.Get("user-agent")
	err := a.Probe(strings.TrimPrefix(c.Path, probePath), agent)
	text := "well"
	if err != nil {
		text = err.Error()
	}
	return reply(c, probe.Status(err), textPlain, []byte(text+"\n"))
}

func (a *admin) upgrade(c *traffic.Call) error {
	var limit time.Duration
	if text, given := c.Param("limit"); given {
		var err error
		if limit, err = time.ParseDuration(text); err != nil || limit <= 0 {
			return reply(c, 400, textPlain, []byte("limit: want a duration, as 10m\n"))
		}
	}
	a.p.admins.remove(a.by) // the proxy does not yield before all questions have their answers; this one's comes after that
	a.by.finish(false)
	if err := a.Upgrade(limit); err != nil {
		return reply(c, 503, textPlain, []byte(err.Error()+"\n"))
	}
	return reply(c, 200, textPlain, []byte("upgraded\n"))
}

func (a *admin) config(c *traffic.Call) error {
	name, one := c.Param("name")
	if !one {
		return replyJSON(c, a.p.store.List())
	}
	v, known := a.p.store.Peek(name)
	switch {
	case !known:
		return reply(c, 404, textPlain, []byte(name+" was not asked for, or has not arrived\n"))
	case v == nil:
		return reply(c, 404, textPlain, []byte(name+" does not exist\n"))
	}
	return replyJSON(c, v)
}

func (a *admin) endpoints() []Endpoint {
	out := []Endpoint{}
	for t, list := range a.p.Learnt() {
		for _, s := range list {
			e := Endpoint{Target: t.String(), Address: s.Endpoint.Addr.String(), Workload: s.Endpoint.Workload, Latency: s.Latency.Seconds(),
				Pending: s.Pending, Draining: s.Endpoint.Draining}
			if s.Outlier.Until.After(a.p.now()) {
				e.Ejected, e.Until = true, s.Outlier.Until
			}
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Address, b.Address))
	})
	return out
}

// Learnt is what was learnt of endpoints.
func (p *Proxy) Learnt() map[traffic.Target][]balance.Snapshot { return p.state.Snapshot() }

// Count adds metrics of the proxy's own to a registry: of its connections, of callers turned away, of its certificate. It sets those
// of o by which they are counted; of is for the proxy that is made of o.
func Count(r *metrics.Registry, o *Options) (of func(*Proxy)) {
	turned := r.NewCounts("weft_refused_total", "Callers turned away before there was a call, and peers that broke a protocol.", "reason")
	closed := r.NewCounts("weft_cut_connections_total", "Connections that were closed though calls were under way on them.", "reason")
	certificates := r.NewCounts("weft_certificate_renewals_total", "Attempts to renew the certificate.", "outcome")
	o.Refused, o.Cut, o.Renewed = turned.Add, closed.Add, func(err error) {
		if err != nil {
			certificates.Add("failed")
			return
		}
		certificates.Add("renewed")
	}
	return func(p *Proxy) {
		r.NewGauge("weft_connections", "Connections that were accepted and are open.", func() float64 { return float64(p.sessions.count()) })
		r.NewGauge("weft_upstream_connections", "Connections to other proxies, and those over HTTP/2 to applications.", func() float64 { return float64(p.links.count()) })
		r.NewGauge("weft_ejected_endpoints", "Endpoints that are left out because they failed too often.", func() float64 {
			n := 0
			for _, e := range (&admin{engine: engine{p}}).endpoints() {
				if e.Ejected {
					n++
				}
			}
			return float64(n)
		})
		r.NewGauge("weft_certificate_expiry_seconds", "When the certificate in use expires, in Unix time; 0: there is none.", func() float64 {
			if own := p.opts.Cert.Identity(); own != nil {
				return float64(own.NotAfter.Unix())
			}
			return 0
		})
	}
}
