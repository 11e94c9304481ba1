package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// server answers on each of its ports with what it was asked, and which pod it is.
type server struct {
	http, tcp, grpc, tls list
	cert, key            string
	version, pod         string
}

// advanced serves until a port fails.
func advanced(args []string) error {
	s := &server{version: os.Getenv("SERVICE_VERSION")}
	flags := flag.NewFlagSet("advanced", flag.ContinueOnError)
	flags.Var(&s.http, "port", "of HTTP/1.1 and HTTP/2, any number of times")
	flags.Var(&s.tcp, "tcp", "port of TCP, any number of times")
	flags.Var(&s.grpc, "grpc", "port of gRPC, any number of times")
	flags.Var(&s.tls, "tls", "which of the ports serve with TLS, any number of times")
	flags.StringVar(&s.cert, "crt", "", "certificate for that; one is made where the file is missing")
	flags.StringVar(&s.key, "key", "", "its key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(s.http)+len(s.grpc)+len(s.tcp) == 0 {
		s.http = list{"8080"} // as the image does that this one stands for
	}
	var err error
	if s.pod, err = os.Hostname(); err != nil {
		return err
	}
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	failed := make(chan error)
	for _, kind := range []struct {
		ports list
		serve func(net.Listener, string) error
	}{{s.http, s.serveHTTP}, {s.grpc, s.serveGRPC}, {s.tcp, s.serveTCP}} {
		for _, port := range kind.ports {
			l, err := net.Listen("tcp", ":"+port)
			if err != nil {
				return err
			}
			if slices.Contains(s.tls, port) {
				l = tls.NewListener(l, config)
			}
			go func() { failed <- kind.serve(l, port) }()
		}
	}
	return <-failed
}

// tlsConfig makes a certificate that nobody trusts where there is none: the calls that use it do not verify.
func (s *server) tlsConfig() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if s.cert == "" || errors.Is(err, fs.ErrNotExist) {
		pair, err = selfSigned(s.pod)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}, err
}

func selfSigned(name string) (pair tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// tell is what an answer says of the call.
func (s *server) tell(r *http.Request, port string) string {
	var out strings.Builder
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	for _, f := range [][2]string{{"ServiceVersion", s.version}, {"ServicePort", port}, {"Host", r.Host}, {"URL", r.URL.RequestURI()},
		{"Method", r.Method}, {"Proto", r.Proto}, {"IP", from}} {
		fmt.Fprintf(&out, "%s=%s\n", f[0], f[1])
	}
	if r.TLS != nil {
		fmt.Fprintf(&out, "Alpn=%s\nServerName=%s\n", r.TLS.NegotiatedProtocol, r.TLS.ServerName)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(&out, "RequestHeader=%s:%s\n", name, value)
		}
	}
	fmt.Fprintf(&out, "Hostname=%s\n", s.pod)
	return out.String()
}

// serve serves HTTP/1.1 and HTTP/2.
func serve(l net.Listener, h http.HandlerFunc) error {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: p, ReadHeaderTimeout: time.Minute}
	return s.Serve(l)
}

func (s *server) serveHTTP(l net.Listener, port string) error {
	return serve(l, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, s.tell(r, port))
	})
}

func (s *server) serveGRPC(l net.Listener, port string) error {
	return serve(l, func(w http.ResponseWriter, r *http.Request) {
		serveGRPC(w, r, func(r *http.Request) string { return "StatusCode=200\n" + s.tell(r, port) })
	})
}

func (s *server) serveTCP(l net.Listener, port string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go s.answerTCP(c, port)
	}
}

// answerTCP takes a line.
func (s *server) answerTCP(c net.Conn, port string) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReader(io.LimitReader(c, maxBody)).ReadString('\n')
	if err != nil && err != io.EOF {
		return
	}
	from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	fmt.Fprintf(c, "StatusCode=200\nServiceVersion=%s\nServicePort=%s\nIP=%s\nHostname=%s\nEcho=%s\n", s.version, port, from, s.pod, strings.TrimSuffix(line, "\n"))
}
