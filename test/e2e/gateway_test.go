package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weft
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: "*.shop.example"}
  - {name: https, port: 443, protocol: HTTPS, hostname: shop.example, tls: {certificateRefs: [{name: shop}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {value: /api}}]
    backendRefs: [{name: callee, port: 80}]
`

// A Gateway's proxy is deployed, serves those outside of the mesh, in the clear and by TLS, and calls as who it is: what it calls takes no
// plaintext. What becomes of the Gateway is in its status.
func TestGateway(t *testing.T) {
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio", "--set", "gateways.service=ClusterIP")
	ns := c.Namespace("e2e-gateway", "weft.dev/inject=enabled")
	first, second := certificate(t), certificate(t)
	c.Apply(ns, app("callee", "echo", 1)+"---"+strict+"---"+edge+first.secret())
	c.Kubectl("wait", "-n", ns, "--for=condition=Programmed", "gateway/edge", "--timeout=90s")
	c.Ready(ns, "deploy/callee")
	address := c.Kubectl("get", "-n", ns, "gateway", "edge", "-o", "jsonpath={.status.addresses[0].value}")
	attached := c.Kubectl("get", "-n", ns, "gateway", "edge", "-o", "jsonpath={.status.listeners[*].attachedRoutes}")
	accepted := c.Kubectl("get", "-n", ns, "httproute", "shop", "-o", `jsonpath={.status.parents[*].conditions[?(@.type=="Accepted")].status}`)
	if attached != "1 1" || accepted != "True" {
		t.Errorf("attached routes %q, the route accepted %q", attached, accepted)
	}

	called := func(what string, by *keyPair, url string, code int, body string) {
		t.Helper()
		c.Eventually(what, func() error { return ask(by, address, url, code, body) })
	}
	called("http", nil, "http://www.shop.example/api/1", 200, "/edge-weft\"")
	called("no route", nil, "http://www.shop.example/other", 404, "")
	called("no listener", nil, "http://other.example/api/1", 404, "")
	called("https", first, "https://shop.example/api/1", 200, "/edge-weft\"")
	c.Apply(ns, second.secret())
	called("another certificate", second, "https://shop.example/api/1", 200, "/edge-weft\"")

	c.Kubectl("delete", "-n", ns, "gateway", "edge")
	c.Eventually("its Deployment goes with it", func() error {
		if left := c.Kubectl("get", "-n", ns, "deploy,svc,sa", "-l", "gateway.networking.k8s.io/gateway-name=edge", "-o", "name"); left != "" {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
}

// ask calls a URL at an address, as one who trusts that certificate alone.
func ask(by *keyPair, address, url string, code int, body string) error {
	return askShowing(nil, by, address, url, code, body)
}

// askShowing is ask of one who shows a certificate to who asks for one.
func askShowing(shown, by *keyPair, address, url string, code int, body string) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(to)
		if err != nil {
			return nil, err
		}
		return dialer.DialContext(ctx, network, net.JoinHostPort(address, port))
	}}
	if by != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(by.certificate)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	if shown != nil {
		pair, err := tls.X509KeyPair(shown.certificate, shown.key)
		if err != nil {
			return err
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != code || !strings.Contains(string(b), body) {
		return fmt.Errorf("%d, want %d, and %q in %s, %v", answer.StatusCode, code, body, b, err)
	}
	return nil
}

// keyPair is a certificate for the shop, signed by itself, in PEM.
type keyPair struct{ certificate, key []byte }

func certificate(t *testing.T) *keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "shop.example"}, DNSNames: []string{"shop.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &keyPair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})}
}

func (k *keyPair) secret() string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: shop}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		base64.StdEncoding.EncodeToString(k.certificate), base64.StdEncoding.EncodeToString(k.key))
}

// generic is a Secret as kubectl create secret generic makes it for Istio, with the authority that vouches for callers.
func (k *keyPair) generic(name string, callers *keyPair) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: Opaque\ndata: {cert: %s, key: %s, cacert: %s}\n", name,
		base64.StdEncoding.EncodeToString(k.certificate), base64.StdEncoding.EncodeToString(k.key), base64.StdEncoding.EncodeToString(callers.certificate))
}
