package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// ErrNoAddress says that a policy asks for the caller's address, and that the call names none.
var ErrNoAddress = errors.New("it is judged by the caller's address, and none is given: add at=ADDRESS to the call, or --at ADDRESS to weft explain")

// addressed refuses a call from outside without an address of which one would decide: no answer would be true.
func addressed(cfg *config.Set, q *Query) error {
	if q.From != "" || q.Source.IsValid() || cfg.Workloads[q.To] == nil {
		return nil
	}
	nets := slices.Clone(cfg.Workloads[q.To].Trusted) // what those say in headers counts
	for i := range cfg.Workloads[q.To].Inbound.Authz {
		nets = append(nets, cfg.Workloads[q.To].Inbound.Authz[i].Networks()...)
	}
	var all []netip.Addr
	for _, n := range nets {
		all = append(all, n.Masked().Addr(), last(n).Next()) // nothing changes between one of these and the next
	}
	if cfg.Workloads[q.To].ByAddress {
		all = append(all, ofPods(cfg, cfg.Workloads[q.To])...)
	}
	if len(all) == 0 {
		return nil
	}
	none, err := judged(cfg, *q, netip.Addr{})
	for i := 0; err == nil && i < len(all); i++ {
		if !all[i].IsValid() {
			continue
		}
		some, err := judged(cfg, *q, all[i])
		if err != nil {
			return err
		}
		if some != none {
			return fmt.Errorf("the call from outside to %s: %w", q.To, ErrNoAddress)
		}
	}
	return err
}

// ofPods are addresses of pods, one for all that the rules of w cannot tell apart.
func ofPods(cfg *config.Set, w *config.Workload) (out []netip.Addr) {
	var sources []*match.Source
	for i := range w.Inbound.Authz {
		sources = w.Inbound.Authz[i].Pods(sources)
	}
	seen := map[string]bool{}
	for at, pod := range cfg.Pods {
		var is []byte
		for p, i := (traffic.Peer{Pod: pod}), 0; i < len(sources); i++ {
			is = fmt.Append(is, sources[i].Match(&p, false), sources[i].Match(&p, true))
		}
		if !seen[string(is)] {
			seen[string(is)] = true
			out = append(out, netip.MustParseAddr(at))
		}
	}
	return out
}

// source is the caller of a call to w that comes from an address in the clear.
func (h *host) source(w *config.Workload, from netip.Addr) traffic.Peer {
	p := traffic.Peer{Addr: netip.AddrPortFrom(from, 0)}
	if w.ByAddress && !h.q.Datagrams {
		p.Pod = h.cfg.Pods[from.String()]
	}
	return p
}

// judged is what decides about a call from an address, in words.
func judged(cfg *config.Set, q Query, from netip.Addr) (string, error) {
	q.Source = from
	b, err := once(cfg, &q, 0)
	if b.By.Ref == nil {
		b.By.Ref = &decision.Ref{}
	}
	return fmt.Sprint(b.Status, b.By.Outcome, b.By.Reason, b.By.Ref.String()), err
}

// last is a network's last address.
func last(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
