package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

// reverse is the naive line: a proxy of net/http's parts, with the settings that make it fast.
type reverse struct {
	Listen        string
	Next          []string
	TLSIn, TLSOut bool
	H2            bool // both ways
	Once          bool
	Cert, Key, CA string
}

func (c *reverse) run() error {
	conf, err := c.tls()
	if err != nil {
		return err
	}
	scheme := "http"
	t := &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 2048, MaxIdleConns: 4096, DisableCompression: true, DisableKeepAlives: c.Once,
		Protocols: c.protocols(c.TLSOut)}
	if c.TLSOut {
		scheme = "https"
	}
	proxy := &httputil.ReverseProxy{Transport: t, BufferPool: new(slabs), FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: scheme, Host: c.Next[rand.IntN(len(c.Next))]})
			r.Out.Host = r.In.Host
		}}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: proxy, TLSConfig: conf, Protocols: c.protocols(c.TLSIn), ErrorLog: log.New(io.Discard, "", 0)}
	if c.TLSIn {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

func (c *reverse) protocols(secure bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!c.H2)
	p.SetHTTP2(c.H2 && secure)
	p.SetUnencryptedHTTP2(c.H2 && !secure)
	return p
}

func (c *reverse) tls() (*tls.Config, error) {
	if !c.TLSIn && !c.TLSOut {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate in " + c.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "app.bench", MinVersion: tls.VersionTLS13}, nil
}

// slabs are the buffers of a reverse proxy.
type slabs struct{ sync.Pool }

func (s *slabs) Get() []byte {
	if p, ok := s.Pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (s *slabs) Put(p []byte) { s.Pool.Put(&p) }
