package control

import (
	"context"
	"errors"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/stream/server"
)

// counters are what a control plane counts.
type counters struct {
	metrics.Registry
	sessions, certificates, pushes, refusals, failed *metrics.Counts
}

func (c *Control) count() {
	n := &c.counters
	n.sessions = n.NewCounts("weft_control_sessions_total", "Proxies that asked for a stream.", "outcome")
	n.certificates = n.NewCounts("weft_control_certificates_total", "Certificates that proxies asked for.", "outcome")
	n.pushes = n.NewCounts("weft_control_pushes_total", "Resources that were sent to proxies.", "kind")
	n.refusals = n.NewCounts("weft_control_refusals_total", "Resources that proxies could not take into use.", "kind")
	n.failed = n.NewCounts("weft_control_task_failures_total", "Failures of what the leader does for all replicas.", "task")
	n.NewGauge("weft_control_proxies", "Workloads whose proxies have a stream here.", func() (x float64) {
		_ = c.do(func() { x = float64(len(c.publisher.sessions)) })
		return x
	})
	n.NewGauge("weft_control_refused", "Resources whose last good version a proxy keeps, since it could not take a later one into use.", func() float64 {
		return float64(len(c.Refused()))
	})
	n.NewGauge("weft_control_errors", "Findings that keep an object or a part of it out of force.", func() float64 { return c.findings(mesh.Error) })
	n.NewGauge("weft_control_warnings", "Findings of what has not the effect that its author may expect.", func() float64 { return c.findings(mesh.Warning) })
	n.NewGauge("weft_control_root_expiry_seconds", "When the root that signs expires, in Unix time.", func() float64 {
		_, until := c.ca.Roots().Active.Validity()
		return float64(until.Unix())
	})
}

// findings counts those of a level, in a time that grows with routes and policies, and not with pods.
func (c *Control) findings(level mesh.Level) (n float64) {
	_ = c.do(func() {
		n = float64(c.model.objects.Count(level))
		for _, f := range c.model.snap.Conflicts() {
			if f.Level == level {
				n++
			}
		}
	})
	return n
}

// Metrics are the control plane's own, for more to be added.
func (c *Control) Metrics() *metrics.Registry { return &c.counters.Registry }

// kindOf is a resource's kind as a label's value: proxies choose what they ask for, and not what labels there are.
func kindOf(resource string) string {
	switch kind, _ := config.Cut(resource); kind {
	case config.KindService, config.KindAddress, config.KindWorkload, config.KindPeer, config.KindPod, config.KindTrust, config.KindGateway:
		return kind
	}
	return "unknown"
}

// outcome is a label's value.
func outcome(err error) string {
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, server.ErrRefused):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "gone"
	}
	return "failed"
}
