package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage" // the standard library's own message format, which it does not export

	"github.com/weft-mesh/weft/config"
)

// DNS answers with what the mesh knows (RFC 1035): a service's virtual addresses, or the addresses of a headless one's
// endpoints. A name of the cluster's domain that is no service does not exist; other names go to Options.Resolvers.

const (
	dnsTTL    = 5    // seconds; a service's address seldom changes, and a short time costs one loopback round trip
	dnsUDP    = 1232 // bytes that fit any path (RFC 9715)
	dnsStream = 65535
	dnsWait   = 4 * time.Second // less than the 5 s after which resolvers ask again
)

// names says what a name stands for; known: it is of the mesh's domain, whether or not it exists.
type names func(ctx context.Context, name string) (addrs []netip.Addr, known bool, err error)

var errQuery = errors.New("proxy: not a DNS query")

// answerDNS makes the response to one query. forward: the name is not the mesh's.
func answerDNS(ctx context.Context, query []byte, most int, lookup names) (response []byte, forward bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil, false, errQuery
	}
	q, err := p.Question()
	if err != nil {
		return dnsFailure(h, nil, dnsmessage.RCodeFormatError), false, nil
	}
	if h.OpCode != 0 || q.Class != dnsmessage.ClassINET {
		return dnsFailure(h, &q, dnsmessage.RCodeNotImplemented), false, nil
	}
	addrs, known, err := lookup(ctx, strings.ToLower(q.Name.String()))
	switch {
	case !known: // it may well be somebody else's, also while nobody can say
		return nil, true, nil
	case err != nil:
		return dnsFailure(h, &q, dnsmessage.RCodeServerFailure), false, nil
	case addrs == nil:
		return dnsFailure(h, &q, dnsmessage.RCodeNameError), false, nil
	}
	return dnsAnswer(h, q, addrs, most), false, nil
}

func dnsHeader(h dnsmessage.Header, code dnsmessage.RCode) dnsmessage.Header {
	return dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, Authoritative: true, RecursionDesired: h.RecursionDesired,
		RecursionAvailable: true, RCode: code}
}

func dnsFailure(h dnsmessage.Header, q *dnsmessage.Question, code dnsmessage.RCode) []byte {
	m := dnsmessage.Message{Header: dnsHeader(h, code)}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
	}
	b, _ := m.Pack()
	return b
}

// dnsAnswer holds the addresses of the family that was asked for; those that do not fit are left out, and the response says so.
func dnsAnswer(h dnsmessage.Header, q dnsmessage.Question, addrs []netip.Addr, most int) []byte {
	m := dnsmessage.Message{Header: dnsHeader(h, dnsmessage.RCodeSuccess), Questions: []dnsmessage.Question{q}}
	rr := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: dnsTTL}
	for _, a := range addrs {
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: rr, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: rr, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	b, err := m.Pack()
	for err == nil && len(b) > most {
		m.Truncated, m.Answers = true, m.Answers[:len(m.Answers)/2]
		b, err = m.Pack()
	}
	return b
}

// resolve is the proxy's names: of services, as its workload may write them.
func (p *Proxy) resolve(ctx context.Context, name string) ([]netip.Addr, bool, error) {
	for _, host := range p.hosts(strings.TrimSuffix(name, ".")) {
		svc, err := p.service(ctx, host)
		if err != nil {
			return nil, p.ours(strings.TrimSuffix(name, ".")), err
		}
		if svc != nil {
			return addressesOf(svc), true, nil
		}
	}
	return nil, p.ours(strings.TrimSuffix(name, ".")), nil
}

// hosts are the full names that a name may mean: NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc, and the full one.
func (p *Proxy) hosts(name string) []string {
	namespace, _, _ := strings.Cut(p.opts.Workload, "/")
	labels := strings.Split(name, ".")
	switch {
	case name == "":
		return nil
	case len(labels) == 1:
		return []string{name + "." + namespace + clusterSuffix}
	case len(labels) == 2:
		return []string{name + clusterSuffix}
	case len(labels) == 3 && labels[2] == "svc":
		return []string{name + strings.TrimPrefix(clusterSuffix, ".svc")}
	case strings.HasSuffix(name, clusterSuffix) && len(labels) == 5:
		return []string{name}
	}
	return nil
}

// clusterSuffix ends full names of services (Kubernetes DNS specification 1.1.0).
const clusterSuffix = ".svc.cluster.local"

// ours says whether nobody else can know the name.
func (p *Proxy) ours(name string) bool {
	return strings.HasSuffix(name, ".cluster.local") || !strings.Contains(name, ".")
}

func addressesOf(svc *config.Service) []netip.Addr {
	if !svc.Headless {
		return append([]netip.Addr{}, svc.IPs...)
	}
	out := []netip.Addr{}
	seen := map[netip.Addr]bool{}
	for i := range svc.Ports {
		for _, e := range svc.Ports[i].Pools[0].Endpoints {
			if a := e.Addr.Addr(); !seen[a] && !e.Draining {
				out, seen[a] = append(out, a), true
			}
		}
	}
	return out
}

// serveDNS answers datagrams until the connection is closed.
func (p *Proxy) serveDNS(ctx context.Context, c net.PacketConn) {
	slots := make(chan struct{}, maxQueries)
	for {
		b := make([]byte, dnsUDP)
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // the resolver asks again
		}
		p.tasks.Go(func() {
			defer func() { <-slots }()
			if r := p.query(ctx, b[:n], dnsUDP); r != nil {
				_, _ = c.WriteTo(r, from)
			}
		})
	}
}

// maxQueries are answered at a time.
const maxQueries = 256

// serveDNSStream answers queries of one connection, each behind its length (RFC 1035 section 4.2.2).
func (p *Proxy) serveDNSStream(ctx context.Context, c net.Conn) {
	defer c.Close()
	for {
		_ = c.SetDeadline(time.Now().Add(2 * dnsWait))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		r := p.query(ctx, b, dnsStream)
		if r == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...)); err != nil {
			return
		}
	}
}

// query answers one, or hands it on; nil: there is no answer to give.
func (p *Proxy) query(ctx context.Context, q []byte, most int) []byte {
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	r, forward, err := answerDNS(ctx, q, most, p.resolve)
	if err != nil || !forward {
		return r
	}
	for _, to := range p.opts.Resolvers {
		if r, err := p.ask(ctx, to, q, most); err == nil {
			return r
		}
	}
	return nothing(q)
}

// nothing says that a name does not exist: nobody is there to know more.
func nothing(q []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(q)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	return dnsFailure(h, &question, dnsmessage.RCodeNameError)
}

// ask hands a query to another resolver.
func (p *Proxy) ask(ctx context.Context, to netip.AddrPort, q []byte, most int) ([]byte, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	at, _ := ctx.Deadline()
	_ = c.SetDeadline(at)
	if _, err := c.Write(q); err != nil {
		return nil, err
	}
	b := make([]byte, most)
	n, err := c.Read(b)
	if err == nil && (n < 2 || b[0] != q[0] || b[1] != q[1]) {
		err = errors.New("an answer to another query")
	}
	return b[:n], err
}
