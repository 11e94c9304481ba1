package gatewayapi

import (
	"slices"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

const (
	parents  = "spec.parentRefs[]"
	rules    = "spec.rules[]"
	filters  = "spec.rules[].filters[]"
	backends = "spec.rules[].backendRefs[]"
)

// common is what routes of every kind have.
func common(k *dialect.Kind) {
	k.Fields = slices.Concat(dialect.Below(parents, "group", "kind", "namespace", "name", "sectionName", "port"), filterFields(filters),
		filterFields(backends+".filters[]"), dialect.Below(filters+".requestMirror", "percent", "fraction.numerator", "fraction.denominator"),
		dialect.Below(filters+".requestMirror.backendRef", "group", "kind", "name", "namespace", "port"),
		dialect.Below(backends, "group", "kind", "name", "namespace", "port", "weight"))
	k.Fields = append(k.Fields, "spec.hostnames[]") // where the parent is a Service, a finding says that it has no meaning
	k.Ignored[rules+".name"] = "it names the rule in statuses; weft's records name the object and the rule's number"
	k.Unsupported["spec.useDefaultGateways"] = "no Gateway is the default: routes name theirs"
	k.Unsupported[rules+".sessionPersistence"] = "each call is balanced by itself"
	k.Unsupported[filters+".extensionRef"] = failing
	k.Unsupported[backends+".filters[].extensionRef"] = failingShare
	k.Unsupported[backends+".filters[].requestMirror"] = failingShare
	for from, to := range map[string]string{"rules[].backends": "backendRefs", "rules[].backendRef": "backendRefs", "rules[].match": "matches",
		"rules[].backendRefs[].service": "name", "rules[].backendRefs[].host": "name", "rules[].timeout": "timeouts.request",
		"rules[].retries": "retry", "parentRef": "parentRefs", "hosts": "hostnames", "rules[].matches[].paths": "path",
		"rules[].matches[].uri": "path", "rules[].matches[].query": "queryParams", "rules[].matches[].path.prefix": `write type: PathPrefix and value`,
		"rules[].matches[].path.exact": "write type: Exact and value", "rules[].matches[].path.regex": "write type: RegularExpression and value",
		"rules[].matches[].headers[].exact": "value", "rules[].matches[].methods": "method, one in each match",
		"rules[].filters[].requestRedirect.host": "hostname", "rules[].filters[].requestRedirect.status": "statusCode",
		"rules[].filters[].requestRedirect.code": "statusCode", "rules[].filters[].urlRewrite.host": "hostname"} {
		k.Renamed["spec."+from] = to
	}
	k.Schema.Require(parents+".name", rules+".backendRefs[].name", filters+".type", filters+".requestMirror.backendRef")
	for _, way := range []string{".set[]", ".add[]"} {
		k.Schema.Require(filters+".requestHeaderModifier"+way+".name", filters+".requestHeaderModifier"+way+".value")
	}
	k.Schema.Require(filters+".requestMirror.fraction.numerator", filters+".extensionRef.name")
}

// filterFields are those of filters that a backend may have too.
func filterFields(path string) []string {
	edits := []string{"set[].name", "set[].value", "add[].name", "add[].value", "remove"}
	return slices.Concat([]string{path + ".type"}, dialect.Below(path+".requestHeaderModifier", edits...), dialect.Below(path+".responseHeaderModifier", edits...))
}

func httpRouteKind() dialect.Kind {
	k := kind[v1.HTTPRoute]("HTTPRoute", "v1", "v1beta1", "v1alpha2")
	common(&k)
	atServers(&k)
	k.Lower, k.Status, k.Annotations = httpRoute, statusOfRoute, dialect.CallNotes(true, false)
	path := []string{"path.type", "path.replaceFullPath", "path.replacePrefixMatch"}
	k.Fields = slices.Concat(k.Fields,
		dialect.Below(rules+".matches[]", "path.type", "path.value", "method"),
		dialect.Below(rules+".matches[].headers[]", "type", "name", "value"), dialect.Below(rules+".matches[].queryParams[]", "type", "name", "value"),
		dialect.Below(filters+".requestRedirect", "scheme", "hostname", "port", "statusCode"), dialect.Below(filters+".requestRedirect", path...),
		dialect.Below(filters+".urlRewrite", "hostname"), dialect.Below(filters+".urlRewrite", path...),
		dialect.Below(rules+".timeouts", "request", "backendRequest"), dialect.Below(rules+".retry", "codes", "attempts", "backoff"))
	k.Fields = append(k.Fields, dialect.Below(filters+".cors", "allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders", "allowCredentials", "maxAge")...)
	k.Unsupported[backends+".filters[].cors"] = failingShare
	k.Unsupported[filters+".externalAuth"] = failing
	k.Unsupported[backends+".filters[].externalAuth"] = failingShare
	k.Unsupported[backends+".filters[].requestRedirect"] = failingShare
	k.Unsupported[backends+".filters[].urlRewrite"] = failingShare
	k.Schema.SetEnum(rules+".matches[].path.type", "Exact", "PathPrefix", "RegularExpression").
		SetEnum(rules+".matches[].headers[].type", "Exact", "RegularExpression").
		SetEnum(rules+".matches[].queryParams[].type", "Exact", "RegularExpression").
		SetEnum(rules+".matches[].method", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH").
		SetEnum(filters+".type", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite",
			"ExtensionRef", "CORS", "ExternalAuth").
		SetEnum(filters+".requestRedirect.scheme", "http", "https").
		SetEnum(filters+".requestRedirect.path.type", "ReplaceFullPath", "ReplacePrefixMatch").
		SetType(rules+".timeouts.request", schema.DurationType).SetType(rules+".timeouts.backendRequest", schema.DurationType).
		SetType(rules+".retry.backoff", schema.DurationType)
	k.Schema.Require(rules+".matches[].headers[].name", rules+".matches[].headers[].value", rules+".matches[].queryParams[].name",
		rules+".matches[].queryParams[].value", filters+".requestRedirect.path.type")
	return k
}

func grpcRouteKind() dialect.Kind {
	k := kind[v1.GRPCRoute]("GRPCRoute", "v1", "v1alpha2")
	common(&k)
	atServers(&k)
	k.Lower, k.Status, k.Annotations = grpcRoute, statusOfRoute, dialect.CallNotes(false, true)
	k.Fields = slices.Concat(k.Fields, dialect.Below(rules+".matches[].method", "type", "service", "method"),
		dialect.Below(rules+".matches[].headers[]", "type", "name", "value"))
	k.Schema.SetEnum(rules+".matches[].method.type", "Exact", "RegularExpression").
		SetEnum(rules+".matches[].headers[].type", "Exact", "RegularExpression").
		SetEnum(filters+".type", "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef")
	k.Schema.Require(rules+".matches[].headers[].name", rules+".matches[].headers[].value")
	return k
}
