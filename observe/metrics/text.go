package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// ContentType is that of the text that Append writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// entry is a series with its key.
type entry struct {
	key
	*series
}

// Append writes all metrics.
func (r *Registry) Append(b []byte) []byte {
	var all []entry
	for k, s := range r.series.all() {
		all = append(all, entry{k, s})
	}
	slices.SortFunc(all, func(x, y entry) int { return cmp.Compare(x.order(), y.order()) })
	b = requests(b, all)
	b = istio(b, all)
	b = linkerd(b, all)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		b = c.append(b)
	}
	for _, g := range r.gauges {
		b = head(b, g.name, "gauge", g.help)
		b = value(labels{}.line(b, g.name), g.read())
	}
	b = head(b, "weft_series_lost_total", "counter", "Records counted without their labels, because there are too many combinations.")
	return value(labels{}.line(b, "weft_series_lost_total"), float64(r.lost.Load()))
}

func (k *key) order() string {
	return strings.Join([]string{k.reporter.String(), k.service, k.from.String(), k.to.String(), strconv.Itoa(k.status), k.grpc, k.reason.String()}, "\x00")
}

// family writes one metric of weft's own for each series.
func family(b []byte, all []entry, name, help string, of func(entry) uint64) []byte {
	b = head(b, name, "counter", help)
	for _, e := range all {
		b = value(e.labels().line(b, name), float64(of(e)))
	}
	return b
}

func requests(b []byte, all []entry) []byte {
	b = family(b, all, "weft_requests_total", "Requests and connections that have ended.", func(e entry) uint64 { return e.calls.Load() })
	b = family(b, all, "weft_sent_bytes_total", "Bytes of bodies towards the callee.", func(e entry) uint64 { return e.sent.Load() })
	b = family(b, all, "weft_received_bytes_total", "Bytes of bodies back to the caller.", func(e entry) uint64 { return e.received.Load() })
	b = family(b, all, "weft_retries_total", "Attempts beside the first.", func(e entry) uint64 { return e.attempts.Load() })
	return durations(b, all)
}

// durations joins the series that differ in how the calls ended.
func durations(b []byte, all []entry) []byte {
	const name = "weft_request_duration_seconds"
	b = head(b, name, "histogram", "From the begin of a request or connection to the end of both bodies.")
	type sum struct {
		calls   uint64
		took    int64
		buckets [len(Buckets) + 1]uint64
	}
	sums, order := map[key]*sum{}, []key{}
	for _, e := range all {
		k := key{reporter: e.reporter, proto: e.proto, from: e.from, service: e.service, overflow: e.overflow}
		s := sums[k]
		if s == nil {
			s = &sum{}
			sums[k], order = s, append(order, k)
		}
		s.took += e.took.Load()
		for i := range e.buckets {
			n := e.buckets[i].Load()
			s.buckets[i] += n
			s.calls += n
		}
	}
	for _, k := range order {
		s, l, n := sums[k], k.flow(), uint64(0)
		for i, c := range s.buckets {
			n += c
			le := "+Inf"
			if i < len(Buckets) {
				le = strconv.FormatFloat(Buckets[i].Seconds(), 'g', -1, 64)
			}
			b = value(append(l[:len(l):len(l)], [2]string{"le", le}).line(b, name+"_bucket"), float64(n))
		}
		b = value(l.line(b, name+"_sum"), float64(s.took)/1e9)
		b = value(l.line(b, name+"_count"), float64(s.calls))
	}
	return b
}

// flow is the labels of who calls what.
func (k *key) flow() labels {
	if k.overflow {
		return labels{{"reporter", k.reporter.String()}, {"protocol", k.proto.String()}, {"source", "overflow"}, {"service", "overflow"}}
	}
	return labels{{"reporter", k.reporter.String()}, {"protocol", k.proto.String()}, {"source", account(k.from)}, {"service", k.service}}
}

// labels are those of weft's own metrics.
func (e entry) labels() labels {
	outcome, reason := "success", ""
	if e.failed {
		outcome = "failure"
	}
	if e.reason != decision.Default {
		reason = e.reason.String()
	}
	return append(e.flow(), labels{{"destination", account(e.to)}, {"status", number(e.status)}, {"grpc_status", e.grpc}, {"outcome", outcome},
		{"reason", reason}, {"local", strconv.FormatBool(e.local)}, {"security", security(e.secure)}}...)
}

