package transcript

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/mesh"
)

// Repeated says whether a call is made several times, or beside others: it has to be made as one of calls in order.
func (c *Call) Repeated() bool { return c.Times > 0 || c.Beside > 0 }

// Jar keeps the cookies that a call's answers set.
type Jar []string

// Keep takes what an answer sets. A cookie takes the place of the one that had its name.
func (j *Jar) Keep(b *explain.Branch) {
	for _, h := range b.Returns {
		if h[0] != "set-cookie" {
			continue
		}
		pair, _, _ := strings.Cut(h[1], ";")
		name, _, _ := strings.Cut(pair, "=")
		at := slices.IndexFunc(*j, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if at < 0 {
			*j = append(*j, pair)
		} else {
			(*j)[at] = pair
		}
	}
}

// Nth is the call as it is made for the nth time, with the cookies that it was given before.
func (c *Call) Nth(n int, jar Jar) *Call {
	x := *c
	at := func(text string) string { return strings.ReplaceAll(text, "{n}", strconv.Itoa(n)) }
	x.URL = &url.URL{Scheme: c.URL.Scheme, Host: c.URL.Host, Path: c.URL.Path, RawPath: c.URL.RawPath, RawQuery: at(c.URL.RawQuery)}
	x.Header = nil
	for _, h := range c.Header {
		x.Header = append(x.Header, [2]string{h[0], at(h[1])})
	}
	if c.Cookies && len(jar) > 0 {
		x.Header = append(x.Header, [2]string{"cookie", strings.Join(jar, "; ")})
	}
	return &x
}

// Session makes calls by decision, in order: by proxies that remember, at times that pass.
type Session struct {
	mesh    *mesh.Snapshot
	proxies map[string]*explain.Proxy
	apps    map[string]explain.App
	now     time.Time
	chance  *rand.PCG // of the same numbers each time, so that a transcript that holds goes on to
}

// NewSession begins with proxies that remember nothing.
func NewSession(s *mesh.Snapshot) *Session {
	return &Session{mesh: s, proxies: map[string]*explain.Proxy{}, apps: map[string]explain.App{}, now: Now, chance: rand.NewPCG(1, 2)}
}

// Do takes a step, and returns what became of its calls.
func (s *Session) Do(x *Step) ([]explain.Branch, error) {
	if x.Call != nil {
		return s.calls(x.Call)
	}
	s.now = s.now.Add(x.After)
	if x.Workload == "" {
		return nil, nil
	}
	for _, key := range []string{x.Workload, "default/" + x.Workload} {
		if s.mesh.Workloads.Get(key) != nil {
			s.apps[key] = x.App
			return nil, nil
		}
	}
	return nil, fmt.Errorf("there is no workload %q", x.Workload)
}

func (s *Session) calls(c *Call) (got []explain.Branch, err error) {
	for range c.Beside {
		beside, err := s.begin(c.Nth(1, nil))
		if err != nil {
			return nil, err
		}
		defer beside.End()
	}
	var jar Jar
	for n := range max(c.Times, 1) {
		one, err := s.begin(c.Nth(n+1, jar))
		if err != nil {
			return nil, err
		}
		b := one.End()
		jar.Keep(&b)
		got = append(got, b)
	}
	return got, nil
}

func (s *Session) begin(c *Call) (*explain.Open, error) {
	asked := c.Asked()
	asked.Now = s.now
	q, err := asked.Query(s.mesh)
	if err != nil {
		return nil, err
	}
	q.Apps = s.apps
	p := s.proxies[q.Caller()]
	if p == nil {
		p = explain.NewProxy(compile.All(s.mesh, s.mesh.Workloads.Get(q.Caller())))
		s.proxies[q.Caller()] = p
	}
	o, err := p.Begin(&q, s.chance.Uint64())
	if err == nil {
		s.now = o.Now()
	}
	return o, err
}
