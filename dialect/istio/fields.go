package istio

import (
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
)

func renamed(into map[string]string, path string, names map[string]string) {
	for k, v := range names {
		into[path+"."+k] = v
	}
}

func virtualServiceKind() dialect.Kind {
	http, match := "spec.http[]", "spec.http[].match[]"
	fields := []string{"spec.hosts", "spec.gateways", "spec.exportTo", http + ".directResponse.status", http + ".timeout",
		http + ".mirrorPercent", http + ".mirrorPercentage.value"}
	for _, f := range []string{"uri", "scheme", "method", "authority", "headers{}", "withoutHeaders{}", "queryParams{}"} {
		fields = append(fields, dialect.Below(match+"."+f, "exact", "prefix", "regex")...)
	}
	fields = append(fields, dialect.Below(match, "port", "sourceLabels", "sourceNamespace", "gateways", "ignoreUriCase")...)
	for _, f := range []string{".route[].destination", ".mirror", ".mirrors[].destination"} {
		fields = append(fields, dialect.Below(http+f, "host", "subset", "port.number")...)
	}
	for _, f := range []string{".headers", ".route[].headers"} {
		fields = append(fields, dialect.Below(http+f, "request.set", "request.add", "request.remove", "response.set", "response.add", "response.remove")...)
	}
	fields = append(fields, http+".route[].weight", http+".mirrors[].percentage.value")
	for _, f := range []string{"spec.tls[]", "spec.tcp[]"} {
		fields = append(fields, dialect.Below(f+".match[]", "port", "gateways", "sourceLabels", "sourceNamespace")...)
		fields = append(fields, dialect.Below(f+".route[]", "destination.host", "destination.subset", "destination.port.number", "weight")...)
	}
	fields = append(fields, "spec.tls[].match[].sniHosts")
	fields = append(fields, dialect.Below(http+".redirect", "uri", "authority", "port", "derivePort", "scheme", "redirectCode", "prefixRewrite")...)
	fields = append(fields, dialect.Below(http+".rewrite", "uri", "authority", "uriRegexRewrite.match", "uriRegexRewrite.rewrite")...)
	fields = append(fields, dialect.Below(http+".corsPolicy", "allowOrigins[].exact", "allowOrigins[].prefix", "allowOrigins[].regex", "allowOrigin", "allowMethods",
		"allowHeaders", "exposeHeaders", "maxAge", "allowCredentials", "unmatchedPreflights")...)
	fields = append(fields, dialect.Below(http+".retries", "attempts", "perTryTimeout", "retryOn", "backoff")...)
	fields = append(fields, dialect.Below(http+".fault", "delay.fixedDelay", "delay.percentage.value", "delay.percent",
		"abort.httpStatus", "abort.grpcStatus", "abort.percentage.value")...)
	return dialect.Kind{Dialect: decision.Istio, Group: networkingGroup, Name: "VirtualService", Versions: networkingVersions,
		Schema: schemaOf[*networking.VirtualService](), Fields: fields, Lower: virtualService, Renamed: virtualServiceNames(),
		Ignored: ignored(map[string]string{
			http + ".name":        "it names the rule in Istio's logs; weft's records name the object and the rule's number",
			match + ".name":       "it names the match in Istio's logs",
			match + ".statPrefix": "it is for Envoy's own statistics",
			http + ".retries.retryIgnorePreviousHosts": "weft prefers endpoints that were not tried yet, as Istio does by default",
		}),
		Unsupported: map[string]string{
			"spec.tls[].match[].destinationSubnets": "weft cannot tell connections apart by subnets: none matches",
			"spec.tcp[].match[].destinationSubnets": "weft cannot tell connections apart by subnets: none matches",
			"spec.tcp[].match[].sourceSubnet":       "weft cannot tell connections apart by subnets: none matches",
			http + ".delegate":                      "calls that this rule matches get 500",
			http + ".directResponse.body":           "the answer has the status and no body",
			http + ".retries.retryRemoteLocalities": "weft knows no localities yet: a retry may go to any endpoint",
			http + ".fault.delay.exponentialDelay":  "Istio does not support it either; use fixedDelay",
			http + ".fault.abort.http2Error":        "Istio does not support it either; use httpStatus or grpcStatus",
		}}
}

