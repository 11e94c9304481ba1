package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// ready readies all that a service's configuration has to be compiled for, and refuses what can't take effect as it says: before
// anything of it is taken into use, so that the last good configuration stays whole.
func ready(cfg *config.Service, egress []authz.Engine) error {
	if err := compileEngines(egress); err != nil {
		return err
	}
	for i := range cfg.Ports {
		p := &cfg.Ports[i]
		if p.Proto > traffic.Detect {
			return fmt.Errorf("chain: %s port %d: protocol %d is not known; the proxy may be older than the control plane", cfg.Host, p.Number, p.Proto)
		}
		for j := range p.Rules {
			if err := readyRule(&p.Rules[j]); err != nil {
				return refused(cfg, p, &p.Rules[j].Ref, err)
			}
		}
		for j := range p.Pools {
			if err := readyPool(&p.Pools[j]); err != nil {
				return refused(cfg, p, &p.Pools[j].Policy.Secure.Ref, err)
			}
		}
		for j := range p.Profile {
			if err := readyRule(&p.Profile[j]); err != nil {
				return refused(cfg, p, &p.Profile[j].Ref, err)
			}
		}
	}
	for i := range cfg.Datagrams {
		p := &cfg.Datagrams[i]
		for j := range p.Pools {
			if err := readyPool(&p.Pools[j]); err != nil {
				return refused(cfg, p, &p.Pools[j].Policy.Secure.Ref, err)
			}
		}
	}
	return nil
}

func readyPool(p *config.Pool) error {
	if p.Policy.Secure == nil {
		return nil
	}
	return readySecure(p.Policy.Secure, nil)
}

// readySecure refuses what the proxy could not check: it must not be taken for less. Connections that differ in what they prove, or by
// the certificate that is shown, are told apart by Key.
func readySecure(s *traffic.Secure, shown *mesh.Certificate) error {
	if s.Mode > traffic.Barred {
		return fmt.Errorf("TLS mode %d is not known; the proxy may be older than the control plane", s.Mode)
	}
	parts := slices.Concat(s.Roots, [][]byte{nil}) // which no certificate is
	for _, name := range s.Names {
		parts = append(parts, []byte(name))
	}
	if parts = append(parts, nil); shown != nil {
		parts = append(parts, shown.Chain...)
	}
	if len(parts) == 2 {
		return nil
	}
	sum := sha256.New()
	for _, x := range parts {
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(x))))
		sum.Write(x)
	}
	s.Key = string(sum.Sum(nil))
	return nil
}

func refused(cfg *config.Service, p *config.Port, ref *decision.Ref, err error) error {
	return fmt.Errorf("chain: %s port %d: %v: %w", cfg.Host, p.Number, ref, err)
}

func readyRule(r *mesh.Rule) error {
	errs := []error{r.Compile()}
	if r.Redirect != nil {
		errs = append(errs, r.Redirect.Validate())
	}
	if r.Rewrite != nil {
		errs = append(errs, r.Rewrite.Compile())
	}
	if r.CORS != nil {
		errs = append(errs, r.CORS.Compile())
	}
	for _, p := range []*fault.Policy{r.Fault, r.Answer} {
		if p != nil {
			errs = append(errs, p.Validate())
		}
	}
	for _, p := range []*timeout.Policy{r.Timeout, r.Attempt} {
		if p != nil {
			errs = append(errs, p.Validate())
		}
	}
	if r.Retry != nil {
		errs = append(errs, r.Retry.Validate())
	}
	for i := range r.Mirrors {
		errs = append(errs, r.Mirrors[i].Validate())
	}
	for _, h := range edits(r) {
		errs = append(errs, h.Validate())
	}
	return errors.Join(errs...)
}

// edits are those of the rule and of its backends.
func edits(r *mesh.Rule) (all []*headers.Policy) {
	if r.Headers != nil {
		all = append(all, r.Headers)
	}
	for i := range r.Backends {
		if h := r.Backends[i].Headers; h != nil {
			all = append(all, h)
		}
	}
	return all
}

func readyInbound(in *mesh.Inbound) error {
	if in.MTLS != nil {
		if err := in.MTLS.Validate(); err != nil {
			return fmt.Errorf("chain: %v: %w", &in.MTLS.Ref, err)
		}
	}
	return compileEngines(in.Authz)
}

func compileEngines(engines []authz.Engine) error {
	for i := range engines {
		if err := engines[i].Compile(); err != nil {
			return fmt.Errorf("chain: %w", err)
		}
	}
	return nil
}
