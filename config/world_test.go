package config_test

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// resources are what proxies get, and messages what carries them.
var (
	resources = []any{config.Service{}, config.Address{}, config.Workload{}, config.Peer{}, traffic.Pod{}, config.Trust{}, config.Gateway{}}
	messages  = []any{stream.Up{}, stream.Down{}, stream.CertifyRequest{}, stream.CertifyResponse{}, stream.StandingRequest{}, stream.StandingResponse{}}
)

// mostNested is how often a type is filled inside itself.
const mostNested = 2

// filler makes values that differ.
type filler struct {
	n     int
	lists int // elements of each
}

// full sets every tagged field of the struct v: pointers point to something, lists have elements, numbers are not 0. What has no
// tag stays as it is.
func (f *filler) full(t testing.TB, v reflect.Value, within []reflect.Type) {
	t.Helper()
	f.n++
	if fill, ok := special[v.Type()]; ok {
		v.Set(reflect.ValueOf(fill(f.n)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.full(t, v.Elem(), within)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), f.lists, f.lists))
		for i := range f.lists {
			f.full(t, v.Index(i), within)
		}
	case reflect.Struct:
		f.fullStruct(t, v, append(slices.Clone(within), v.Type()))
	case reflect.String:
		v.SetString(fmt.Sprint("v", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(f.n) + .5)
	default:
		switch {
		case v.CanUint():
			v.SetUint(uint64(f.n%200 + 1))
		case v.CanInt():
			v.SetInt(-int64(f.n))
		default:
			t.Fatalf("no value for %v", v.Type())
		}
	}
}

func (f *filler) fullStruct(t testing.TB, v reflect.Value, within []reflect.Type) {
	if _, binary := v.Addr().Interface().(encoding.BinaryMarshaler); binary {
		t.Fatalf("no value for %v", v.Type())
	}
	for i := range v.NumField() {
		x := v.Type().Field(i)
		if x.Tag.Get("pb") == "" || count(within, base(x.Type)) > mostNested {
			continue
		}
		f.full(t, v.Field(i), within)
	}
}

func count(all []reflect.Type, t reflect.Type) (n int) {
	for _, x := range all {
		if x == t {
			n++
		}
	}
	return n
}

// base is what a pointer points to, and a list holds.
func base(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

var special = map[reflect.Type]func(int) any{
	reflect.TypeFor[netip.Addr]():     func(n int) any { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) },
	reflect.TypeFor[netip.AddrPort](): func(n int) any { return netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes(), uint16(n)) },
	reflect.TypeFor[netip.Prefix]():   func(n int) any { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n)}), 16) },
	reflect.TypeFor[identity.ID]():    func(n int) any { return identity.Of("cluster.local", "ns", fmt.Sprint("sa", n)) },
	reflect.TypeFor[time.Duration]():  func(n int) any { return time.Duration(n) * time.Millisecond },
	reflect.TypeFor[[]byte]():         func(n int) any { return []byte{byte(n), 0, 1} },
}

// fullOf returns a pointer to a struct of x's type with everything set, and lists of two.
func fullOf(t testing.TB, x any) any { return fullWith(t, x, 2) }

func fullWith(t testing.TB, x any, lists int) any {
	t.Helper()
	p := reflect.New(reflect.TypeOf(x))
	(&filler{lists: lists}).full(t, p.Elem(), nil)
	return p.Interface()
}

// each walks the types that resources and messages are made of.
func each(f func(reflect.Type)) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		t = base(t)
		if seen[t] || t.Kind() != reflect.Struct || isBinary(t) {
			return
		}
		seen[t] = true
		f(t)
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("pb") != "" {
				walk(t.Field(i).Type)
			}
		}
	}
	for _, x := range slices.Concat(resources, messages) {
		walk(reflect.TypeOf(x))
	}
}

func isBinary(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.BinaryMarshaler]())
}
