package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// edge is where the listeners of a gateway are, addresses of this machine.
type edge struct{ clear, secure, grpc string }

// gateway starts a proxy that has a Gateway's listeners, as weft gateway does for a user. It returns before they are open.
func (r *rig) gateway() (e edge, proxy *proctest.Process, err error) {
	text := gatewayObjects
	for name, at := range map[string]*string{"CLEAR": &e.clear, "SECURE": &e.secure, "GRPC": &e.grpc} {
		if *at, err = proctest.FreePort(); err != nil {
			return e, nil, err
		}
		_, port, _ := net.SplitHostPort(*at)
		text = strings.ReplaceAll(text, name+"-PORT", port)
	}
	chain, key, err := selfSigned()
	if err != nil {
		return e, nil, err
	}
	text = strings.NewReplacer("CHAIN", chain, "KEY", key).Replace(text)
	if err := os.WriteFile(filepath.Join(r.Config, "gateway.yaml"), []byte(text), 0o600); err != nil {
		return e, nil, err
	}
	proxy, err = proctest.Start("gateway", r.Log, nil, r.Weft("gateway", "edge", "--state", r.State())...)
	if err == nil {
		r.Runs = append(r.Runs, proxy)
	}
	return e, proxy, err
}

// selfSigned makes a certificate and its key, as a Secret has them.
func selfSigned() (chain, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	pkcs8, bad := x509.MarshalPKCS8PrivateKey(k)
	text := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8), errors.Join(err, bad)
}

// openGateway is gateway, and waits until a listener's calls are answered.
func (r *rig) openGateway(ctx context.Context, answers func(edge) error) (edge, error) {
	e, proxy, err := r.gateway()
	if err == nil {
		err = r.Await(ctx, proxy, 30*time.Second, "answer", func() error { return answers(e) })
	}
	return e, err
}

const gatewayObjects = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weft}
spec: {controllerName: weft.dev/gateway-controller}
---
apiVersion: v1
kind: Secret
metadata: {name: edge}
type: kubernetes.io/tls
data: {tls.crt: CHAIN, tls.key: KEY}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weft
  listeners:
  - {name: clear, port: CLEAR-PORT, protocol: HTTP}
  - {name: secure, port: SECURE-PORT, protocol: HTTPS, tls: {certificateRefs: [{name: edge}]}}
  - {name: grpc, port: GRPC-PORT, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: server}
spec:
  parentRefs: [{name: edge, sectionName: clear}, {name: edge, sectionName: secure}]
  rules: [{backendRefs: [{name: server, port: 8080}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: interop}
spec:
  parentRefs: [{name: edge, sectionName: grpc}]
  rules: [{backendRefs: [{name: interop, port: 10000}]}]
`
