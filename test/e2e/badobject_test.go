package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Somebody changes objects that work, and makes a mistake that the API server does not see. What was in force stays, in every proxy, also in
// one that starts later, and although no replica of the control plane is there any more that saw it, and the object's status says what is
// wrong; once it is mended, the new version counts.
func TestBadObject(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio")
	ns := c.Namespace("e2e-bad", "weft.dev/inject=enabled")
	c.Apply(ns, app("callee", "echo", 1)+app("other", "echo", 1)+app("caller", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/other", "deploy/caller")
	answers := func(what, path string, status int, service string) {
		t.Helper()
		c.Eventually(what, func() error {
			a := c.Call(ns, "deploy/caller", "http://callee"+path)
			if pod := a.Header.Get("X-Bookinfo-Instance"); a.Status != status || !strings.HasPrefix(pod, service) {
				return fmt.Errorf("%d from %q, want %d from %s", a.Status, pod, status, service)
			}
			return nil
		})
	}

	// An HTTPRoute sends /new to another Service. Then somebody writes an expression that is none.
	route := func(match string) string { return strings.ReplaceAll(badRoute, "MATCH", match) }
	c.Apply(ns, route(`{type: PathPrefix, value: /new}`))
	answers("the route is in force", "/new", 200, "other")
	c.Apply(ns, route(`{type: RegularExpression, value: "/(newer"}`))
	status(c, ns, "httproute/callee", partly, "True", "Fall Back", "spec.rules[0].matches[0].path", "/(newer")
	status(c, ns, "httproute/callee", accepted, "True", "last good version")
	answers("the last good route stays in force", "/new", 200, "other")
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/caller")
	c.Ready(ns, "deploy/caller")
	settled(c, ns)
	answers("the last good route is in force for a proxy that starts", "/new", 200, "other")

	// An AuthorizationPolicy that denies a path.
	policy := func(path string) string { return strings.ReplaceAll(badPolicy, "PATH", path) }
	c.Apply(ns, policy("/forbidden"))
	answers("the policy is in force", "/forbidden", 403, "")
	c.Apply(ns, policy("/a/{*}/b/{**}/c{x"))
	status(c, ns, "authorizationpolicy.security.istio.io/forbidden", reconciled, "False", "Refused", "spec.rules[0].to[0].operation.paths[0]")
	answers("the last good policy stays in force", "/forbidden", 403, "")

	// All pods of the control plane go. Meanwhile somebody takes a status away, and makes a mistake in another policy. The pods that come know what
	// was in force, have a proxy that starts do so, and say why.
	c.Apply(ns, strings.ReplaceAll(policy("/also"), "name: forbidden", "name: also"))
	answers("another policy is in force", "/also", 403, "")
	c.Kubectl("-n", "weft-system", "scale", "deploy/weft-control", "--replicas=0")
	settled(c, "weft-system")
	for object, none := range map[string]string{"httproute/callee": `{"status": {"parents": []}}`, "authorizationpolicy.security.istio.io/forbidden": `{"status": {"conditions": []}}`} {
		c.Kubectl("-n", ns, "patch", object, "--subresource=status", "--type=merge", "-p", none)
	}
	c.Apply(ns, strings.ReplaceAll(policy("/a/{*}/b/{**}/c{x"), "name: forbidden", "name: also"))
	c.Kubectl("-n", "weft-system", "scale", "deploy/weft-control", "--replicas=2")
	c.Ready("weft-system", "deploy/weft-control")
	status(c, ns, "httproute/callee", partly, "True", "Fall Back", "spec.rules[0].matches[0].path", "stays in force")
	for _, name := range []string{"forbidden", "also"} {
		status(c, ns, "authorizationpolicy.security.istio.io/"+name, reconciled, "False", "Refused", "spec.rules[0].to[0].operation.paths[0]", "stays in force")
	}
	c.Kubectl("-n", ns, "rollout", "restart", "deploy/caller", "deploy/callee")
	c.Ready(ns, "deploy/caller", "deploy/callee")
	settled(c, ns)
	answers("the last good route is in force", "/new", 200, "other")
	answers("the last good policy is in force", "/forbidden", 403, "")
	answers("and the one that was changed while nobody was there", "/also", 403, "")
	answers("and no more", "/", 200, "callee")
	c.Kubectl("-n", ns, "delete", "authorizationpolicy.security.istio.io", "also")

	c.Apply(ns, route(`{type: RegularExpression, value: "/(newer)"}`))
	answers("the mended route counts", "/newer", 200, "other")
	status(c, ns, "httproute/callee", accepted, "True", "the route is attached")
	c.Apply(ns, policy("/other"))
	status(c, ns, "authorizationpolicy.security.istio.io/forbidden", reconciled, "True", "InForce")
	answers("the mended policy counts", "/other", 403, "")
	answers("and the one before no more", "/forbidden", 200, "callee")

	// A policy that never was in force: nobody knows what it forbids.
	c.Apply(ns, strings.ReplaceAll(policy("/a/{*}/b/{**}/c{x"), "name: forbidden", "name: never"))
	status(c, ns, "authorizationpolicy.security.istio.io/never", reconciled, "False", "Refused", "all calls into namespace "+ns+" and out of it are denied")
	answers("the namespace is closed", "/", 403, "")
	c.Kubectl("-n", ns, "delete", "authorizationpolicy.security.istio.io", "never")
	answers("and open again", "/", 200, "callee")
}

const (
	reconciled = `{.status.conditions[?(@.type=="Reconciled")]}`
	accepted   = `{.status.parents[*].conditions[?(@.type=="Accepted")]}`
	partly     = `{.status.parents[*].conditions[?(@.type=="PartiallyInvalid")]}`
)

// status waits until an object says something.
func status(c *cluster.Test, ns, object, path string, words ...string) {
	c.Eventually(object+" says so", func() error {
		got := c.Kubectl("-n", ns, "get", object, "-o", "jsonpath="+path)
		for _, w := range words {
			if !strings.Contains(got, w) {
				return fmt.Errorf("it does not say %q: %s", w, got)
			}
		}
		return nil
	})
}

const badRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: callee}
spec:
  parentRefs: [{group: "", kind: Service, name: callee, port: 80}]
  rules:
  - matches: [{path: MATCH}]
    backendRefs: [{name: other, port: 80}]
  - backendRefs: [{name: callee, port: 80}]
`

const badPolicy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: forbidden}
spec:
  action: DENY
  selector: {matchLabels: {app: callee}}
  rules: [{to: [{operation: {paths: ["PATH"]}}]}]
`
