package traffic

// The ports that proxies listen on (DESIGN section 5).
const (
	OutboundPort = 15001 // what the workload sends
	ProofPort    = 15002 // of a pod's loopback: where its proxy sees that what the pod sends is redirected
	InboundPort  = 15006 // what comes in the clear
	TunnelPort   = 15008 // mutual TLS
	MetricsPort  = 15020
	ReadyPort    = 15021 // readiness, and probes of the application
	DNSPort      = 15053
)
