package control

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// vips assigns virtual IPs to services that have none, in 240.0.0.0/8: class E is routed nowhere (RFC 1112 section 4), so a call
// that misses its proxy fails instead of reaching a stranger. An assignment is kept as long as the control plane's state.
type vips struct {
	ByHost map[string]netip.Addr `json:"byHost"`
	taken  map[netip.Addr]bool
}

func newVIPs(byHost map[string]netip.Addr) *vips {
	v := &vips{ByHost: map[string]netip.Addr{}, taken: map[netip.Addr]bool{}}
	for host, a := range byHost {
		v.ByHost[host], v.taken[a] = a, true
	}
	return v
}

// of returns the address of a host; fresh: it was assigned just now. The address follows from the name, so that two control
// planes with the same services mostly agree.
func (v *vips) of(host string) (a netip.Addr, fresh bool) {
	if a, ok := v.ByHost[host]; ok {
		return a, false
	}
	h := fnv.New32a()
	h.Write([]byte(host))
	for n := h.Sum32(); ; n++ {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 240<<24|n%(1<<24-2)+1)
		if a := netip.AddrFrom4(b); !v.taken[a] {
			v.ByHost[host], v.taken[a] = a, true
			return a, true
		}
	}
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err
}