// istio writes istio_requests_total and istio_tcp_connections_closed_total
// (https://istio.io/latest/docs/reference/config/metrics).
func istio(b []byte, all []entry) []byte {
	b = head(b, "istio_requests_total", "counter", "Requests, with the labels that Istio has.")
	for _, e := range all {
		if e.proto != traffic.TCP {
			b = value(append(e.istio(), labels{{"response_code", strconv.Itoa(e.status)}, {"grpc_response_status", e.grpc}}...).line(b, "istio_requests_total"), float64(e.calls.Load()))
		}
	}
	b = head(b, "istio_tcp_connections_closed_total", "counter", "Connections that have ended, with the labels that Istio has.")
	for _, e := range all {
		if e.proto == traffic.TCP {
			b = value(e.istio().line(b, "istio_tcp_connections_closed_total"), float64(e.calls.Load()))
		}
	}
	return b
}

func (e entry) istio() labels {
	name, rest, _ := strings.Cut(e.service, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	proto := map[traffic.Proto]string{traffic.TCP: "tcp", traffic.GRPC: "grpc"}[e.proto]
	if proto == "" {
		proto = "http"
	}
	policy := "unknown" // at the source, which cannot know what the destination sees (Istio says the same)
	if e.reporter == observe.Destination {
		policy = map[bool]string{true: "mutual_tls", false: "none"}[e.secure]
	}
	l := labels{{"reporter", e.reporter.String()}}
	l = append(l, workload("source", e.caller, e.from)...)
	l = append(l, workload("destination", e.callee, e.to)...)
	return append(l, labels{{"destination_service", unknown(e.service)}, {"destination_service_name", unknown(name)},
		{"destination_service_namespace", unknown(namespace)}, {"request_protocol", proto}, {"response_flags", e.flags()},
		{"connection_security_policy", policy}}...)
}

func workload(side, key string, id identity.ID) labels {
	_, name, _ := strings.Cut(key, "/")
	principal := "unknown"
	if !id.IsZero() {
		principal = id.String()
	}
	return labels{{side + "_workload", unknown(name)}, {side + "_workload_namespace", unknown(id.Namespace)}, {side + "_principal", principal}}
}

// flags are Envoy's short words for what it did itself (Envoy, access log, RESPONSE_FLAGS).
func (e entry) flags() string {
	switch e.reason {
	case decision.NoEndpoint, decision.Ejected:
		return "UH"
	case decision.ConnectFailed, decision.WrongPeer:
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
	b = head(b, "response_total", "counter", "Responses, with the labels that Linkerd has.")
	for _, e := range all {
		if e.proto == traffic.TCP {
			continue
		}
		direction, class := "outbound", "success"
		if e.reporter == observe.Destination {
			direction = "inbound"
		}
		if e.failed {
			class = "failure"
		}
		name, rest, _ := strings.Cut(e.service, ".")
		namespace, _, _ := strings.Cut(rest, ".")
		b = value(labels{{"direction", direction}, {"dst_service", name}, {"dst_namespace", namespace}, {"client_id", domain(e.from)},
			{"server_id", domain(e.to)}, {"tls", strconv.FormatBool(e.secure)}, {"status_code", number(e.status)}, {"grpc_status_code", e.grpc},
			{"classification", class}}.line(b, "response_total"), float64(e.calls.Load()))
	}
	return b
}

// domain is an identity in Linkerd's words.
func domain(id identity.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.ServiceAccount + "." + id.Namespace + ".serviceaccount.identity." + id.TrustDomain
}

func (c *Counts) append(b []byte) []byte {
	b = head(b, c.name, "counter", c.help)
	all := c.All()
	for _, v := range slices.Sorted(maps.Keys(all)) {
		b = value(labels{{c.label, v}}.line(b, c.name), float64(all[v]))
	}
	return b
}

func account(id identity.ID) string {
	if id.IsZero() {
		return "unknown"
	}
	return id.Namespace + "/" + id.ServiceAccount
}

func security(secure bool) string {
	if secure {
		return "mtls"
	}
	return "plaintext"
}

func unknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func number(status int) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(status)
}

type labels [][2]string

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func head(b []byte, name, kind, help string) []byte {
	return append(b, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

// line begins a sample.
func (l labels) line(b []byte, name string) []byte {
	b = append(b, name...)
	for i, x := range l {
		b = append(b, "{,"[min(i, 1)])
		b = append(b, x[0]...)
		b = append(b, `="`...)
		b = append(b, escape.Replace(x[1])...)
		b = append(b, '"')
	}
	if len(l) > 0 {
		b = append(b, '}')
	}
	return append(b, ' ')
}

func value(b []byte, v float64) []byte {
	return append(strconv.AppendFloat(b, v, 'f', -1, 64), '\n')
}
