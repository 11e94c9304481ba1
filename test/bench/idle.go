package main

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/weft-mesh/weft/test/bench/load"
	"github.com/weft-mesh/weft/wire/http2"
)

// tlsEnd connects with mutual TLS, as a proxy does.
type tlsEnd struct {
	ALPN string `json:"alpn"`
	Cert string `json:"cert"` // files
	Key  string `json:"key"`
}

// run opens connections and lets them idle. Each says what its protocol begins with: nothing, or HTTP/2's preface and settings.
func (e *tlsEnd) run(s *load.Spec, hooks load.Hooks) error {
	pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{e.ALPN}, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true} // it measures whoever is there, and tells them nothing
	for range s.Callers {
		c, err := tls.Dial("tcp", s.Addr, conf)
		if err != nil {
			return err
		}
		defer c.Close()
		if got := c.ConnectionState().NegotiatedProtocol; got != e.ALPN {
			return fmt.Errorf("the proxy chose ALPN %q, not %q", got, e.ALPN)
		}
		if e.ALPN != "h2" {
			continue
		}
		if _, err := c.Write(http2.AppendSettings([]byte(http2.Preface))); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 1024)); err != nil { // its settings
			return err
		}
	}
	if err := hooks.Begin(); err != nil {
		return err
	}
	time.Sleep(s.For)
	return hooks.End()
}