func virtualServiceNames() map[string]string {
	names := map[string]string{}
	renamed(names, "spec.http[]", map[string]string{"retry": "retries", "destination": "put it into the list route", "weight": "put it into the list route",
		"directResponse.code": "directResponse.status", "cors": "corsPolicy", "mirror.percentage": "mirrorPercentage beside mirror",
		"mirror.percent": "mirrorPercentage beside mirror", "subset": "put it into route, below destination"})
	renamed(names, "spec.http[].match[]", map[string]string{"path": "uri", "url": "uri", "host": "authority", "query": "queryParams", "params": "queryParams"})
	renamed(names, "spec.http[].match[].uri", map[string]string{"pathPrefix": "prefix", "value": "exact", "equals": "exact"})
	renamed(names, "spec.http[].route[]", map[string]string{"host": "destination.host", "subset": "destination.subset", "port": "destination.port.number"})
	renamed(names, "spec.http[].redirect", map[string]string{"host": "authority", "hostname": "authority", "path": "uri", "code": "redirectCode", "statusCode": "redirectCode", "status": "redirectCode"})
	renamed(names, "spec.http[].rewrite", map[string]string{"path": "uri", "prefix": "uri", "host": "authority", "hostname": "authority", "regex": "uriRegexRewrite"})
	renamed(names, "spec.http[].retries", map[string]string{"retries": "attempts", "count": "attempts", "numRetries": "attempts", "maxRetries": "attempts", "timeout": "perTryTimeout", "conditions": "retryOn", "on": "retryOn"})
	renamed(names, "spec.http[].fault.delay", map[string]string{"duration": "fixedDelay", "delay": "fixedDelay", "value": "percentage.value"})
	renamed(names, "spec.http[].fault.abort", map[string]string{"status": "httpStatus", "statusCode": "httpStatus", "code": "httpStatus", "percent": "percentage.value"})
	return names
}

func ignored(more map[string]string) map[string]string {
	out := maps.Clone(notOurs)
	maps.Copy(out, more)
	return out
}

func destinationRuleKind() dialect.Kind {
	fields := []string{"spec.host", "spec.exportTo", "spec.workloadSelector.matchLabels", "spec.subsets[].name", "spec.subsets[].labels"}
	unsupported, names := map[string]string{}, map[string]string{"spec.hosts": "host"}
	for _, policy := range []string{"spec.trafficPolicy", "spec.subsets[].trafficPolicy"} {
		ports := policy + ".portLevelSettings[]"
		fields = append(fields, policy+".retryBudget.percent", policy+".retryBudget.budgetInterval", ports+".port.number")
		unsupported[policy+".tunnel"] = "calls are not sent through another proxy yet"
		unsupported[policy+".proxyProtocol"] = "the PROXY protocol is not spoken yet"
		unsupported[policy+".retryBudget.minRetryConcurrency"] = "weft's budget lets 10 retries a second pass in any case"
		for _, p := range []string{policy, ports} {
			fields = append(fields, policyFields(p)...)
			renamed(unsupported, p, policyUnsupported)
			renamed(names, p, policyNames)
		}
	}
	return dialect.Kind{Dialect: decision.Istio, Group: networkingGroup, Name: "DestinationRule", Versions: networkingVersions,
		Schema: schemaOf[*networking.DestinationRule](), Fields: fields, Ignored: notOurs, Unsupported: unsupported,
		Renamed: names, Lower: destinationRule}
}

func policyFields(p string) []string {
	return slices.Concat(
		dialect.Below(p+".loadBalancer", "simple", "warmupDurationSecs", "warmup.duration"),
		dialect.Below(p+".loadBalancer.consistentHash", "httpHeaderName", "httpCookie.name", "httpCookie.path", "httpCookie.ttl", "useSourceIp",
			"httpQueryParameterName", "minimumRingSize", "ringHash.minimumRingSize"),
		dialect.Below(p+".connectionPool.tcp", "maxConnections", "connectTimeout", "idleTimeout"),
		dialect.Below(p+".connectionPool.http", "http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries", "idleTimeout",
			"h2UpgradePolicy"),
		dialect.Below(p+".outlierDetection", "splitExternalLocalOriginErrors", "consecutiveLocalOriginFailures", "consecutiveGatewayErrors",
			"consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent", "minHealthPercent"),
		dialect.Below(p+".tls", "mode", "sni"))
}

const noLocalities = "weft knows no localities yet: calls go to all endpoints"

var policyUnsupported = map[string]string{
	"loadBalancer.localityLbSetting":                    noLocalities,
	"loadBalancer.zoneAwareLbSetting":                   "weft knows no zones yet: calls go to all endpoints",
	"loadBalancer.warmup.minimumPercent":                "a new endpoint begins with weft's own share",
	"loadBalancer.warmup.aggression":                    "the share of a new endpoint grows evenly",
	"loadBalancer.consistentHash.maglev":                "weft hashes by a ring instead: equal keys go to the same endpoint as well",
	"loadBalancer.consistentHash.httpCookie.attributes": "the cookie has its name, path and age only",
	"connectionPool.tcp.tcpKeepalive":                   "connections are kept alive as weft sees fit",
	"connectionPool.tcp.maxConnectionDuration":          "connections are not closed for their age yet",
	"connectionPool.http.useClientProtocol":             "weft calls the application as its port declares, else as it was called",
	"connectionPool.http.maxConcurrentStreams":          "the streams of a connection are bounded by its other end alone",
	"connectionPool.http.http2KeepAlive":                "connections are kept alive as weft sees fit",
	"outlierDetection.consecutiveErrors":                "Istio does not act on it any more either; write consecutive5xxErrors or consecutiveGatewayErrors",
	"outlierDetection.outlierDetectionHttpErrorCodes":   "statuses from 500 on count as failures",
	"tls.clientCertificate":                             "weft cannot show certificates from files yet",
	"tls.privateKey":                                    "weft cannot show certificates from files yet",
	"tls.caCertificates":                                "servers outside of the mesh are checked against the system's roots",
	"tls.credentialName":                                "servers outside of the mesh are checked against the system's roots, and shown no certificate",
	"tls.subjectAltNames":                               "servers outside of the mesh are checked for the name in sni alone",
	"tls.insecureSkipVerify":                            "servers are always checked",
	"tls.caCrl":                                         "lists of revoked certificates are not read yet",
}

