package metrics

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// istio writes istio_requests_total and istio_tcp_connections_closed_total
// (https://istio.io/latest/docs/reference/config/metrics). Of Istio's labels app, version, cluster and canonical service are
// "unknown": a proxy isn't told of them, and that is Istio's word then.
func istio(b []byte, all []entry) []byte {
	requests := newFamily("istio_requests_total", "Requests, with the labels that Istio has.")
	closed := newFamily("istio_tcp_connections_closed_total", "Connections that have ended, with the labels that Istio has.")
	for _, e := range all {
		if e.proto == traffic.TCP {
			closed.add(e.istio(), e.calls.Load())
			continue
		}
		requests.add(append(e.istio(), labels{{"response_code", strconv.Itoa(int(e.status))}, {"grpc_response_status", e.grpc.String()}}...), e.calls.Load())
	}
	return closed.append(requests.append(b))
}

func (e *entry) istio() labels {
	l := labels{{"reporter", e.reporter.String()}}
	l = append(l, party("source", e.caller, e.from, e.rest)...)
	l = append(l, party("destination", e.callee, e.to, e.rest)...)
	service, name, namespace := "unknown", "unknown", "unknown"
	switch {
	case e.rest:
		service, name = overflow, overflow
	case e.service != "":
		service = e.service
		name, namespace = parts(e.service)
	}
	return append(l, labels{{"destination_service", service}, {"destination_service_name", name},
		{"destination_service_namespace", cmp.Or(namespace, "unknown")}, {"request_protocol", e.istioProtocol()}, {"response_flags", e.flags()},
		{"connection_security_policy", e.istioPolicy()}}...)
}

func (e *entry) istioProtocol() string {
	switch e.proto {
	case traffic.TCP:
		return "tcp"
	case traffic.GRPC:
		return "grpc"
	}
	return "http"
}

// istioPolicy is said by the callee's side alone, as in Istio.
func (e *entry) istioPolicy() string {
	switch {
	case e.reporter == observe.Source:
		return "unknown"
	case e.secure:
		return "mutual_tls"
	}
	return "none"
}

// party says who is at one end; workload is namespace/name.
func party(side, workload string, id identity.ID, rest bool) labels {
	namespace, name, _ := strings.Cut(workload, "/")
	if namespace = cmp.Or(namespace, id.Namespace); rest {
		name = overflow
	}
	l := labels{{"workload", name}, {"workload_namespace", namespace}, {"principal", id.String()}, {"app", ""}, {"version", ""}, {"cluster", ""},
		{"canonical_service", ""}, {"canonical_revision", ""}}
	for i := range l {
		l[i] = [2]string{side + "_" + l[i][0], cmp.Or(l[i][1], "unknown")}
	}
	return l
}

// parts are a host's service and namespace. A host that is none of a cluster's is a name as a whole.
func parts(host string) (name, namespace string) {
	name, rest, _ := strings.Cut(host, ".")
	namespace, rest, _ = strings.Cut(rest, ".")
	if rest == "svc" || strings.HasPrefix(rest, "svc.") {
		return name, namespace
	}
	return host, ""
}

// flags are Envoy's short words for what it did itself (Envoy, access log, RESPONSE_FLAGS).
func (e *entry) flags() string {
	switch e.reason {
	case decision.NoEndpoint, decision.Ejected:
		return "UH"
	case decision.ConnectFailed, decision.WrongPeer, decision.NoIdentity:
		return "UF"
	case decision.ResetByPeer:
		return "UC"
	case decision.Limited:
		return "UO"
	case decision.NoRoute, decision.NoService:
		return "NR"
	case decision.NoBackend:
		return "NC"
	case decision.TimedOut:
		return "UT"
	case decision.Injected:
		return "FI"
	case decision.Malformed:
		return "DPE"
	}
	return "-"
}

// linkerd writes response_total (https://linkerd.io/2/reference/proxy-metrics).
func linkerd(b []byte, all []entry) []byte {
	f := newFamily("response_total", "Responses, with the labels that Linkerd has.")
	for _, e := range all {
		if e.proto != traffic.TCP {
			f.add(e.linkerd(), e.calls.Load())
		}
	}
	return f.append(b)
}

func (e *entry) linkerd() labels {
	l := labels{{"direction", "outbound"}}
	name, namespace := parts(e.service)
	if e.rest {
		name = overflow
	}
	switch {
	case e.reporter == observe.Source:
		l = append(l, labels{{"dst_service", name}, {"dst_namespace", namespace}, {"server_id", domain(e.to)}}...)
	default:
		l = labels{{"direction", "inbound"}, {"client_id", domain(e.from)}}
	}
	tls, class := "true", "success"
	if !e.secure {
		tls = "no_identity"
	}
	if e.failed {
		class = "failure"
	}
	return append(l, labels{{"tls", tls}, {"status_code", number(e.status)}, {"grpc_status_code", e.grpc.String()}, {"classification", class}}...)
}

// domain is an identity in Linkerd's words.
func domain(id identity.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.ServiceAccount + "." + id.Namespace + ".serviceaccount.identity." + id.TrustDomain
}
