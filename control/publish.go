package control

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/stream"
)

// publisher encodes resources, each class of a service once, and says who wants what. It is of the owner's goroutine alone.
type publisher struct {
	snap     *mesh.Snapshot
	trust    config.Trust
	sessions map[string][]*session        // by workload, in the order of their coming; none is empty
	wanted   map[string]map[*session]bool // by resource name
	services map[string]*encodings        // by host; what was encoded and is still true
	scratch  []byte                       // for encoding: what is kept has the size that it needs
}

type encodings = stream.Bodies[compile.Class]

// none is the body of what does not exist.
var none = new(stream.Body)

func newPublisher() *publisher {
	return &publisher{snap: mesh.New(), sessions: map[string][]*session{}, wanted: map[string]map[*session]bool{},
		services: map[string]*encodings{}}
}

// subscribe notes that s wants a resource of which it has version held, and sends it if it has another.
func (p *publisher) subscribe(s *session, name string, held uint64) {
	if p.wanted[name] == nil {
		p.wanted[name] = map[*session]bool{}
	}
	p.wanted[name][s] = true
	if b := p.body(name, s, held); held == 0 || held != b.Version {
		s.push(name, b)
	} else {
		s.sent(name, held)
	}
}

func (p *publisher) unsubscribe(s *session, name string) {
	delete(p.wanted[name], s)
	if len(p.wanted[name]) == 0 {
		delete(p.wanted, name)
	}
	s.forget(name)
}

var errMany = errors.New("the workload has opened too many streams")

// mostSessions bounds the streams for one workload: its proxy has one, and while it is upgraded two; the rest is of connections that
// broke and of which nobody has heard yet. The oldest ends.
const mostSessions = 8

func (p *publisher) open(s *session) {
	of := append(p.sessions[s.workload], s)
	p.sessions[s.workload] = of
	if n := len(of) - mostSessions; n > 0 {
		of[n-1].end(errMany)
	}
}

// makeRoom ends the older streams of the workload of s where all of them together would want more than one proxy may.
func (p *publisher) makeRoom(s *session, more int) {
	n := more
	for _, x := range p.sessions[s.workload] {
		n += x.wants()
	}
	for _, x := range p.sessions[s.workload] {
		if n <= mostNames || x == s {
			return
		}
		n -= x.wants()
		x.end(errMany)
	}
}

func (p *publisher) close(s *session) {
	if i := slices.Index(p.sessions[s.workload], s); i >= 0 {
		p.sessions[s.workload] = slices.Delete(p.sessions[s.workload], i, i+1)
	}
	if len(p.sessions[s.workload]) == 0 {
		delete(p.sessions, s.workload)
	}
	for _, name := range s.names() {
		if delete(p.wanted[name], s); len(p.wanted[name]) == 0 {
			delete(p.wanted, name)
		}
	}
}

// update takes a new snapshot into use: whoever wants something that was touched gets it.
func (p *publisher) update(now *mesh.Snapshot, t *mesh.Touched) {
	old := p.snap
	p.snap = now
	if t.AllHosts {
		p.services = map[string]*encodings{}
	}
	for host := range t.Hosts {
		delete(p.services, host)
	}
	for name := range p.touched(old, t) {
		p.resend(name)
	}
	for key := range t.Workloads { // a change of labels moves a workload to another class, one of its account lets it see a gateway
		for _, s := range p.sessions[key] {
			p.reclass(s)
		}
	}
}

// touched returns the names, among those that anybody wants, that a change may have altered.
func (p *publisher) touched(old *mesh.Snapshot, t *mesh.Touched) map[string]bool {
	names := map[string]bool{}
	for host := range t.Hosts {
		names[config.Name(config.KindService, host)] = true
		for _, snap := range []*mesh.Snapshot{old, p.snap} {
			virtual(snap.Services.Get(host), names)
			p.members(snap, snap.Services.Get(host), names)
		}
	}
	for key := range t.Workloads {
		for _, snap := range []*mesh.Snapshot{old, p.snap} {
			about(snap.Workloads.Get(key), names)
		}
		names[config.Name(config.KindPeer, key)] = true
	}
	for key := range t.Gateways {
		names[config.Name(config.KindGateway, key)] = true
	}
	p.declared(old, t, names)
	for ns := range t.Namespaces {
		for w := range p.snap.MembersOf(ns) {
			names[config.Name(config.KindWorkload, w.Key())] = true
		}
	}
	if t.Everybody || t.AllHosts {
		for name := range p.wanted {
			kind, _ := config.Cut(name)
			names[name] = names[name] || (kind == config.KindService || kind == config.KindAddress) && t.AllHosts || kind == config.KindWorkload && t.Everybody
		}
	}
	maps.DeleteFunc(names, func(name string, on bool) bool { return !on || p.wanted[name] == nil })
	return names
}

