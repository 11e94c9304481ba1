package dns

import (
	"context"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func meshNames(_ context.Context, name string) ([]netip.Addr, bool, error) {
	switch name {
	case "a.":
		return []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("fd00::1")}, true, nil
	case "big.":
		var many []netip.Addr
		for i := range 255 {
			many = append(many, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		}
		return many, true, nil
	case "none.":
		return nil, true, nil
	case "broken.":
		return nil, true, errQuery
	}
	return nil, false, nil
}

func query(name string, change func(*dnsmessage.Message)) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	if change != nil {
		change(&m)
	}
	b, _ := m.Pack()
	return b
}

func TestAnswer(t *testing.T) {
	for _, x := range []struct {
		name    string
		query   []byte
		forward bool
		rcode   dnsmessage.RCode
		answers int
		cut     bool
	}{
		{"a name", query("A.", nil), false, 0, 1, false},
		{"the other family", query("a.", func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }), false, 0, 1, false},
		{"another type of a name that exists", query("a.", func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeMX }), false, 0, 0, false},
		{"no such name", query("none.", nil), false, dnsmessage.RCodeNameError, 0, false},
		{"nobody knows now", query("broken.", nil), false, dnsmessage.RCodeServerFailure, 0, false},
		{"not the mesh's", query("example.org.", nil), true, 0, 0, false},
		{"another class", query("a.", func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), false, dnsmessage.RCodeNotImplemented, 0, false},
		{"no question", query("a.", func(m *dnsmessage.Message) { m.Questions = nil }), false, dnsmessage.RCodeFormatError, 0, false},
		{"more than fits", query("big.", nil), false, 0, 63, true},
	} {
		b, forward, err := answer(t.Context(), x.query, maxDatagram, meshNames)
		if err != nil || forward != x.forward {
			t.Errorf("%s: forward %v, %v", x.name, forward, err)
		}
		if forward {
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil || m.RCode != x.rcode || len(m.Answers) != x.answers || m.Truncated != x.cut || !m.Response || m.ID != 1 || len(b) > maxDatagram {
			t.Errorf("%s: %+v, %d bytes, %v", x.name, m, len(b), err)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "half a header": {1, 2, 3}, "a response": query("a.", func(m *dnsmessage.Message) { m.Response = true })} {
		if _, _, err := answer(t.Context(), b, maxDatagram, meshNames); err == nil {
			t.Errorf("%s was answered", name)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(query("a.", nil))
	f.Add(query("big.", nil))
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 192, 12, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, forward, err := answer(context.Background(), b, maxDatagram, meshNames)
		if err != nil || forward {
			return
		}
		var p dnsmessage.Parser
		if h, err := p.Start(r); err != nil || !h.Response || len(r) > maxDatagram {
			t.Errorf("%x: %x, %v", b, r, err)
		}
	})
}
