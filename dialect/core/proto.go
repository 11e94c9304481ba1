package core

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// words are the protocols that a port's name may begin with and its appProtocol may be, as Istio reads them. What is encrypted
// by the application, and what has no requests that a mesh knows of, is TCP.
var words = map[string]traffic.Proto{
	"http": traffic.HTTP1, "http2": traffic.HTTP2, "grpc": traffic.GRPC, "grpc-web": traffic.HTTP1,
	"https": traffic.TCP, "tls": traffic.TCP, "tcp": traffic.TCP, "mongo": traffic.TCP, "mysql": traffic.TCP, "redis": traffic.TCP,
}

// standard are further values of appProtocol: those of Kubernetes (KEP-3726) and of Linkerd.
var standard = map[string]traffic.Proto{
	"kubernetes.io/h2c": traffic.HTTP2, "kubernetes.io/ws": traffic.HTTP1, "kubernetes.io/wss": traffic.TCP,
	"linkerd.io/opaque": traffic.TCP, "linkerd.io/tcp": traffic.TCP,
}

// proto is what a port speaks: as appProtocol says, else as the word before the first dash of its name does, else the first
// bytes of each connection decide.
func (r *reader) proto(at, name string, app *string) traffic.Proto {
	if app == nil || *app == "" {
		return protoOfName(name)
	}
	word := strings.ToLower(*app)
	for _, known := range []map[string]traffic.Proto{words, standard} {
		if p, ok := known[word]; ok {
			return p
		}
	}
	r.Info(at+".appProtocol", fmt.Sprintf("%q is not known: the first bytes of each connection decide", *app), "")
	return traffic.Detect
}

func protoOfName(name string) traffic.Proto {
	if name == "grpc-web" || strings.HasPrefix(name, "grpc-web-") {
		return words["grpc-web"]
	}
	word, _, _ := strings.Cut(name, "-")
	if p, ok := words[word]; ok {
		return p
	}
	return traffic.Detect
}

// opaquePorts lists ports that carry what a proxy should not look into: numbers, ranges and port names. That of a namespace is
// for all its services and pods that have none of their own (Linkerd).
const opaquePorts = "config.linkerd.io/opaque-ports"

// opaque are ports of the annotation.
type opaque struct {
	numbers []match.Range
	names   []string
}

// opaqueOf reads the annotation of an object, else of its namespace.
func (r *reader) opaqueOf(o *dialect.Object, v dialect.View) (out opaque) {
	text, own := o.Annotations[opaquePorts]
	if !own {
		if ns := v.Get("", "Namespace", "", o.Namespace); ns != nil {
			text = ns.Annotations[opaquePorts]
		}
	}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if !out.add(item) {
			r.Warn(dialect.Child("metadata.annotations", opaquePorts),
				fmt.Sprintf("%q is neither a port, nor a range of ports, nor a port's name", item), "")
		}
	}
	return out
}

func (q *opaque) add(item string) bool {
	first, last, isRange := strings.Cut(item, "-")
	from, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		q.names = append(q.names, item)
		return !strings.ContainsAny(item, " /:") && (first == "" || first[0] < '0' || first[0] > '9')
	}
	to := from
	if isRange {
		to, err = strconv.ParseUint(last, 10, 16)
	}
	q.numbers = append(q.numbers, match.Range{First: uint16(from), Last: uint16(to)})
	return err == nil && from <= to
}

func (q *opaque) has(name string, number uint16) bool {
	for _, n := range q.numbers {
		if number >= n.First && number <= n.Last {
			return true
		}
	}
	for _, n := range q.names {
		if n == name {
			return true
		}
	}
	return false
}
