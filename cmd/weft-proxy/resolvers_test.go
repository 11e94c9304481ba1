package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestNameservers(t *testing.T) {
	got := nameservers("# a comment\nsearch a b\nnameserver 127.0.0.53\noptions ndots:5\nnameserver ::1\nnameserver nonsense\nnameserver\n")
	want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.53:53"), netip.MustParseAddrPort("[::1]:53")}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
