package origin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy/origin"
	"github.com/weft-mesh/weft/traffic"
)

// authority vouches for servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func must[T any](t *testing.T) func(T, error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func newAuthority(t *testing.T) authority {
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, x, x, key.Public(), key))
	return authority{must[*x509.Certificate](t)(x509.ParseCertificate(der)), key}
}

// names issues a certificate for hosts and a URI, which has ended where it is said to.
func (a authority) names(t *testing.T, uri string, ended bool, hosts ...string) tls.Certificate {
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	x := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: hosts, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if uri != "" {
		x.URIs = []*url.URL{must[*url.URL](t)(url.Parse(uri))}
	}
	if ended {
		x.NotAfter = time.Now().Add(-time.Hour)
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, x, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// shake shakes hands with a server that has a certificate; got is what the server was shown.
func shake(t *testing.T, s *traffic.Secure, name string, mine *tls.Certificate, server tls.Certificate) (got []*x509.Certificate, asked string, err error) {
	t.Helper()
	cfg, err := origin.Config(s, name, mine, []string{"h2", "http/1.1"})
	if err != nil {
		return nil, "", err
	}
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	a := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	defer a.Close()
	b := must[net.Conn](t)(l.Accept())
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	srv := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}})
	done := make(chan error, 1)
	go func() { done <- srv.HandshakeContext(ctx) }()
	client := tls.Client(a, cfg)
	if err := client.HandshakeContext(ctx); err != nil {
		a.Close()
		<-done
		return nil, "", err
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	st := srv.ConnectionState()
	return st.PeerCertificates, st.ServerName + " " + st.NegotiatedProtocol, nil
}

func TestServers(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	roots := [][]byte{ca.cert.Raw}
	const uri = "spiffe://abc.example.com/test"
	for _, x := range []struct {
		name   string
		roots  [][]byte
		names  []string
		sni    string
		server tls.Certificate
		ok     bool
	}{
		{"of the name", roots, nil, "a.example", ca.names(t, "", false, "a.example"), true},
		{"of one of several authorities", [][]byte{other.cert.Raw, ca.cert.Raw}, nil, "a.example", ca.names(t, "", false, "a.example"), true},
		{"of another name", roots, nil, "b.example", ca.names(t, "", false, "a.example"), false},
		{"of another authority", roots, nil, "a.example", other.names(t, "", false, "a.example"), false},
		{"of no authority that the system trusts", nil, nil, "a.example", ca.names(t, "", false, "a.example"), false},
		{"that has ended", roots, nil, "a.example", ca.names(t, "", true, "a.example"), false},
		// BackendTLSPolicyValidation.hostname: "If SubjectAltNames is specified, Hostname can be used for certificate selection but MUST NOT be used for authentication"
		{"of an alternative name", roots, []string{"b.example", "a.example"}, "sni.example", ca.names(t, "", false, "a.example"), true},
		{"of the name alone", roots, []string{"b.example"}, "a.example", ca.names(t, "", false, "a.example"), false},
		{"of a URI", roots, []string{uri}, "a.example", ca.names(t, uri, false), true},
		{"of another URI", roots, []string{uri + "2"}, "a.example", ca.names(t, uri, false, "a.example"), false},
		{"of an alternative name, and of another authority", roots, []string{"a.example"}, "a.example", other.names(t, "", false, "a.example"), false},
		{"of an alternative name, and ended", roots, []string{"a.example"}, "a.example", ca.names(t, "", true, "a.example"), false},
		{"of an alternative name, and no authority that the system trusts", nil, []string{"a.example"}, "a.example", ca.names(t, "", false, "a.example"), false},
		{"of a wildcard", roots, []string{"*.example"}, "x", ca.names(t, "", false, "a.example"), true},
		{"of a wildcard, with a wildcard", roots, []string{"*.example"}, "x", ca.names(t, "", false, "*.example"), true},
		{"two labels below a wildcard", roots, []string{"*.example"}, "x", ca.names(t, "", false, "b.a.example"), false},
		{"the name below which a wildcard is", roots, []string{"*.example"}, "x", ca.names(t, "", false, "example"), false},
		{"a name that a certificate's wildcard is for", roots, []string{"a.example"}, "x", ca.names(t, "", false, "*.example"), true},
	} {
		_, asked, err := shake(t, &traffic.Secure{Roots: x.roots, Names: x.names}, x.sni, nil, x.server)
		if (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
		if x.ok && asked != x.sni+" http/1.1" {
			t.Errorf("%s: the server was asked for %q", x.name, asked)
		}
	}
}

// TestShown: a certificate is shown to whoever asks, though it names other authorities, and to nobody where there is none.
func TestShown(t *testing.T) {
	ca, mine := newAuthority(t), newAuthority(t).names(t, "", false, "gateway.example")
	s := &traffic.Secure{Roots: [][]byte{ca.cert.Raw}}
	got, _, err := shake(t, s, "a.example", &mine, ca.names(t, "", false, "a.example"))
	if err != nil || len(got) != 1 || got[0].DNSNames[0] != "gateway.example" {
		t.Error(got, err)
	}
	if got, _, err = shake(t, s, "a.example", nil, ca.names(t, "", false, "a.example")); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
}

func TestUnreadable(t *testing.T) {
	if _, err := origin.Config(&traffic.Secure{Roots: [][]byte{[]byte("no certificate")}}, "a", nil, nil); err == nil {
		t.Error("what is no certificate vouches for servers")
	}
}
