package istio_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/cors"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func TestCORS(t *testing.T) {
	const rest = "\n  route: [{destination: {host: reviews}}]"
	part, found := lower(t, http("- corsPolicy: {allowOrigins: [{exact: '*'}, {regex: 'a.*'}], allowMethods: ['GET, PUT', POST], maxAge: 60s}"+rest))
	age := 60
	want := &cors.Policy{Ref: ref("VirtualService", "http[0]"), Origins: []match.String{{Kind: match.Present}, {Kind: match.Regex, Value: "a.*"}},
		Methods: []string{"GET", "PUT", "POST"}, MaxAge: &age, Forward: true}
	if len(part.Routes) != 1 {
		t.Fatal(found)
	}
	got := part.Routes[0].Rules[0].CORS
	if got.Origins[1].Match("xa") || !got.Origins[1].Match("ab") {
		t.Error("an expression is not of the whole origin")
	}
	for i := range got.Origins { // which were readied
		got.Origins[i] = match.String{Kind: got.Origins[i].Kind, Value: got.Origins[i].Value}
	}
	if d := dialecttest.Diff(want, got); d != "" {
		t.Error(d)
	}
	for policy, where := range map[string][2]string{
		"{allowOrigins: [{}]}":                      {".allowOrigins[0]", "nothing to compare"},
		"{allowOrigin: [a], maxAge: 0.5s}":          {".maxAge", "whole number"},
		"{allowOrigin: [a], maxAge: -1s}":           {".maxAge", "whole number"},
		"{allowOrigin: [a], allowMethods: ['A B']}": {"", "no name"},
		"{allowOrigins: [{regex: '('}]}":            {".allowOrigins[0].regex", "missing"},
	} {
		part, found := lower(t, http("- corsPolicy: "+policy+rest))
		if len(part.Routes) > 0 {
			t.Errorf("%s is in force", policy)
		}
		dialecttest.Want(t, found, mesh.Error, "spec.http[0].corsPolicy"+where[0], where[1])
	}
	_, found = lower(t, http("- corsPolicy: {allowMethods: [GET]}"+rest))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].corsPolicy.allowOrigins", "no script")
}
