package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Asked is a call as a person writes it; whom its names mean, a mesh says.
type Asked struct {
	From   string        `json:"from"` // name, service or account of the calling workload, or namespace/name; empty: outside
	To     string        `json:"to,omitempty"`
	Via    string        `json:"via,omitempty"` // name or namespace/name of the gateway that a call from outside comes to, in place of To
	Proto  traffic.Proto `json:"proto"`
	Method string        `json:"method,omitempty"`
	URL    string        `json:"url"`
	Header [][2]string   `json:"header,omitempty"`
	Source netip.Addr    `json:"source,omitzero"` // of a call from outside
	Status int           `json:"status,omitempty"`
	Fail   int           `json:"fail,omitempty"`
	Takes  time.Duration `json:"takes,omitempty"`
	Now    time.Time     `json:"now,omitzero"`
}

// Query resolves names in s. The error names what is not there.
func (a *Asked) Query(s *mesh.Snapshot) (Query, error) {
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" {
		return Query{}, fmt.Errorf("%q: want a URL as http://SERVICE:PORT/PATH", a.URL)
	}
	q := Query{Proto: a.Proto, Method: a.Method, Authority: u.Host, Path: u.EscapedPath(), Query: u.RawQuery, Header: slices.Clone(a.Header),
		Now: a.Now, Source: a.Source, Status: a.Status, Fail: a.Fail, Takes: a.Takes}
	if i := slices.IndexFunc(q.Header, func(h [2]string) bool { return strings.EqualFold(h[0], "host") }); i >= 0 {
		q.Authority = q.Header[i][1]
		q.Header = slices.Delete(q.Header, i, i+1)
	}
	if a.Proto != traffic.TCP && q.Path == "" {
		q.Path = "/"
	}
	if a.Proto == traffic.GRPC {
		q.Header = append(q.Header, [2]string{"content-type", "application/grpc"})
	}
	if q.Port, err = portOf(u, a.Proto); err != nil {
		return q, err
	}
	switch {
	case a.Via != "":
		return q, q.enter(s, a.Via, u)
	case a.From == "":
		q.To, err = workloadKey(s, a.To)
		return q, err
	}
	if q.From, err = workloadKey(s, a.From); err != nil {
		return q, err
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		q.Host, q.Addr = s.HostOf(addr), netip.AddrPortFrom(addr, q.Port)
		return q, nil
	}
	namespace, _, _ := strings.Cut(q.From, "/")
	q.Host = HostName(u.Hostname(), namespace)
	return q, nil
}

// enter makes the call one to a gateway. https:// and tls:// begin with TLS, by the name in the URL.
func (q *Query) enter(s *mesh.Snapshot, via string, u *url.URL) error {
	g := s.Gateways.Get(via)
	if g == nil {
		g = s.Gateways.Get("default/" + via)
	}
	if g == nil {
		return fmt.Errorf("there is no gateway %q of weft's that is in force; there are: %s", via, some(slices.Sorted(s.Gateways.Keys())))
	}
	q.Gateway = g.Key()
	if u.Scheme == "https" || u.Scheme == "tls" {
		q.SNI = strings.ToLower(u.Hostname())
		if _, err := netip.ParseAddr(q.SNI); err == nil { // "Literal IPv4 and IPv6 addresses are not permitted" (RFC 6066 section 3)
			q.SNI = ""
		}
	}
	if q.Proto != traffic.TCP {
		q.Scheme = u.Scheme
	}
	q.Datagrams = u.Scheme == "udp"
	for w := range s.MembersOf(g.Namespace) {
		if g.Runs(w) && (q.To == "" || w.Key() < q.To) {
			q.To = w.Key()
		}
	}
	if q.To == "" {
		return fmt.Errorf("no proxy of the gateway %s runs: a workload of the account %s in %s would be one", q.Gateway, g.Account, g.Namespace)
	}
	return nil
}

func portOf(u *url.URL, proto traffic.Proto) (uint16, error) {
	if u.Port() == "" {
		switch {
		case proto == traffic.TCP:
			return 0, errors.New("a TCP call names its port, as in tcp://database:5432")
		case u.Scheme == "https":
			return 443, nil
		}
		return 80, nil
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return uint16(n), err
}

// HostName is the full name that a caller of a namespace means.
func HostName(name, namespace string) string {
	const cluster = ".cluster.local"
	switch {
	case !strings.Contains(name, "."):
		return name + "." + namespace + ".svc" + cluster
	case strings.Count(name, ".") == 1:
		return name + ".svc" + cluster
	case strings.Count(name, ".") == 2 && strings.HasSuffix(name, ".svc"):
		return name + cluster
	}
	return name
}

// workloadKey finds a workload by its key, its name, its service, its account, or by what made its pod.
func workloadKey(s *mesh.Snapshot, name string) (string, error) {
	for _, key := range []string{name, "default/" + name} {
		if s.Workloads.Get(key) != nil {
			return key, nil
		}
	}
	namespace, short, ok := strings.Cut(name, "/")
	if !ok {
		namespace, short = "", name
	}
	keys := slices.Sorted(s.Workloads.Keys())
	for _, key := range keys {
		w := s.Workloads.Get(key)
		if namespace != "" && w.Namespace != namespace {
			continue
		}
		if w.Name == short || slices.Contains(w.Labels, "app="+short) || slices.Contains(w.Labels, "app.kubernetes.io/name="+short) || w.ID().ServiceAccount == short || madeBy(w.Name, short) {
			return key, nil
		}
	}
	if len(keys) == 0 {
		return "", fmt.Errorf("there is no workload %q, nor any other: workloads are Pods that run, as kubectl get pods -o yaml prints them, or what weft run has started", name)
	}
	if beside := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, namespace+"/") }); len(beside) > 0 {
		keys = beside
	}
	return "", fmt.Errorf("there is no workload %q; there are: %s", name, some(keys))
}

// madeBy says whether a pod has the name that a Deployment, StatefulSet, DaemonSet or Job of this name gives to pods.
func madeBy(pod, name string) bool {
	rest, ok := strings.CutPrefix(pod, name+"-")
	return ok && ending.MatchString(rest)
}

var ending = regexp.MustCompile(`^([bcdfghjklmnpqrstvwxz2456789]{1,10}-)?[bcdfghjklmnpqrstvwxz2456789]{5}$|^[0-9]+$`)

// mostNamed bounds how many names an error lists.
const mostNamed = 20

func some(names []string) string {
	if more := len(names) - mostNamed; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(names[:mostNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}
