package metrics

import (
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

// entry is a series with its key, and whom the key names.
type entry struct {
	key
	*series
	from, to identity.ID
	rest     bool // what is beyond the bound
}

// Append writes all metrics.
func (r *Registry) Append(b []byte) []byte {
	all := r.entries()
	b = requests(b, all)
	b = durations(b, all)
	b = r.fallen().append(b)
	b = istio(b, all)
	b = r.AppendNamed(linkerd(b, all))
	lost := newFamily("weft_series_lost_total", "Records counted without some of their labels, because there are too many combinations.")
	lost.add(nil, r.lost.Load())
	return lost.append(b)
}

// AppendNamed writes what NewCounts and NewGauge have named, and nothing of records.
func (r *Registry) AppendNamed(b []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		b = c.append(b)
	}
	for _, g := range r.gauges {
		b = append(head(b, g.name, "gauge", g.help), g.name+" "...)
		b = append(strconv.AppendFloat(b, g.read(), 'g', -1, 64), '\n')
	}
	return b
}

func (r *Registry) entries() (all []entry) {
	for k, s := range r.series.All() {
		all = append(all, entry{key: k, series: s, from: idOf(k.from), to: idOf(k.to)})
	}
	for i := range r.over {
		for j := range r.over[i] {
			for f := range r.over[i][j] {
				for s := range r.over[i][j][f] {
					k := brief{observe.Reporter(i), traffic.Proto(j), f == 1, s == 1}
					if x := r.beyond(k); x.calls.Load() > 0 {
						all = append(all, entry{key: key{brief: k}, series: x, rest: true})
					}
				}
			}
		}
	}
	return all
}

// idOf reads back what a record's identity was written as.
func idOf(uri string) identity.ID {
	id, _ := identity.Parse(uri)
	return id
}

// family is a counter. Series whose labels are the same, because it has fewer labels than there are fields of a key, are one.
type family struct {
	name, help string
	sums       map[string]uint64 // by labels as they are written
}

func newFamily(name, help string) *family { return &family{name, help, map[string]uint64{}} }

func (f *family) add(l labels, n uint64) { f.sums[l.text()] += n }

func (f *family) append(b []byte) []byte {
	b = head(b, f.name, "counter", f.help)
	for _, l := range slices.Sorted(maps.Keys(f.sums)) {
		b = sample(b, f.name, l, f.sums[l])
	}
	return b
}

// requests writes weft's own counters.
func requests(b []byte, all []entry) []byte {
	calls := newFamily("weft_requests_total", "Requests and connections that have ended.")
	sent := newFamily("weft_sent_bytes_total", "Bytes of bodies towards the callee.")
	received := newFamily("weft_received_bytes_total", "Bytes of bodies back to the caller.")
	retries := newFamily("weft_retries_total", "Attempts beside the first.")
	for _, e := range all {
		l := e.labels().text()
		calls.sums[l] += e.calls.Load()
		sent.sums[l] += e.sent.Load()
		received.sums[l] += e.received.Load()
		retries.sums[l] += e.attempts.Load()
	}
	return retries.append(received.append(sent.append(calls.append(b))))
}

// durations joins the series that differ in how the calls ended.
func durations(b []byte, all []entry) []byte {
	const name = "weft_request_duration_seconds"
	b = head(b, name, "histogram", "From the begin of a request or connection to the end of both bodies.")
	type sum struct {
		took    int64
		buckets [len(Buckets) + 1]uint64
	}
	sums := map[string]*sum{}
	for _, e := range all {
		l := e.flow().text()
		s := sums[l]
		if s == nil {
			s = &sum{}
			sums[l] = s
		}
		s.took += e.took.Load()
		for i := range e.buckets {
			s.buckets[i] += e.buckets[i].Load()
		}
	}
	for _, l := range slices.Sorted(maps.Keys(sums)) {
		s, n := sums[l], uint64(0)
		for i, c := range s.buckets {
			n += c
			b = append(append(b, name+"_bucket"...), l[:len(l)-1]...)
			b = append(append(append(b, `,le="`...), bounds[i]...), `"} `...)
			b = append(strconv.AppendUint(b, n, 10), '\n')
		}
		b = append(append(append(b, name+"_sum"...), l...), ' ')
		b = append(strconv.AppendFloat(b, float64(s.took)/1e9, 'g', -1, 64), '\n')
		b = sample(b, name+"_count", l, n)
	}
	return b
}

// bounds are Buckets as they are written.
var bounds = func() (out [len(Buckets) + 1]string) {
	for i, d := range Buckets {
		out[i] = strconv.FormatFloat(d.Seconds(), 'g', -1, 64)
	}
	out[len(Buckets)] = "+Inf"
	return out
}()

// fallen writes what rules said.
func (r *Registry) fallen() *family {
	f := newFamily("weft_verdicts_total", "Denials, failures, retries, ejections and faults, by the rule because of which they fell.")
	for v, n := range r.verdicts.All() {
		f.add(labels{{"reporter", v.reporter.String()}, {"outcome", v.outcome.String()}, {"reason", v.reason.String()}, {"rule", v.rule.String()}}, n.Load())
	}
	if n := r.overVerdicts.Load(); n > 0 {
		f.add(labels{{"reporter", overflow}, {"outcome", overflow}, {"reason", overflow}, {"rule", overflow}}, n)
	}
	return f
}

// flow is the labels of who calls what.
func (e *entry) flow() labels {
	source, service := account(e.from), e.service
	if e.rest {
		source, service = overflow, overflow
	}
	return labels{{"reporter", e.reporter.String()}, {"protocol", e.proto.String()}, {"source", source}, {"service", service}}
}

// labels are those of weft's own metrics.
func (e *entry) labels() labels {
	outcome, reason, destination := "success", "", account(e.to)
	if e.failed {
		outcome = "failure"
	}
	if e.reason != decision.Default {
		reason = e.reason.String()
	}
	if e.rest {
		destination = overflow
	}
	return append(e.flow(), labels{{"destination", destination}, {"status", number(e.status)}, {"grpc_status", e.grpc.String()}, {"outcome", outcome},
		{"reason", reason}, {"local", strconv.FormatBool(e.local)}, {"security", security(e.secure)}}...)
}

func (c *Counts) append(b []byte) []byte {
	f := newFamily(c.name, c.help)
	for v, n := range c.All() {
		f.add(labels{{c.label, v}}, n)
	}
	return f.append(b)
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

func number(status uint16) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(int(status))
}

// labels are names and values in the order in which they are written.
type labels [][2]string

var (
	escape     = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// text is the labels in their braces; nothing if there are none.
func (l labels) text() string {
	var b strings.Builder
	for i, x := range l {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(x[0])
		b.WriteString(`="`)
		_, _ = escape.WriteString(&b, strings.ToValidUTF8(x[1], "\ufffd"))
		b.WriteByte('"')
	}
	if len(l) > 0 {
		b.WriteByte('}')
	}
	return b.String()
}

func head(b []byte, name, kind, help string) []byte {
	return append(b, "# HELP "+name+" "+escapeHelp.Replace(strings.ToValidUTF8(help, "\ufffd"))+"\n# TYPE "+name+" "+kind+"\n"...)
}

func sample(b []byte, name, labels string, n uint64) []byte {
	b = append(append(append(b, name...), labels...), ' ')
	return append(strconv.AppendUint(b, n, 10), '\n')
}
