package meshtest

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/explain"
)

// app is an application: it listens on a port of the machine's choice for each of its own, and tells what it saw.
type app struct {
	mesh  *Mesh
	name  string                      // the workload's key
	ports map[uint16]*net.TCPListener // of HTTP/1.1, HTTP/2 in the clear, and gRPC; or TCP
	lines *net.TCPListener            // TCP on any port, of what is outside
	does  atomic.Pointer[explain.App] // in place of what calls ask for
	gone  chan struct{}
}

// AppHeader of an answer names the workload whose application gave it.
const AppHeader = "x-app"

// serve starts an application: of its ports it says whether TCP is spoken, and of those whether TLS is around it.
func (m *Mesh) serve(name string, ports, secure map[uint16]bool) *app {
	m.t.Helper()
	a := &app{mesh: m, name: name, ports: map[uint16]*net.TCPListener{}, gone: make(chan struct{})}
	a.does.Store(&explain.App{})
	if ports == nil { // outside: whatever the port
		a.ports[0] = a.http()
		a.lines = a.tcp(false)
		return a
	}
	for port, isTCP := range ports {
		if isTCP {
			a.ports[port] = a.tcp(secure[port])
		} else {
			a.ports[port] = a.http()
		}
	}
	return a
}

func (a *app) listen() *net.TCPListener {
	a.mesh.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.mesh.t.Fatal(err)
	}
	return l.(*net.TCPListener)
}

func (a *app) http() *net.TCPListener {
	l := a.listen()
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: a, Protocols: p}
	a.mesh.goes(func() { _ = s.Serve(l) })
	a.mesh.goes(func() {
		select {
		case <-a.gone:
		case <-a.mesh.ctx.Done():
		}
		s.Close()
	})
	return l
}

// seen is a call as it arrived.
type seen struct {
	app    string
	proto  string
	path   string
	header [][2]string // "host" and "query" among them; names in lower case
	body   string
}

// ServeHTTP answers as the call's own test asked.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("x-request-id")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	order := a.mesh.calls.arrived(id, seen{a.name, r.Proto, r.URL.EscapedPath(), fields(r), string(body)})
	does := a.does.Load()
	status := cmp.Or(does.Status, order.status)
	order.takes = cmp.Or(does.Takes, order.takes)
	if !a.pause(r, &order) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(AppHeader, a.name)
	if strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
		answerGRPC(w, status, body)
		return
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("connection", "close") // so that each call dials, and refusals of connections can be arranged
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, a.name) // of a HEAD, or 204: not sent
}

// pause takes the time that the call asks for, or waits as long as it is held; false: nobody waits any more.
func (a *app) pause(r *http.Request, o *order) bool {
	hold := o.hold
	if o.takes > 0 {
		over := make(chan struct{})
		defer time.AfterFunc(o.takes, func() { close(over) }).Stop()
		hold = over
	}
	if hold == nil {
		return true
	}
	select {
	case <-hold:
		return true
	case <-r.Context().Done():
	case <-a.gone:
	}
	return false
}

// answerGRPC echoes the message; a status below 100 is a gRPC code.
func answerGRPC(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("content-type", "application/grpc")
	if status < 100 && status != 0 {
		w.Header().Set("grpc-status", strconv.Itoa(status))
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("trailer", "grpc-status")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	w.Header().Set("grpc-status", "0")
}

// message frames a gRPC message ("Length-Prefixed-Message").
func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

func fields(r *http.Request) (out [][2]string) {
	out = append(out, [2]string{"host", r.Host}, [2]string{"query", r.URL.RawQuery})
	for name, values := range r.Header {
		for _, v := range values {
			out = append(out, [2]string{strings.ToLower(name), v})
		}
	}
	slices.SortStableFunc(out[2:], func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// tcp answers each line with the application's name and the line.
func (a *app) tcp(secure bool) *net.TCPListener {
	l := a.listen()
	own := &tls.Config{}
	if secure {
		own.Certificates = []tls.Certificate{selfSigned(a.mesh.t)}
	}
	var conns sync.Map
	a.mesh.goes(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if secure {
				c = tls.Server(c, own)
			}
			conns.Store(c, true)
			a.mesh.goes(func() { a.lineByLine(c); conns.Delete(c) })
		}
	})
	a.mesh.goes(func() {
		select {
		case <-a.gone:
		case <-a.mesh.ctx.Done():
		}
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	return l
}

// selfSigned is a certificate of an application's own.
func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *app) lineByLine(c net.Conn) {
	defer c.Close()
	for in := bufio.NewScanner(c); in.Scan(); {
		a.mesh.calls.arrived("", seen{app: a.name, body: in.Text()})
		if _, err := fmt.Fprintf(c, "%s %s\n", a.name, in.Text()); err != nil {
			return
		}
	}
}

var errNoPort = errors.New("connection refused: the application does not listen there")

// at is where the application's own port is to be found.
func (a *app) at(port uint16) (string, error) {
	if l := a.ports[port]; l != nil {
		return l.Addr().String(), nil
	}
	return "", errNoPort
}
