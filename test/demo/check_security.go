package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/observe/stat"
)

// recorder relays connections and keeps the bytes of both ways.
type recorder struct {
	net.Listener
	to   string
	mu   sync.Mutex
	up   []byte
	down []byte
}

func record(to string) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{Listener: l, to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.relay(c)
		}
	}()
	return r, nil
}

func (r *recorder) relay(c net.Conn) {
	defer c.Close()
	u, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer u.Close()
	go func() {
		_, _ = io.Copy(io.MultiWriter(u, kept{r, &r.up}), c)
		_ = u.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(io.MultiWriter(c, kept{r, &r.down}), u)
}

type kept struct {
	r  *recorder
	to *[]byte
}

func (k kept) Write(b []byte) (int, error) {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	*k.to = append(*k.to, b...)
	return len(b), nil
}

// encrypted puts a recorder between two proxies: what passes has to be TLS 1.3, with nothing readable, between the right two
// identities.
func (c *checker) encrypted() (string, error) {
	_, ratings, err := c.numbers("ratings", "v1")
	if err != nil {
		return "", err
	}
	r, err := record(net.JoinHostPort(ratings.Address, "15008"))
	if err != nil {
		return "", err
	}
	defer r.Close()
	const secret = "a-secret-that-must-not-be-readable"
	yaml := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: recorded, namespace: default}
spec: {selector: {app: recorded}, ports: [{port: 9080, name: http}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: recorded
  namespace: default
  labels: {app: recorded}
  annotations: {weft.dev/tunnel: %q}
spec:
  serviceAccountName: bookinfo-ratings
  containers: [{name: ratings, ports: [{containerPort: 9080}]}]
status: {phase: Running, podIP: 127.64.255.254, conditions: [{type: Ready, status: "True"}]}
`, r.Addr())
	seen := func() error {
		_, err := c.expect("http://recorded:9080/ratings/0", map[string]string{"secret": secret}, 200)
		return err
	}
	return c.with("recorded", yaml, seen, func() (string, error) { return c.inspect(r, secret, ratings.Address) })
}

func (c *checker) inspect(r *recorder, secret, address string) (string, error) {
	r.mu.Lock()
	up, down := bytes.Clone(r.up), bytes.Clone(r.down)
	r.mu.Unlock()
	if err := serverHello13(down); err != nil {
		return "", err
	}
	for _, word := range []string{secret, "ratings", "GET /", "reviewer", "Reviewer1", "spiffe"} {
		if bytes.Contains(up, []byte(word)) || bytes.Contains(down, []byte(word)) {
			return "", fmt.Errorf("%q is readable between the proxies", word)
		}
	}
	e, err := c.edge("caller", func(e *stat.Edge) bool { return strings.HasPrefix(e.Service, "recorded.") })
	if err != nil {
		return "", err
	}
	want := [2]string{"spiffe://cluster.local/ns/default/sa/bookinfo-caller", "spiffe://cluster.local/ns/default/sa/bookinfo-ratings"}
	if got := [2]string{e.FromAccount, e.ToAccount}; got != want || e.Secure != e.Calls {
		return "", fmt.Errorf("identities %v, %d of %d calls by mutual TLS, want %v and all", got, e.Secure, e.Calls, want)
	}
	return fmt.Sprintf("%d bytes up, %d down, TLS 1.3, nothing readable; %s -> %s", len(up), len(down), e.FromAccount, e.ToAccount), nil
}

// edge is the one that a workload's proxy has counted calls of; a call is counted when both of its bodies have ended, of which its caller
// may know before.
func (c *checker) edge(service string, is func(*stat.Edge) bool) (out *stat.Edge, err error) {
	err = c.eventually(func() error {
		s, _, err := c.numbers(service, "")
		if err != nil {
			return err
		}
		for i := range s.Edges {
			if is(&s.Edges[i]) {
				out = &s.Edges[i]
				return nil
			}
		}
		return fmt.Errorf("the proxy of %s has not counted the call: %+v", service, s.Edges)
	})
	return out, err
}

// serverHello13 reads the first record of a TLS server: a ServerHello whose supported_versions extension says 1.3 (RFC 8446
// section 4.2.1: 0x002b, length 2, 0x0304).
func serverHello13(b []byte) error {
	if len(b) < 50 || b[0] != 22 || b[5] != 2 {
		return fmt.Errorf("what came back is no TLS ServerHello: % x", b[:min(len(b), 16)])
	}
	if !bytes.Contains(b[:min(len(b), 1500)], []byte{0x00, 0x2b, 0x00, 0x02, 0x03, 0x04}) {
		return errors.New("the server did not choose TLS 1.3")
	}
	return nil
}

// strangers tries what a process of this machine could: the application's port, and its proxy without a certificate.
func (c *checker) strangers() (string, error) {
	_, ratings, err := c.numbers("ratings", "v1")
	if err != nil {
		return "", err
	}
	refused := 0
	for _, addr := range append([]string{ratings.Address + ":9080", ratings.Address + ":15001", ratings.Address + ":15006"}, loopback...) {
		if c.others[addr] {
			continue
		}
		if reachable(addr) {
			return "", fmt.Errorf("a stranger could connect to %s", addr)
		}
		refused++
	}
	tunnel := net.JoinHostPort(ratings.Address, "15008")
	shown, err := stranger(tunnel)
	if alert, ok := errors.AsType[*net.OpError](err); !ok || alert.Op != "remote error" { // it has to be there, and to say no
		return "", fmt.Errorf("%s, to a stranger without a certificate: %v, want a TLS alert", tunnel, err)
	}
	who := fmt.Sprint(shown.URIs)
	if want := "[spiffe://cluster.local/ns/default/sa/bookinfo-ratings]"; who != want {
		return "", fmt.Errorf("%s is %s, want %s", tunnel, who, want)
	}
	return fmt.Sprintf("%d addresses refuse; %s %s says: %v", refused, tunnel, who, err), nil
}

// loopback is where the application and its proxy would be reached if they listened outside of their sandbox.
var loopback = []string{"127.0.0.1:9080", "127.0.0.1:15001"}

func reachable(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// stranger calls without a certificate, and returns the one that it was shown, and what came of the call.
func stranger(addr string) (shown *x509.Certificate, err error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience},
		Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"weft/1", "h2"}}} // to look at what it shows
	raw, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	conn := raw.(*tls.Conn)
	shown = conn.ConnectionState().PeerCertificates[0]
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return shown, err
	}
	_, err = conn.Read(make([]byte, 1)) // nothing is written first: that may be answered by a reset, which takes the alert away
	return shown, err
}

// denied applies a policy: who it denies gets 403, and the record names it.
func (c *checker) denied() (string, error) {
	const yaml = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-caller, namespace: default}
spec:
  selector: {matchLabels: {app: details}}
  action: DENY
  rules:
  - from: [{source: {principals: ["cluster.local/ns/default/sa/bookinfo-caller"]}}]
`
	seen := func() error { _, err := c.expect("http://details:9080/details/0", nil, 403); return err }
	return c.with("deny", yaml, seen, func() (string, error) {
		got, err := c.expect("http://details:9080/details/0", nil, 403)
		if err != nil {
			return "", err
		}
		if status, _, err := get(c.current, c.client, "http://"+c.page+"/productpage", nil); err != nil || status != 200 {
			return "", fmt.Errorf("the shop, which may call details, got %d %v", status, err)
		}
		e, err := c.edge("details", func(e *stat.Edge) bool {
			return strings.Contains(e.LastDenial, "AuthorizationPolicy default/no-caller rules[0]")
		})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("403 %q, %d denied because %s", strings.TrimSpace(got.Body), e.Denied, e.LastDenial), nil
	})
}

// tcp sends plain TCP; an egress policy lets the database through and nothing else.
func (c *checker) tcp() (string, error) {
	if got, err := c.dial("database:5432", "select 1"); err != nil || got.Status != 200 || !strings.Contains(got.Body, "select 1") {
		return "", fmt.Errorf("before: %+v %v", got, err)
	}
	const yaml = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: database-only, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: caller}}
  egress:
  - toEndpoints: [{matchLabels: {app: database}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
`
	seen := func() error { _, err := c.expect("http://ratings:9080/ratings/0", nil, 403); return err }
	return c.with("egress", yaml, seen, func() (string, error) {
		got, err := c.dial("database:5432", "select 2")
		if err != nil || got.Status != 200 || !strings.Contains(got.Body, "select 2") {
			return "", fmt.Errorf("the database is not let through: %+v %v", got, err)
		}
		denied, err := c.expect("http://ratings:9080/ratings/0", nil, 403)
		return fmt.Sprintf("the database answers, ratings is refused: %s", strings.TrimSpace(denied.Body)), err
	})
}
