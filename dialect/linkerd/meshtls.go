package linkerd

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// meshTLSSpec is MeshTLSAuthentication.spec.
type meshTLSSpec struct {
	Identities   []string    `json:"identities"`
	IdentityRefs []reference `json:"identityRefs"`
}

func meshTLSKind(trustDomain string) dialect.Kind {
	s := shape[meshTLSSpec]().Require("spec", "spec.identityRefs[].kind", "spec.identityRefs[].name")
	s.Fields["spec"].OneOf = [][]string{{"identities", "identityRefs"}}
	return dialect.Kind{Dialect: decision.Linkerd, Group: policyGroup, Name: "MeshTLSAuthentication", Versions: []string{"v1alpha1"},
		Schema: s, Fields: append(referenceFields("spec.identityRefs[]"), "spec.identities", "spec.identityRefs[].namespace"),
		Lower: lowering(trustDomain, func(r *reader) mesh.Part {
			r.meshTLSAuthentication()
			return mesh.Part{}
		}),
		Renamed: map[string]string{"spec.serviceAccounts": "identityRefs: a list of {kind: ServiceAccount, name, namespace}", "spec.principals": "identities"}}
}

// meshTLSAuthentication lowers a MeshTLSAuthentication to the clients that it means.
func (r *reader) meshTLSAuthentication() (w who) {
	var spec meshTLSSpec
	if !r.Spec(&spec) {
		return w
	}
	if len(spec.Identities)+len(spec.IdentityRefs) == 0 {
		r.Refuse("spec", "it has neither identities nor identityRefs", `write identities: ["*"] for every client of the mesh`)
	}
	r.identities("spec.identities", spec.Identities, &w)
	for i := range spec.IdentityRefs {
		r.identityRef(dialect.Index("spec.identityRefs", i), &spec.IdentityRefs[i], &w)
	}
	if r.strays() {
		return who{}
	}
	return w
}

func (r *reader) identityRef(field string, x *reference, w *who) {
	switch {
	case x.is("", "ServiceAccount"):
		w.principals = append(w.principals, r.account(x.in(r.Object.Namespace), x.Name))
	case !x.is("", "Namespace"):
		r.Refuse(field+".kind", x.String()+" is no identity", "it is ServiceAccount or Namespace, both without a group")
	case x.Namespace != "":
		r.Refuse(field+".namespace", "a Namespace is in no namespace", "remove it")
	default:
		w.principals = append(w.principals, match.String{Kind: match.Prefix, Value: r.trustDomain + "/ns/" + x.Name + "/sa/"})
	}
}
