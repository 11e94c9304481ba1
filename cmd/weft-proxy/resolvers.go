package main

import (
	"net/netip"
	"os"
	"strings"

	"github.com/weft-mesh/weft/proxy/launch"
)

// resolvers are the machine's, for names that are not the mesh's: those that it was started with, or those of resolv.conf.
func resolvers(c *launch.Config) []netip.AddrPort {
	if len(c.Resolvers) > 0 {
		return c.Resolvers
	}
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return nameservers(string(b))
}

// nameservers reads resolv.conf (resolv.conf(5)).
func nameservers(text string) (out []netip.AddrPort) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}
