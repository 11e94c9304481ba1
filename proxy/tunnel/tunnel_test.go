package tunnel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// TestReset: who is at the other end does not take a connection that is broken off for one that has ended, by TLS either, which says so when it is
// closed in good order.
func TestReset(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}, &x509.Certificate{}, key.Public(), key)
	must(t, err)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for name, on := range map[string]func(net.Conn) net.Conn{
		"in the clear": func(c net.Conn) net.Conn { return &readConn{Conn: c} },
		"TLS":          func(c net.Conn) net.Conn { return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}) },
		"TLS on what was read": func(c net.Conn) net.Conn {
			b := make([]byte, 3)
			_, err := io.ReadFull(c, b)
			must(t, err)
			return tls.Server(WithRead(c, b), &tls.Config{Certificates: []tls.Certificate{cert}})
		},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up := on(c)
			_, _ = up.Write([]byte("a part"))
			_, _ = io.ReadFull(up, make([]byte, 4))
			Reset(up)
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
		if name != "in the clear" {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is about the end
		}
		_, err = io.ReadFull(c, make([]byte, 6))
		must(t, err)
		_, err = c.Write([]byte("more"))
		must(t, err)
		if n, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
