package proxy

import (
	"context"
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/proxy/dns"
)

// resolve is the proxy's names: of services, as its workload may write them.
func (p *Proxy) resolve(ctx context.Context, name string) ([]netip.Addr, bool, error) {
	if p.callers.IsAway() {
		ended, end := context.WithCancel(ctx)
		end()
		ctx = ended // what is not known is asked for, and not waited for
	}
	namespace, _, _ := strings.Cut(p.opts.Workload, "/")
	for _, host := range dns.Hosts(strings.TrimSuffix(name, "."), namespace) {
		svc, err := p.service(ctx, host)
		if err != nil {
			return nil, dns.Ours(strings.TrimSuffix(name, ".")), err
		}
		if svc != nil {
			return dns.Addresses(svc), true, nil
		}
	}
	return nil, dns.Ours(strings.TrimSuffix(name, ".")), nil
}
