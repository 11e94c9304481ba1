package linkerd

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// serverAuthorizationSpec is ServerAuthorization.spec.
type serverAuthorizationSpec struct {
	Server struct {
		Name     string                `json:"name"`
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"server"`
	Client struct {
		Networks        []network `json:"networks"`
		Unauthenticated bool      `json:"unauthenticated"`
		MeshTLS         *meshTLS  `json:"meshTLS"`
	} `json:"client"`
}

type meshTLS struct {
	UnauthenticatedTLS bool     `json:"unauthenticatedTLS"`
	Identities         []string `json:"identities"`
	ServiceAccounts    []struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"serviceAccounts"`
}

func serverAuthorizationKind(trustDomain string) dialect.Kind {
	const tls = "spec.client.meshTLS"
	s := shape[serverAuthorizationSpec]().Require("spec", "spec.server", "spec.client", "spec.client.networks[].cidr",
		tls+".serviceAccounts[].name")
	s.At("spec.server").OneOf = [][]string{{"name", "selector"}}
	s.SetSelector("spec.server.selector")
	fields := append(dialect.SelectorFields("spec.server.selector"), networkFields("spec.client.networks")...)
	return dialect.Kind{Dialect: decision.Linkerd, Group: policyGroup, Name: "ServerAuthorization", Versions: []string{"v1beta1", "v1alpha1"}, Schema: s,
		Fields: append(fields, "spec.server.name", "spec.client.unauthenticated", tls+".unauthenticatedTLS", tls+".identities",
			tls+".serviceAccounts[].name", tls+".serviceAccounts[].namespace"),
		Lower: lowering(trustDomain, (*reader).lowerServerAuthorization),
		Renamed: map[string]string{"spec.targetRef": "server.name; targetRef is of AuthorizationPolicy", "spec.clients": "client",
			"spec.client.identities": "meshTLS.identities", "spec.client.serviceAccounts": "meshTLS.serviceAccounts",
			"spec.client.authenticated": `meshTLS: {identities: ["*"]}`, "spec.client.networks[].ip": "cidr"}}
}

// servers is the Servers that a ServerAuthorization is for: the one of a name, or those of a selector.
type servers struct {
	name     string
	selector match.Selector
}

func (s *servers) match(o *dialect.Object) bool {
	if s.name != "" {
		return s.name == o.Name
	}
	return s.selector.Match(dialect.Labels(o.Labels))
}

// lowerServerAuthorization finds what is wrong with a ServerAuthorization. What it allows is part of the Servers that it is for.
func (r *reader) lowerServerAuthorization() mesh.Part {
	on, _, _ := r.serverAuthorization()
	if r.Refused() {
		return mesh.Part{}
	}
	if on.name != "" {
		if r.View.Get(policyGroup, "Server", r.Object.Namespace, on.name) == nil {
			r.Warn("spec.server.name", fmt.Sprintf("there is no Server %s in the namespace %s: it has no effect", on.name, r.Object.Namespace),
				"a Server selects pods and one of their ports")
		}
		return mesh.Part{}
	}
	for _, o := range r.View.List(policyGroup, "Server", r.Object.Namespace) {
		if on.match(o) {
			return mesh.Part{}
		}
	}
	r.Warn("spec.server.selector", "no Server in the namespace "+r.Object.Namespace+" has such labels: it has no effect",
		"the labels of the Server count, not those of the pods")
	return mesh.Part{}
}

// serverAuthorization lowers a ServerAuthorization to what it is for and the sources that it lets pass. false: nobody.
func (r *reader) serverAuthorization() (on servers, from []match.Source, ok bool) {
	var spec serverAuthorizationSpec
	if !r.Spec(&spec) {
		return on, nil, false
	}
	switch on.name = spec.Server.Name; {
	case spec.Server.Selector != nil:
		on.selector = r.selector("spec.server.selector", spec.Server.Selector)
	case on.name == "":
		r.Refuse("spec.server", "it has neither name nor selector", "name the Server, or write selector: {} for all of the namespace")
	}
	g := grant{networks: []match.Source{{Networks: cluster}}, bound: true}
	if len(spec.Client.Networks) > 0 {
		g.networks = r.networks("spec.client.networks", spec.Client.Networks)
	}
	g.who = r.clients(spec.Client.Unauthenticated, spec.Client.MeshTLS)
	from, ok = g.sources()
	return on, from, ok && !r.strays()
}

// clients lowers who may call; nil: whoever, authenticated or not.
func (r *reader) clients(unauthenticated bool, tls *meshTLS) *who {
	const field = "spec.client.meshTLS"
	w := &who{}
	switch {
	case unauthenticated && tls != nil:
		r.Refuse("spec.client.unauthenticated", "meshTLS is set too, which only authenticated clients can meet", "leave one of them out")
	case unauthenticated:
		return nil
	case tls == nil:
		r.Refuse("spec.client", "it says of nobody that he may call", "write unauthenticated: true, or meshTLS: {identities: [\"*\"]}")
	case tls.UnauthenticatedTLS && len(tls.Identities)+len(tls.ServiceAccounts) > 0:
		r.Refuse(field+".unauthenticatedTLS", "identities or service accounts are set too, which only authenticated clients can have", "leave one of them out")
	case tls.UnauthenticatedTLS:
		w.anybody = true // whose connection is the mesh's TLS has an identity here
	case len(tls.Identities)+len(tls.ServiceAccounts) == 0:
		r.Refuse(field, "it lets nobody pass", `write identities: ["*"] for every client of the mesh`)
	default:
		r.identities(field+".identities", tls.Identities, w)
		for _, a := range tls.ServiceAccounts {
			x := reference{Name: a.Name, Namespace: a.Namespace}
			w.principals = append(w.principals, r.account(x.in(r.Object.Namespace), x.Name))
		}
	}
	return w
}