var policyNames = map[string]string{
	"circuitBreaker":                         "limits are in connectionPool, ejection is in outlierDetection",
	"connectionPool.maxConnections":          "connectionPool.tcp.maxConnections",
	"connectionPool.http.maxRequests":        "http2MaxRequests",
	"connectionPool.http.maxPendingRequests": "http1MaxPendingRequests",
	"connectionPool.http.maxConnections":     "connectionPool.tcp.maxConnections",
	"loadBalancer.policy":                    "simple",
	"loadBalancer.algorithm":                 "simple",
	"loadBalancer.type":                      "simple",
	"outlierDetection.ejectionTime":          "baseEjectionTime",
	"outlierDetection.errors":                "consecutive5xxErrors",
	"tls.serverName":                         "sni",
}

func workloadEntryKind(trustDomain string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Istio, Group: networkingGroup, Name: "WorkloadEntry", Versions: networkingVersions,
		Schema: schemaOf[*networking.WorkloadEntry](), Lower: workloadEntry(trustDomain), Ignored: notOurs,
		Fields:      dialect.Below("spec", "address", "ports", "labels", "weight", "serviceAccount"),
		Unsupported: map[string]string{"spec.network": "all workloads are taken to be of one network", "spec.locality": noLocalities},
		Renamed:     map[string]string{"spec.ip": "address", "spec.host": "address", "spec.port": "ports", "spec.selector": "labels"}}
}

func peerAuthenticationKind() dialect.Kind {
	return dialect.Kind{Dialect: decision.Istio, Group: securityGroup, Name: "PeerAuthentication", Versions: securityVersions,
		Schema: schemaOf[*security.PeerAuthentication](), Lower: peerAuthentication, Ignored: notOurs,
		Fields: []string{"spec.selector.matchLabels", "spec.mtls.mode", "spec.portLevelMtls{}.mode"},
		Renamed: map[string]string{"spec.mode": "mtls.mode", "spec.targets": "selector", "spec.selector.labels": "selector.matchLabels",
			"spec.peers": "mtls.mode; peers was of the kind Policy, which is no more"}}
}

const (
	targetsWhy = "gateways and waypoints come later: no call is judged by this policy. Istio's sidecars ignore it too; select workloads by selector.matchLabels"
	tokensWhy  = "tokens are not checked: a rule that allows lets nobody pass by this source, and a rule that denies does not ask for it"
)

func authorizationPolicyKind(trustDomain string) dialect.Kind {
	from, to := "spec.rules[].from[]", "spec.rules[].to[]"
	fields := []string{"spec.selector.matchLabels", "spec.action"}
	fields = append(fields, dialect.Below(from+".source", "principals", "notPrincipals", "namespaces",
		"notNamespaces", "serviceAccounts", "notServiceAccounts", "ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks",
		"trustDomains", "notTrustDomains")...)
	fields = append(fields, dialect.Below(to+".operation", "hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths")...)
	fields = append(fields, dialect.Below("spec.rules[].when[]", "key", "values", "notValues")...)
	names := map[string]string{"spec.podSelector": "selector", "spec.effect": "action", "spec.selector.labels": "selector.matchLabels",
		"spec.rules[].conditions": "when", "spec.rules[].source": "put it into the list from", "spec.rules[].operation": "put it into the list to"}
	renamed(names, from, map[string]string{"principals": "source.principals", "namespaces": "source.namespaces", "ipBlocks": "source.ipBlocks"})
	renamed(names, from+".source", map[string]string{"ips": "ipBlocks", "cidrs": "ipBlocks", "identities": "principals"})
	renamed(names, to, map[string]string{"methods": "operation.methods", "paths": "operation.paths", "ports": "operation.ports", "hosts": "operation.hosts"})
	renamed(names, to+".operation", map[string]string{"verbs": "methods", "uris": "paths", "urls": "paths"})
	return dialect.Kind{Dialect: decision.Istio, Group: securityGroup, Name: "AuthorizationPolicy", Versions: securityVersions,
		Schema: schemaOf[*security.AuthorizationPolicy](), Lower: authorizationPolicy(trustDomain), Fields: fields, Renamed: names,
		Annotations: []string{dryRun},
		Ignored:     ignored(map[string]string{"spec.provider.name": "what becomes of the action CUSTOM is said at the action"}),
		Unsupported: map[string]string{
			"spec.targetRef":                      targetsWhy,
			"spec.targetRefs":                     targetsWhy,
			from + ".source.requestPrincipals":    tokensWhy,
			from + ".source.notRequestPrincipals": tokensWhy,
		}}
}
