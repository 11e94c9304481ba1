package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// pki is where a key, certificate or kubeconfig is.
func pki(name string) string { return filepath.Join(cluster.Dir, "pki", name) }

// authority issues certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// lifetime is a cluster's longest.
const lifetime = 365 * 24 * time.Hour

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{key, cert}, err
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // which crypto/rand does itself
	}
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime)}
}

// issue writes a certificate and its key for a user of these groups or a server of these names and addresses, as FILE.crt and FILE.key.
func (a *authority) issue(file, name string, groups, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template(name)
	t.Subject.Organization, t.KeyUsage = groups, x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	if err := writePEM(file+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(file+".key", key)
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(file, "PRIVATE KEY", der)
}

func writePEM(file, what string, der []byte) error {
	return os.WriteFile(pki(file), pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der}), 0o600)
}

// identity is a user, or a server, with the file that its certificate is in.
type identity struct {
	file, name    string
	groups, names []string
	config        bool // it gets a kubeconfig
}

func identities(nodes int) []identity {
	server := []string{cluster.HostIP, "127.0.0.1", cluster.API, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local"}
	all := []identity{
		{file: "apiserver", name: "kube-apiserver", names: server},
		{file: "apiserver-kubelet-client", name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		{file: "sa", name: "sa"}, // what service-account tokens are signed with
		{file: "admin", name: "weft-admin", groups: []string{"system:masters"}, config: true},
		{file: "controllers", name: "system:kube-controller-manager", config: true},
		{file: "scheduler", name: "system:kube-scheduler", config: true},
		{file: "proxy", name: "system:kube-proxy", config: true},
	}
	for n := 1; n <= nodes; n++ {
		name := cluster.NodeName(n)
		all = append(all, identity{file: name, name: "system:node:" + name, groups: []string{"system:nodes"}, names: []string{name, cluster.NodeIP(n), cluster.NodeIP6(n)}, config: true})
	}
	return all
}

// writePKI makes everybody's identity. The aggregation layer has an authority of its own: who that one vouches for may speak for others.
func writePKI(nodes int) error {
	ca, err := newAuthority("weft-cluster")
	if err != nil {
		return err
	}
	front, err := newAuthority("weft-cluster-front-proxy")
	if err != nil {
		return err
	}
	if err := writePEM("ca.crt", "CERTIFICATE", ca.cert.Raw); err != nil {
		return err
	}
	if err := writeKey("ca.key", ca.key); err != nil {
		return err
	}
	if err := writePEM("front-ca.crt", "CERTIFICATE", front.cert.Raw); err != nil {
		return err
	}
	if err := front.issue("front-proxy-client", "front-proxy-client", nil, nil); err != nil {
		return err
	}
	for _, i := range identities(nodes) {
		if err := ca.issue(i.file, i.name, i.groups, i.names); err != nil {
			return err
		}
		if !i.config {
			continue
		}
		if err := writeKubeconfig(i.file); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig holds all that it needs, so that it can be copied elsewhere.
func writeKubeconfig(file string) error {
	var data []any
	for _, name := range []string{"ca.crt", file + ".crt", file + ".key"} {
		b, err := os.ReadFile(pki(name))
		if err != nil {
			return err
		}
		data = append(data, base64.StdEncoding.EncodeToString(b))
	}
	return os.WriteFile(pki(file+".kubeconfig"), fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: weft
clusters: [{name: weft, cluster: {server: "`+apiServer+`", certificate-authority-data: %s}}]
users: [{name: weft, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: weft, context: {cluster: weft, user: weft}}]
`, data...), 0o600)
}
