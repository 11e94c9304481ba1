package observe_test

import (
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestBothSidesKnow: "every denial [...] names the object that caused it": the caller's record too, though the callee's proxy
// refused the call (DESIGN section 1).
func TestBothSidesKnow(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {selector: {app: reviews}, ports: [{port: 80, name: http}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: default}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
`)
	m.Run("frontend", "reviews")
	const rule = "AuthorizationPolicy default/no-admin rules[0] (istio)"
	a := m.Get("frontend", "http://reviews/admin")
	if a.Status != 403 || a.Callee == nil || !a.Callee.Denied() || a.Callee.Why() != rule || !a.Callee.Local {
		t.Errorf("the callee's record: %+v", a.Callee)
	}
	if r := a.Caller; r == nil || !r.Denied() || r.Why() != rule || r.Reason() != decision.Matched || r.Local || r.Failed {
		t.Errorf("the caller's record: %+v", r)
	}
	if a := m.Get("frontend", "http://reviews/"); a.Status != 200 || a.Caller.Denied() || a.Callee.Denied() || a.Caller.Remote != "" {
		t.Errorf("%d: %+v", a.Status, a.Caller)
	}
}
