package cert_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/wire/record"
)

// shaken are the two ends of a connection after the handshake.
func shaken(t testing.TB) (server, client *cert.Conn) {
	t.Helper()
	c := atNoon()
	store := newSigner(t, "root", nil, nil).store(c, reviews)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err == nil {
			server, _, err = store.Server(t.Context(), raw, alpn)
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	client, _, err = store.Client(t.Context(), raw, reviews, alpn)
	must(t, err)
	must(t, <-done)
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// TestKeys: what one end seals as its first record is the first that the other opens, both ways, and all that is on the connection.
func TestKeys(t *testing.T) {
	server, client := shaken(t)
	if server.Client() || !client.Client() {
		t.Error("the sides are confused")
	}
	var sin, sout, cin, cout record.Key
	sraw, err := server.Keys(&sin, &sout)
	must(t, err)
	craw, err := client.Keys(&cin, &cout)
	must(t, err)
	for _, x := range []struct {
		from, to net.Conn
		out, in  *record.Key
	}{{sraw, craw, &sout, &cin}, {craw, sraw, &cout, &sin}} {
		sealed, err := x.out.Seal(nil, record.Application, []byte("first"))
		must(t, err)
		_, err = x.from.Write(sealed)
		must(t, err)
		got := make([]byte, len(sealed))
		_, err = io.ReadFull(x.to, got)
		must(t, err)
		if _, content, err := x.in.Open(got); err != nil || string(content) != "first" {
			t.Errorf("%q, %v", content, err)
		}
	}
	if _, err := server.Keys(&sin, &sout); !errors.Is(err, record.ErrUnsupported) {
		t.Errorf("the secrets are there a second time: %v", err)
	}
}

// TestReadsNoFurther: what a server sends along with its last flight is still to be read after the handshake.
func TestReadsNoFurther(t *testing.T) {
	signer := newSigner(t, "root", nil, nil)
	store := signer.store(atNoon(), reviews)
	leaf, key := signer.leaf(reviews, nil)
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	go func() {
		srv := tls.Server(s, &tls.Config{NextProtos: []string{alpn}, Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}})
		_, _ = io.WriteString(srv, strings.Repeat("x", 40<<10)) // the client's end tells whether it came
	}()
	conn, _, err := store.Client(t.Context(), c, reviews, alpn)
	must(t, err)
	var in, out record.Key
	raw, err := conn.Keys(&in, &out)
	must(t, err)
	for got := 0; got < 40<<10; {
		head := make([]byte, record.HeaderLen)
		_, err := io.ReadFull(raw, head)
		must(t, err)
		n, err := record.Size(head)
		must(t, err)
		b := append(head, make([]byte, n-len(head))...)
		_, err = io.ReadFull(raw, b[record.HeaderLen:])
		must(t, err)
		typ, content, err := in.Open(b)
		must(t, err)
		if typ != record.Application {
			t.Fatalf("a record of type %d", typ)
		}
		got += len(content)
	}
}
