// Package mtls decides whether a workload takes calls that did not come by mutual TLS.
package mtls

import (
	"fmt"

	"github.com/weft-mesh/weft/decision"
)

// Mode orders from the laxest to the strictest.
type Mode uint8

const (
	Unset Mode = iota
	Disable
	Permissive
	Strict
)

func (m Mode) String() string { return [...]string{"unset", "disable", "permissive", "strict"}[m] }

// Policy holds for all ports but those that have a mode of their own.
type Policy struct {
	Ref   decision.Ref `pb:"1"`
	Mode  Mode         `pb:"2"` // [Permissive]
	Ports []Port       `pb:"3"`
}

// Validate refuses a mode that it does not know: it may be stricter than all others.
func (p *Policy) Validate() error {
	for _, m := range append([]Port{{Mode: p.Mode}}, p.Ports...) {
		if m.Mode > Strict {
			return fmt.Errorf("mtls: mode %d is not known; the proxy may be older than the control plane", m.Mode)
		}
	}
	return nil
}

// Port is the mode of one of the workload's ports.
type Port struct {
	Ref  decision.Ref `pb:"1"`
	Port uint16       `pb:"2"`
	Mode Mode         `pb:"3"`
}

// On is the mode of a port.
func (p *Policy) On(port uint16) Port {
	mode, ref := p.mode(port)
	return Port{*ref, port, mode}
}

func (p *Policy) mode(port uint16) (Mode, *decision.Ref) {
	for i := range p.Ports {
		if x := &p.Ports[i]; x.Port == port {
			return x.Mode, &x.Ref
		}
	}
	return p.Mode, &p.Ref
}

// Judge says whether a call to a port may come as it does: secure, by mutual TLS, or in the clear.
func (p *Policy) Judge(port uint16, secure bool) decision.Verdict {
	mode, ref := p.mode(port)
	if mode == Strict && !secure {
		return decision.Verdict{Ref: ref, Outcome: decision.Deny, Reason: decision.Unauthenticated}
	}
	return decision.Verdict{Ref: ref}
}
