package proxy

import (
	"context"
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/config"
)

// resolve is the proxy's names: of services, as its workload may write them.
func (p *Proxy) resolve(ctx context.Context, name string) ([]netip.Addr, bool, error) {
	if p.away.Load() {
		ended, end := context.WithCancel(ctx)
		end()
		ctx = ended // what is not known is asked for, and not waited for
	}
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
