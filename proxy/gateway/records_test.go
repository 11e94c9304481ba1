package gateway_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy/gateway"
	"github.com/weft-mesh/weft/wire/record"
)

// caller has made a handshake with a gateway, and writes what records it likes.
type caller struct {
	t    *testing.T
	raw  net.Conn
	key  record.Key
	late atomic.Int32
	read chan int // bytes of data that the gateway has read, each time
}

// callsBy makes a call by TLS in the bubble, to a gateway that waits a minute for the rest of a record.
func callsBy(t *testing.T, version uint16) *caller {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}, &x509.Certificate{}, key.Public(), key)
	must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	cfg := &config.Gateway{Listeners: []config.Listener{{Listener: mesh.Listener{Port: 443, Entry: mesh.EntryTLS, Certs: []mesh.Certificate{{Chain: [][]byte{der}, Key: text}}}}}}
	g, err := gateway.New(cfg, chain.NewState(), nil)
	must(t, err)
	there, here := net.Pipe()
	c := &caller{t: t, raw: there, read: make(chan int, 100)}
	var log bytes.Buffer
	tc := tls.Client(there, &tls.Config{InsecureSkipVerify: true, MaxVersion: version, KeyLogWriter: &log}) //nolint:gosec // it is about records
	shaken := make(chan error)
	go func() {
		shaken <- tc.Handshake()
		_, _ = io.Copy(io.Discard, tc) // tickets; it ends with the pipe
	}()
	go func() {
		defer close(c.read)
		defer here.Close()
		in, err := g.End(context.Background(), here, g.Listener(443, ""), time.Minute, func() { c.late.Add(1); here.Close() })
		if err != nil {
			t.Error(err)
			return
		}
		for b := make([]byte, 64<<10); ; {
			_ = in.SetReadDeadline(time.Now().Add(5 * time.Second)) // whoever serves it looks around from time to time
			n, err := in.Read(b)
			if n > 0 {
				c.read <- n
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
		}
	}()
	must(t, <-shaken)
	if version == tls.VersionTLS13 {
		state := tc.ConnectionState()
		for line := range bytes.Lines(log.Bytes()) {
			if f := bytes.Fields(line); string(f[0]) == "CLIENT_TRAFFIC_SECRET_0" {
				secret, err := hex.DecodeString(string(f[2]))
				must(t, err)
				must(t, c.key.Init(state.CipherSuite, secret))
			}
		}
	}
	synctest.Wait()
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *caller) seal(typ byte, content []byte) []byte {
	b, err := c.key.Seal(nil, typ, content)
	must(c.t, err)
	return b
}

func (c *caller) writes(b []byte) {
	c.t.Helper()
	_, err := c.raw.Write(b)
	must(c.t, err)
}

// after says whether the connection was late after some time.
func (c *caller) after(d time.Duration, want bool) {
	c.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := c.late.Load(); (got > 0) != want {
		c.t.Errorf("after %v: late %d times, want %v", d, got, want)
	}
}

// TestSlowRecords: the rest of a record is waited for, however it drips, as long as it may take and no longer; the next one anew.
func TestSlowRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := callsBy(t, tls.VersionTLS13)
		defer c.raw.Close()
		c.after(time.Hour, false) // who sends nothing is none of its business
		r := c.seal(record.Application, []byte("some words"))
		c.writes(r[:3])
		c.after(50*time.Second, false)
		c.writes(r[3:])
		if n := <-c.read; n != 10 {
			t.Errorf("%d bytes", n)
		}
		c.after(time.Hour, false)
		r = c.seal(record.Application, make([]byte, 1000))
		for _, b := range r[:5] {
			c.writes([]byte{b})
			c.after(11*time.Second, false)
		}
		c.writes(r[5:500])
		c.after(6*time.Second, true)
	})
}

// TestSlowRecordsOf12: records of TLS 1.2 begin and end as those of TLS 1.3 do.
func TestSlowRecordsOf12(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := callsBy(t, tls.VersionTLS12)
		defer c.raw.Close()
		c.after(time.Hour, false)
		c.writes([]byte{23, 3, 3, 1})
		c.after(59*time.Second, false)
		c.after(2*time.Second, true)
	})
}

// TestSlowMessages: a message of the handshake's protocol that has begun is bounded as a record is; new keys are no such thing, nor are
// records that bring data.
func TestSlowMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := callsBy(t, tls.VersionTLS13)
		defer c.raw.Close()
		for range 10 {
			c.writes(c.seal(record.Handshake, record.AppendKeyUpdate(nil)))
			must(t, c.key.Update())
			c.after(time.Hour, false)
		}
		for range 100 {
			c.writes(c.seal(record.Application, []byte("x")))
			<-c.read
		}
		c.after(time.Hour, false)
		c.writes(c.seal(record.Handshake, append([]byte{24, 0, 0xff, 0}, make([]byte, 1000)...)))
		for range 3 { // more of it wins nothing
			c.after(15*time.Second, false)
			c.writes(c.seal(record.Handshake, make([]byte, 1000)))
		}
		c.after(16*time.Second, true)
	})
}

// TestSlowCallee: what the callee does not take is no fault of the caller's.
func TestSlowCallee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := callsBy(t, tls.VersionTLS13)
		defer c.raw.Close()
		one, two := c.seal(record.Application, []byte("one")), c.seal(record.Application, []byte("two"))
		for range cap(c.read) {
			c.read <- 0 // nobody takes what is read
		}
		c.writes(one[:10])
		c.writes(append(one[10:], two[:10]...))
		c.after(time.Hour, false)
		for range cap(c.read) {
			<-c.read
		}
		c.writes(two[10:])
		if a, b := <-c.read, <-c.read; a != 3 || b != 3 {
			t.Errorf("%d and %d bytes", a, b)
		}
	})
}
