package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// While calls go on, the authority that signs identities is replaced as cert-manager would do it: first by another issuer of the same root,
// then by one of another root; in a mesh that makes its own root, somebody says that this is to go. No call is lost, no pod is restarted,
// and in the end nobody trusts the root of before.
func TestRoots(t *testing.T) {
	c := cluster.Shared(t)
	first, second := root(t), root(t)
	c.Kubectl("create", "namespace", "weft-system")
	c.Apply("weft-system", first.issuer(t, "issuer 1").secret())
	c.Install("--ha", "--set", "control.extraArgs={--roots-reach=10s}")
	ns := c.Namespace("e2e-roots", "weft.dev/inject=enabled")
	c.Apply(ns, app("callee", "echo", 2)+app("caller", "caller", 1))
	c.Ready(ns, "deploy/callee", "deploy/caller")
	calls := func() []*cluster.Load {
		return []*cluster.Load{c.Load(ns, "deploy/caller", "http://callee/"), c.Load(ns, "deploy/caller", "http://callee/", "--new-connection-per-request=false")}
	}
	signed(c, ns, "issuer 1")

	loads := calls()
	c.Apply("weft-system", first.issuer(t, "issuer 2").secret())
	c.Eventually("new pods have certificates of the new issuer", func() error { // what is valid stays
		c.Kubectl("-n", ns, "rollout", "restart", "deploy/callee")
		c.Ready(ns, "deploy/callee")
		settled(c, ns)
		return ofIssuer(c, ns, "issuer 2")
	})
	trusted(c, ns, first.certificate)

	c.Apply("weft-system", second.issuer(t, "issuer 3").secret())
	trusted(c, ns, second.certificate)
	signed(c, ns, "issuer 3")
	for _, l := range loads {
		l.Lossless()
	}
	weft(t, c, []string{"check"}, "0 failed")

	// From now on the mesh makes its own root, and then another.
	c.Kubectl("-n", "weft-system", "patch", "secret", "weft-ca", "--type=json", "-p",
		`[{"op":"remove","path":"/data/tls.crt"},{"op":"remove","path":"/data/tls.key"},{"op":"remove","path":"/data/ca.crt"}]`)
	loads = calls()
	c.Kubectl("-n", "weft-system", "annotate", "--overwrite", "secret", "weft-ca", "weft.dev/roots-expired="+time.Now().UTC().Format(time.RFC3339))
	c.Eventually("another root", func() error {
		if got := published(c, ns); bytes.Contains(got, bytes.TrimSpace(second.certificate)) || len(got) == 0 {
			return fmt.Errorf("trusted are %d bytes, with the root of before", len(got))
		}
		return nil
	})
	for _, l := range loads {
		l.Lossless()
	}
	if restarts := c.Kubectl("-n", ns, "get", "pods", "-o", "jsonpath={.items[*].status.initContainerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		t.Errorf("proxies were restarted: %s", restarts)
	}
	weft(t, c, []string{"check"}, "0 failed")
}

// published is what pods of a namespace are to trust.
func published(c *cluster.Test, ns string) []byte {
	return []byte(c.Kubectl("-n", ns, "get", "configmap", "weft-root", "-o", `jsonpath={.data.root\.pem}`))
}

// trusted waits until that root alone is.
func trusted(c *cluster.Test, ns string, root []byte) {
	c.Eventually("the root of before is retired", func() error {
		if got := published(c, ns); !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(root)) {
			return fmt.Errorf("trusted are %d certificates:\n%s", bytes.Count(got, []byte("BEGIN")), got)
		}
		return nil
	})
}

// signed waits until the proxy of each callee has a certificate of an issuer.
func signed(c *cluster.Test, ns, issuer string) {
	c.Eventually("callees have certificates of "+issuer, func() error { return ofIssuer(c, ns, issuer) })
}

// ofIssuer says whose certificate is of another issuer.
func ofIssuer(c *cluster.Test, ns, issuer string) error {
	for _, ip := range strings.Fields(c.Kubectl("-n", ns, "get", "pods", "-l", "app=callee", "-o", "jsonpath={.items[*].status.podIP}")) {
		var got string
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			got = s.PeerCertificates[0].Issuer.CommonName
			return nil
		}}}
		conn, err := d.Dial("tcp", net.JoinHostPort(ip, "15008"))
		if err == nil {
			conn.Close()
		}
		if got != issuer { // what the proxy says to one without a certificate does not matter
			return fmt.Errorf("that of %s is of %q, %v", ip, got, err)
		}
	}
	return nil
}

// authority can sign: a root, or an issuer below it.
type authority struct {
	about       *x509.Certificate
	key         *ecdsa.PrivateKey
	certificate []byte // PEM
	above       *authority
}

func root(t *testing.T) *authority { return newAuthority(t, "root", "cluster.local", nil) }

func (a *authority) issuer(t *testing.T, name string) *authority {
	return newAuthority(t, name, "cluster.local", a)
}

func newAuthority(t *testing.T, name, trustDomain string, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, above: above, about: &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: trustDomain}}}}
	signer := above
	if signer == nil {
		signer = a
	}
	der, err := x509.CreateCertificate(rand.Reader, a.about, signer.about, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.about, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// secret is laid out as cert-manager does it.
func (a *authority) secret() string {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		panic(err) // a key that was just made
	}
	in := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: weft-ca}\ndata: {tls.crt: %s, tls.key: %s, ca.crt: %s}\n",
		in(a.certificate), in(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), in(a.above.certificate))
}
