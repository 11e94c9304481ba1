// Package dns answers queries (RFC 1035) with what somebody knows of names, and hands those that are not his to other resolvers. A
// Server is told of names through a function, and is given its sockets.
package dns

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
)

const (
	ttl         = 5    // seconds; a service's address seldom changes, and a short time costs one loopback round trip
	maxDatagram = 1232 // bytes that fit any path (RFC 9715)
	maxMessage  = 65535
	patience    = 4 * time.Second // less than the 5 s after which resolvers ask again
)

// Lookup says what a name, in lower case and with its last dot, stands for. known: nobody else can know it, whether or not it exists;
// nil addresses: it does not. An error: nobody can say now.
type Lookup func(ctx context.Context, name string) (addrs []netip.Addr, known bool, err error)

// Server answers queries. Its fields are set once.
type Server struct {
	Lookup    Lookup
	Resolvers []netip.AddrPort // for names that Lookup does not know, asked in turn [such names do not exist]
	Go        func(func())     // runs a query beside others
}

var errQuery = errors.New("proxy: not a DNS query")

// answer makes the response to one query. forward: the name is not the mesh's.
func answer(ctx context.Context, query []byte, most int, lookup Lookup) (response []byte, forward bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil, false, errQuery
	}
	q, err := p.Question()
	if err != nil {
		return failure(h, nil, dnsmessage.RCodeFormatError), false, nil
	}
	if h.OpCode != 0 || q.Class != dnsmessage.ClassINET {
		return failure(h, &q, dnsmessage.RCodeNotImplemented), false, nil
	}
	addrs, known, err := lookup(ctx, strings.ToLower(q.Name.String()))
	switch {
	case !known: // it may well be somebody else's, also while nobody can say
		return nil, true, nil
	case err != nil:
		return failure(h, &q, dnsmessage.RCodeServerFailure), false, nil
	case addrs == nil:
		return failure(h, &q, dnsmessage.RCodeNameError), false, nil
	}
	return success(h, q, addrs, most), false, nil
}

func header(h dnsmessage.Header, code dnsmessage.RCode) dnsmessage.Header {
	return dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, Authoritative: true, RecursionDesired: h.RecursionDesired,
		RecursionAvailable: true, RCode: code}
}

func failure(h dnsmessage.Header, q *dnsmessage.Question, code dnsmessage.RCode) []byte {
	m := dnsmessage.Message{Header: header(h, code)}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
	}
	b, _ := m.Pack()
	return b
}

// success holds the addresses of the family that was asked for; those that do not fit are left out, and the response says so.
func success(h dnsmessage.Header, q dnsmessage.Question, addrs []netip.Addr, most int) []byte {
	m := dnsmessage.Message{Header: header(h, dnsmessage.RCodeSuccess), Questions: []dnsmessage.Question{q}}
	rr := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: ttl}
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

// ServePacket answers datagrams until the connection is closed.
func (s *Server) ServePacket(ctx context.Context, c net.PacketConn) {
	slots := make(chan struct{}, maxQueries)
	for {
		b := make([]byte, maxDatagram)
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // the resolver asks again
		}
		s.Go(func() {
			defer func() { <-slots }()
			if r := s.query(ctx, b[:n], maxDatagram); r != nil {
				_, _ = c.WriteTo(r, from)
			}
		})
	}
}

// maxQueries are answered at a time.
const maxQueries = 256

// ServeConn answers queries of one connection, each behind its length (RFC 1035 section 4.2.2).
func (s *Server) ServeConn(ctx context.Context, c net.Conn) {
	defer c.Close()
	for {
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		r := s.query(ctx, b, maxMessage)
		if r == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...)); err != nil {
			return
		}
	}
}

// query answers one, or hands it on; nil: there is no answer to give.
func (s *Server) query(ctx context.Context, q []byte, most int) []byte {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, forward, err := answer(ctx, q, most, s.Lookup)
	if err != nil || !forward {
		return r
	}
	for _, to := range s.Resolvers {
		if r, err := s.ask(ctx, to, q, most); err == nil {
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
	return failure(h, &question, dnsmessage.RCodeNameError)
}

// ask hands a query to another resolver.
func (s *Server) ask(ctx context.Context, to netip.AddrPort, q []byte, most int) ([]byte, error) {
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