// virtual adds a service's virtual IPs.
func virtual(svc *mesh.Service, names map[string]bool) {
	if svc == nil {
		return
	}
	for _, ip := range svc.IPs {
		names[config.Name(config.KindAddress, ip.String())] = true
	}
}

// about adds what is told of a workload.
func about(w *mesh.Workload, names map[string]bool) {
	if w == nil {
		return
	}
	names[config.Name(config.KindWorkload, w.Key())] = true
	for _, ip := range w.Addrs() {
		names[config.Name(config.KindAddress, ip.String())], names[config.Name(config.KindPod, ip.String())] = true, true
	}
}

// members adds the addresses of a headless service's endpoints that anybody wants: they say of which service they are.
func (p *publisher) members(snap *mesh.Snapshot, svc *mesh.Service, names map[string]bool) {
	if svc == nil || !svc.Headless {
		return
	}
	for i := range svc.Ports {
		for _, e := range snap.Endpoints(svc, &svc.Ports[i], nil) {
			if name := config.Name(config.KindAddress, e.Addr.Addr().String()); p.wanted[name] != nil {
				names[name] = true
			}
		}
	}
}

// declared adds the workloads that a service leads to where the service itself has changed: it may declare the protocols of their
// ports.
func (p *publisher) declared(old *mesh.Snapshot, t *mesh.Touched, names map[string]bool) {
	for host := range t.Hosts {
		if old.Services.Get(host) == p.snap.Services.Get(host) {
			continue
		}
		for _, snap := range []*mesh.Snapshot{old, p.snap} {
			svc := snap.Services.Get(host)
			if svc == nil {
				continue
			}
			for i := range svc.Ports {
				for _, e := range snap.Endpoints(svc, &svc.Ports[i], nil) {
					about(e.Workload, names)
				}
			}
		}
	}
}

func (p *publisher) resend(name string) {
	for s := range p.wanted[name] {
		p.renew(s, name)
	}
}

func (p *publisher) reclass(s *session) {
	for _, name := range s.names() {
		if kind, _ := config.Cut(name); kind == config.KindService || kind == config.KindAddress || kind == config.KindGateway {
			p.renew(s, name)
		}
	}
}

// renew sends a resource unless it is the one that was sent last.
func (p *publisher) renew(s *session, name string) {
	last := s.last(name)
	if b := p.body(name, s, last); b.Version != last {
		s.push(name, b)
	}
}

func (p *publisher) setTrust(t config.Trust) {
	p.trust = t
	p.resend(config.Name(config.KindTrust, t.Domain))
}

// body is a resource as s may see it; none: there is none. The bytes may be left out of the version that is held.
func (p *publisher) body(name string, s *session, held uint64) *stream.Body {
	switch kind, key := config.Cut(name); kind {
	case config.KindService:
		return p.service(key, s.workload, held)
	case config.KindAddress:
		return p.address(key, s.workload)
	case config.KindWorkload:
		if key == s.workload {
			return encode(p, compile.Workload(p.snap, key))
		}
	case config.KindPeer:
		return encode(p, compile.Peer(p.snap, key))
	case config.KindPod:
		if addr, err := parseAddr(key); err == nil {
			return encode(p, compile.Pod(p.snap, addr))
		}
	case config.KindGateway:
		// It holds private keys: for whoever has proved the account, and not for who is said to have it.
		if g, w := p.snap.Gateways.Get(key), p.snap.Workloads.Get(s.workload); g != nil && w != nil && g.Runs(w) && s.account == g.Account {
			return encode(p, compile.Gateway(p.snap, key))
		}
	case config.KindTrust:
		if key == p.trust.Domain {
			return encode(p, &p.trust)
		}
	}
	return none
}

func (p *publisher) service(host, workload string, held uint64) *stream.Body {
	svc := p.snap.Services.Get(host)
	if svc == nil {
		return none
	}
	class := compile.ClassOf(p.snap, svc, p.snap.Workloads.Get(workload))
	known := p.services[host]
	if known == nil {
		known = new(encodings)
		p.services[host] = known
	}
	if b := known.Get(class, held); b != nil {
		return b
	}
	b := encode(p, compile.Service(p.snap, host, class))
	known.Add(class, b)
	return b
}

func (p *publisher) address(ip, workload string) *stream.Body {
	addr, err := parseAddr(ip)
	if err != nil {
		return none
	}
	return encode(p, compile.Address(p.snap, addr, p.snap.Workloads.Get(workload)))
}

func encode[T any](p *publisher, v *T) *stream.Body {
	if v == nil {
		return none
	}
	p.scratch = config.Append(p.scratch[:0], v)
	return &stream.Body{Version: stream.VersionOf(p.scratch), Bytes: bytes.Clone(p.scratch)}
}
