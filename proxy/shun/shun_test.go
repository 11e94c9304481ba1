package shun

import (
	"net/netip"
	"testing"
	"time"
)

var at = time.Unix(1e9, 0)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestDoubles: each breach of a connection that was let in again doubles the time, up to the longest; a long good behaviour ends it.
func TestDoubles(t *testing.T) {
	var l List
	a, now := addr("192.0.2.1"), at
	if l.Turns(a, now) {
		t.Fatal("an address that did nothing is turned away")
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Second
		l.Breach(a, now, now)
		if !l.Turns(a, now.Add(want-1)) || l.Turns(a, now.Add(want)) {
			t.Errorf("not turned away for %v", want)
		}
		if l.Turns(addr("192.0.2.2"), now) {
			t.Error("another address is turned away")
		}
		now = now.Add(want)
	}
	now = now.Add(forgive)
	l.Breach(a, now, now)
	if !l.Turns(a, now.Add(first-1)) || l.Turns(a, now.Add(first)) {
		t.Error("not forgiven")
	}
}

// TestSameTry: connections that were open when their address was first turned away do not prolong it.
func TestSameTry(t *testing.T) {
	var l List
	a := addr("192.0.2.1")
	l.Breach(a, at, at.Add(time.Millisecond))
	for range 8 {
		l.Breach(a, at, at.Add(500*time.Millisecond))
	}
	if l.Turns(a, at.Add(time.Millisecond+first)) {
		t.Error("prolonged by connections of the same try")
	}
}

// TestPlace: a host has a whole /64 of IPv6 to come from; IPv4 is the same however it is written.
func TestPlace(t *testing.T) {
	for _, c := range []struct {
		breach, comes string
		want          bool
	}{
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		var l List
		l.Breach(addr(c.breach), at, at)
		if got := l.Turns(addr(c.comes), at); got != c.want {
			t.Errorf("after %s, %s is turned away: %v", c.breach, c.comes, got)
		}
	}
}

// TestBounded: the list has a bound; whoever has the least time left is forgotten first.
func TestBounded(t *testing.T) {
	var l List
	for i := range most + 10 {
		l.Breach(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), at, at.Add(time.Duration(i)))
	}
	if len(l.by) != most || l.Turns(addr("10.0.0.9"), at) || !l.Turns(addr("10.0.0.10"), at) {
		t.Errorf("%d are remembered", len(l.by))
	}
	l.Breach(addr("192.0.2.1"), at, at.Add(2*forgive))
	if len(l.by) != 1 {
		t.Errorf("%d are remembered after all were forgiven", len(l.by))
	}
}
