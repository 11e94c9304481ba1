package config_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func TestEveryFieldTravels(t *testing.T) {
	for _, x := range slices.Concat(resources, messages) {
		t.Run(reflect.TypeOf(x).String(), func(t *testing.T) {
			v := fullOf(t, x)
			b := config.Append(nil, v)
			got := reflect.New(reflect.TypeOf(x)).Interface()
			if err := config.Parse(b, got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, v) {
				t.Errorf("%+v\nbecame\n%+v", v, got)
			}
			if !bytes.Equal(config.Append(nil, got), b) {
				t.Error("the same value gives other bytes: its version would change")
			}
			if !bytes.Equal(config.Append([]byte("before"), v), append([]byte("before"), b...)) {
				t.Error("what was there before is gone")
			}
			clear(b)
			if !reflect.DeepEqual(got, v) {
				t.Error("it keeps a part of the bytes")
			}
		})
	}
}

// stayHome are fields of what travels that are for the control plane alone, or made anew by Compile.
var stayHome = []string{"mesh.Rule.Caller", "mesh.Rule.Port", "mesh.Rule.Hostname", "traffic.Secure.Key"}

// A field that is added without a tag would be lost on its way to the proxies, in silence.
func TestFieldsThatStayHome(t *testing.T) {
	var got []string
	each(func(s reflect.Type) {
		for i := range s.NumField() {
			if f := s.Field(i); f.IsExported() && f.Tag.Get("pb") == "" {
				got = append(got, s.String()+"."+f.Name)
			}
		}
	})
	if !slices.Equal(got, stayHome) {
		t.Errorf("fields without a pb tag: %q, want %q; number it, or say here that it stays", got, stayHome)
	}
}

func TestZeroAndAbsent(t *testing.T) {
	if b := config.Append(nil, &config.Service{}); len(b) != 0 {
		t.Errorf("%x", b)
	}
	// a pointer to zero says something: unset and zero are different
	for _, v := range []*config.Workload{{Inbound: mesh.Inbound{MTLS: nil}}, fullOf(t, config.Workload{}).(*config.Workload)} {
		if v.Inbound.MTLS != nil {
			*v.Inbound.MTLS = mtls.Policy{}
		}
		got := new(config.Workload)
		if err := config.Parse(config.Append(nil, v), got); err != nil || (got.Inbound.MTLS == nil) != (v.Inbound.MTLS == nil) {
			t.Errorf("%+v became %+v, %v", v.Inbound, got.Inbound, err)
		}
	}
}

// Fields that a neighbouring version has and this one has not are skipped, whatever their wire type
// (https://protobuf.dev/programming-guides/proto3/#unknowns).
func TestUnknownFieldsAreSkipped(t *testing.T) {
	v := fullOf(t, config.Peer{}).(*config.Peer)
	b := config.Append(nil, v)
	for _, more := range [][]byte{
		protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1<<63),
		protowire.AppendFixed64(protowire.AppendTag(nil, 1000, protowire.Fixed64Type), 1),
		protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), []byte("later")),
		protowire.AppendFixed32(protowire.AppendTag(nil, 1000, protowire.Fixed32Type), 1),
		protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.VarintType), 1),
	} {
		for _, all := range [][]byte{slices.Concat(b, more), slices.Concat(more, b)} {
			got := new(config.Peer)
			if err := config.Parse(all, got); err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("with %x: %+v, %v", more, got, err)
			}
		}
	}
}

func TestBadBytes(t *testing.T) {
	for _, x := range []struct {
		what string
		b    []byte
		says string
	}{
		{"a tag that ends", []byte{0x80}, "cut short"},
		{"a tag that does not end", bytes.Repeat([]byte{0x80}, 20), "cut short"},
		{"a number that ends", []byte{0x20, 0x80}, "cut short"},
		{"a length beyond the end", []byte{0x0a, 5, 'a'}, "cut short"},
		{"a length beyond all", binary.AppendUvarint([]byte{0x0a}, 1<<63), "cut short"},
		{"eight bytes that are seven", append([]byte{1<<3 | 1}, make([]byte, 7)...), "cut short"},
		{"four bytes that are three", []byte{100<<3&0x7f | 5 | 0x80, 6, 0, 0, 0}, "cut short"},
		{"a group", []byte{0x0b}, "wire type"},
		{"a string that is a number", []byte{0x08, 1}, "wire type"},
		{"a bool that is a string", []byte{0x22, 1, 'a'}, "wire type"},
		{"an address that is none", []byte{0x1a, 3, 1, 2, 3}, "IPs"},
		{"a port of 17 bits", []byte{0x2a, 4, 0x08, 0x80, 0x80, 0x04}, "out of range"},
	} {
		if err := config.Parse(x.b, new(config.Service)); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want it to say %q", x.what, err, x.says)
		}
	}
	whole := config.Append(nil, fullOf(t, config.Service{}))
	for n := 0; n < len(whole); n += 1 + len(whole)/500 { // no end in the wrong place may panic
		_ = config.Parse(whole[:n], new(config.Service))
	}
}

// nest is messages inside of each other; no resource nests without end today.
type nest struct {
	In []nest `pb:"1"`
}

func nested(depth int) *nest {
	n := &nest{}
	for range depth {
		n = &nest{[]nest{*n}}
	}
	return n
}

func TestDepthIsBounded(t *testing.T) {
	if err := config.Parse(config.Append(nil, nested(60)), new(nest)); err != nil {
		t.Error(err)
	}
	if err := config.Parse(config.Append(nil, nested(1000)), new(nest)); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Errorf("%.100v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, x := range slices.Concat(resources, messages) {
		f.Add(config.Append(nil, fullWith(f, x, 1)))
	}
	f.Add([]byte{0x2a, 0x00, 0x2a, 0x02, 0x2a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, x := range resources {
			one, two := reflect.New(reflect.TypeOf(x)).Interface(), reflect.New(reflect.TypeOf(x)).Interface()
			if config.Parse(b, one) != nil {
				continue
			}
			out := config.Append(nil, one)
			if err := config.Parse(out, two); err != nil {
				t.Fatalf("%v of what was just written: %x", err, out)
			}
			if again := config.Append(nil, two); !bytes.Equal(again, out) {
				t.Errorf("%x became %x", out, again)
			}
		}
	})
}

// large is a service with 100 endpoints and 20 rules.
func large(t testing.TB) *config.Service {
	s := fullWith(t, config.Service{}, 1).(*config.Service)
	rule := s.Ports[0].Rules[0]
	p := config.Port{Number: 80, Name: "http", Proto: traffic.HTTP1, Pools: []config.Pool{{}}}
	for range 20 {
		p.Rules = append(p.Rules, rule)
	}
	for n := range 100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 64, 0, byte(n)}), 9080)
		p.Pools[0].Endpoints = append(p.Pools[0].Endpoints, traffic.Endpoint{Addr: at, ID: identity.Of("cluster.local", "default", "reviews"),
			Workload: fmt.Sprint("default/reviews-v1-", n), Tunnel: netip.AddrPortFrom(at.Addr(), 15008), Weight: 1})
	}
	s.Ports = []config.Port{p}
	return s
}

func BenchmarkAppend(b *testing.B) {
	s := large(b)
	out := config.Append(nil, s)
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		out = config.Append(out[:0], s)
	}
}

func BenchmarkParse(b *testing.B) {
	in := config.Append(nil, large(b))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := config.Parse(in, new(config.Service)); err != nil {
			b.Fatal(err)
		}
	}
}
