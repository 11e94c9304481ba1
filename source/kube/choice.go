package kube

import (
	"slices"

	"github.com/weft-mesh/weft/dialect"
)

// Choice says how a kind is read where the kind itself does not tell.
type Choice struct {
	Group, Kind string
	Fields      string // field selector; empty: all objects
	Labels      string // label selector; empty: all objects
	Status      bool   // keep the status, of kinds that ignore it: for who writes it
	Skip        bool   // read none
	Sought      string // field selector of further objects, each of which is read if somebody seeks it by name; empty: none
}

// usual are the choices that a caller's replace.
var usual = []Choice{
	{Kind: "Pod", Fields: "status.phase!=Succeeded,status.phase!=Failed"},                 // those of jobs that are over may be many
	{Kind: "Secret", Fields: "type=kubernetes.io/tls", Sought: "type!=kubernetes.io/tls"}, // others hold what is nobody's business, unless they are named
	{Kind: "Endpoints", Skip: true},                                                       // the cluster itself makes EndpointSlices of them

	// That one says by an annotation of which version the Gateway API's kinds are.
	{Group: definitions.Group, Kind: "CustomResourceDefinition", Fields: "metadata.name=gatewayclasses.gateway.networking.k8s.io"},
}

// choice of a kind. One that has no part in the mesh is read if a caller asks for it.
func choice(k *dialect.Kind, asked []Choice) Choice {
	of := func(c Choice) bool { return c.Group == k.Group && c.Kind == k.Name }
	if i := slices.IndexFunc(asked, of); i >= 0 {
		return asked[i]
	}
	if i := slices.IndexFunc(usual, of); i >= 0 {
		return usual[i]
	}
	_, none := k.Ignored[""]
	return Choice{Skip: none && k.Lower == nil}
}
