package core

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// Annotations by which Linkerd's users say who may call a pod at the ports that no Server is for. That of a namespace is for all its pods that
// have none of their own. Linkerd's injector writes them into the pod; here a namespace's new word counts at once, as it does of opaquePorts.
const (
	inboundPolicy = "config.linkerd.io/default-inbound-policy"
	identityPorts = "config.linkerd.io/proxy-require-identity-inbound-ports" // at these callers need an identity, if any may call
)

// otherwise reads them (default_inbound_server in policy-controller/k8s/index/src/inbound); nil: everybody may call. What cannot be read shuts
// the door. Of a Namespace it finds what is wrong, for all its pods.
func (r *reader) otherwise() *mesh.Authorization {
	var namespace *dialect.Object
	if r.Object.Namespace != "" {
		namespace = r.View.Get("", "Namespace", "", r.Object.Namespace)
	}
	policy, ref := r.inboundNote(inboundPolicy, namespace)
	list, idRef := r.inboundNote(identityPorts, namespace)
	if policy+list == "" { // as of most
		return nil
	}
	a := &mesh.Authorization{Ref: ref, Engine: decision.Linkerd, Exclusive: true, Closes: &ref}
	who := match.Source{}
	switch policy {
	case "", "all-unauthenticated":
		a.Ref, a.Closes = idRef, nil
	case "all-authenticated":
		who.Authenticated = true
	case "cluster-unauthenticated":
		who.Networks = dialect.ClusterNetworks
	case "cluster-authenticated":
		who.Networks, who.Authenticated = dialect.ClusterNetworks, true
	case "audit":
		list = "" // identities are asked for where a policy lets callers pass, and this one looks on
	case "deny":
		return last(a)
	default:
		r.warnNote(inboundPolicy, fmt.Sprintf("%q is no policy of Linkerd's: nobody may call the ports that no Server is for", policy),
			"write deny, all-authenticated, cluster-authenticated, cluster-unauthenticated, all-unauthenticated or audit")
		return last(a)
	}
	if ports := r.identityPorts(list); len(ports) > 0 && !who.Authenticated {
		known, there := match.Source{Networks: who.Networks, Authenticated: true}, []match.Request{{Ports: ports}}
		a.Tiers = []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: idRef, From: []match.Source{known}, To: there}}},
			{Effect: authz.Deny, Rules: []authz.Rule{{Ref: idRef, To: there}}}}
	}
	if a.Closes != nil {
		a.Tiers = append(a.Tiers, authz.Tier{Effect: authz.Allow, Rules: []authz.Rule{{Ref: ref, From: []match.Source{who}}}})
	}
	if len(a.Tiers) == 0 {
		return nil
	}
	return last(a)
}

// inboundNote is what an annotation of the object says, else of its namespace, and where.
func (r *reader) inboundNote(key string, namespace *dialect.Object) (string, decision.Ref) {
	if text, own := r.Object.Annotations[key]; own || namespace == nil {
		return strings.TrimSpace(text), r.Ref.At(key)
	}
	return strings.TrimSpace(namespace.Annotations[key]), namespace.Ref(decision.Core).At(key)
}

// warnNote says what is wrong with an annotation of the object itself: of its namespace's, the Namespace does.
func (r *reader) warnNote(key, text, remedy string) {
	if _, own := r.Object.Annotations[key]; own {
		r.Warn(dialect.Child("metadata.annotations", key), text, remedy)
	}
}

// identityPorts reads ports and ranges with commas between.
func (r *reader) identityPorts(list string) []match.Range {
	var ports opaque
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if !ports.add(item) || len(ports.names) > 0 {
			r.warnNote(identityPorts, fmt.Sprintf("%q is neither a port nor a range of ports: callers need an identity at every port", item), "write it as 8080,9000-9010")
			return []match.Range{{First: 1, Last: 65535}}
		}
	}
	return ports.numbers
}

// lastOtherwise is that of the pod that was read last: those of a namespace have the same.
var lastOtherwise atomic.Pointer[mesh.Authorization]

func last(a *mesh.Authorization) *mesh.Authorization {
	if before := lastOtherwise.Load(); reflect.DeepEqual(before, a) {
		return before
	}
	lastOtherwise.Store(a)
	return a
}
