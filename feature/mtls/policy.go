// Package mtls decides whether a workload takes calls that did not come by mutual TLS.
package mtls

import "github.com/weft-mesh/weft/decision"

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

// Port is the mode of one of the workload's ports.
type Port struct {
	Ref  decision.Ref `pb:"1"`
	Port uint16       `pb:"2"`
	Mode Mode         `pb:"3"`
}

// On is the mode of a port.
func (p *Policy) On(port uint16) Port {
	for _, x := range p.Ports {
		if x.Port == port {
			return x
		}
	}
	return Port{p.Ref, port, p.Mode}
}
