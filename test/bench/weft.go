package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/traffic"
)

// mesh is a control plane, weft up as users start it, and the workloads that the bench registers with it as weft run does. Only the
// sandbox is left out: a redirected connection costs no less than one to the listener that stands for an address, and here each
// proxy can have a core of its own.
type mesh struct {
	dir   string
	plan  *plan
	tools *tools
	up    *process
	conns []io.Closer // of registrations, which end with them
	files []*os.File
}

func startWeft(ctx context.Context, t *tools, p *plan) (_ *running, err error) {
	m := &mesh{plan: p, tools: t}
	if m.dir, err = os.MkdirTemp("", "weft-bench-"); err != nil { // a path short enough for sockets
		return nil, err
	}
	r := &running{close: m.close, between: traffic.TunnelPort}
	if err := m.start(ctx, r); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (m *mesh) close() {
	for _, c := range m.conns {
		c.Close()
	}
	for _, f := range m.files {
		f.Close()
	}
	os.RemoveAll(m.dir)
}

func (m *mesh) start(ctx context.Context, r *running) (err error) {
	config := filepath.Join(m.dir, "mesh.yaml")
	if err := render("weft.yaml.tmpl", config, m.plan); err != nil {
		return err
	}
	m.up, err = spawn{name: "weft up", core: otherCore, argv: []string{filepath.Join(m.tools.bin, "weft"), "up", "--state", m.dir + "/state", "-f", config}}.start()
	if err != nil {
		return err
	}
	r.others = append(r.others, m.up)
	err = m.up.await(func() error {
		if !strings.Contains(m.up.out.String(), "weft is up") {
			return errors.New("it has not said so")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if strings.Contains(m.up.out.String(), "mesh.yaml:") {
		return fmt.Errorf("the configuration has findings: %s", m.up.out)
	}
	return m.proxies(ctx, r)
}

// proxies starts those that the plan needs.
func (m *mesh) proxies(ctx context.Context, r *running) error {
	p := m.plan
	apps := make([]*control.Registered, len(p.Next))
	for i := range p.Next {
		var err error
		if apps[i], err = m.register(ctx, control.Registration{Service: "app", Account: "app", Ports: []control.Port{{Number: p.AppPort(), Name: "app", Protocol: p.AppProtocol()}}}); err != nil {
			return err
		}
	}
	if p.Pair || p.Inbound {
		for _, app := range apps {
			if err := m.callee(r, app); err != nil {
				return err
			}
		}
	}
	if p.Inbound {
		return nil
	}
	if p.CalleeOnly {
		return m.stranger(ctx, r, apps[0])
	}
	caller, err := m.register(ctx, control.Registration{Service: "caller", Account: "caller"})
	if err != nil {
		return err
	}
	return m.caller(r, caller)
}

// callee starts the proxy of an application, with a way in for callers outside of the mesh if the plan is one inbound hop.
func (m *mesh) callee(r *running, app *control.Registered) error {
	tunnel, err := netip.ParseAddrPort(app.Tunnel)
	if err != nil {
		return err
	}
	x := &proxyStart{mesh: m, as: app, account: "app"}
	if x.config.Inbound, _, err = x.listen(tunnel); err != nil {
		return err
	}
	if m.plan.Inbound {
		fd, at, err := x.listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return err
		}
		x.config.Published = []launch.Published{{FD: fd, Port: m.plan.AppPort()}}
		r.addr = at.String()
	}
	return x.start(r)
}

// caller starts the proxy of a workload that makes calls, with a listener that stands for the service.
func (m *mesh) caller(r *running, as *control.Registered) error {
	x := &proxyStart{mesh: m, as: as, account: "caller"}
	for _, s := range as.Services {
		if s.Name != "app" {
			continue
		}
		ip, err := netip.ParseAddr(s.IP)
		if err != nil {
			return err
		}
		fd, at, err := x.listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return err
		}
		x.config.Listeners = []launch.Listener{{FD: fd, Original: netip.AddrPortFrom(ip, s.Ports[0].Number)}}
		r.addr = at.String()
		return x.start(r)
	}
	return errors.New("the control plane knows no service app")
}

// stranger is a workload without a proxy: whoever measures has its identity, and is the callee's peer.
func (m *mesh) stranger(ctx context.Context, r *running, app *control.Registered) error {
	as, err := m.register(ctx, control.Registration{Service: "caller", Account: "caller"})
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	id, err := url.Parse("spiffe://" + as.TrustDomain + "/ns/default/sa/caller")
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id}}, key)
	if err != nil {
		return err
	}
	chain, err := plane.Plane{Socket: filepath.Join(m.dir, "state", "mesh.sock"), Token: as.Token}.Certify(ctx, as.Workload, csr)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var certs []byte
	for _, c := range chain {
		certs = append(certs, pemOf("CERTIFICATE", c)...)
	}
	r.addr, r.alpn, r.cert, r.key = app.Tunnel, "h2", filepath.Join(m.dir, "cert.pem"), filepath.Join(m.dir, "key.pem")
	return errors.Join(os.WriteFile(r.cert, certs, 0o600), os.WriteFile(r.key, pemOf("PRIVATE KEY", der), 0o600))
}

// register makes a workload known, as weft run does; it is one as long as the connection is open.
func (m *mesh) register(ctx context.Context, r control.Registration) (*control.Registered, error) {
	r.Namespace, r.PID, r.Admin = "default", os.Getpid(), filepath.Join(m.dir, fmt.Sprintf("admin%d", len(m.conns)))
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(m.dir, "state", "api.sock"))
	}}}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://weft/v1/workloads", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	m.conns = append(m.conns, resp.Body)
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("register: %s: %s", resp.Status, b)
	}
	out := new(control.Registered)
	return out, json.NewDecoder(resp.Body).Decode(out)
}

// proxyStart collects what a weft-proxy is started with.
type proxyStart struct {
	mesh    *mesh
	as      *control.Registered
	account string
	config  launch.Config
	files   []*os.File
}

// listen opens a listener for the proxy and says its descriptor there.
func (x *proxyStart) listen(at netip.AddrPort) (fd int, addr netip.AddrPort, err error) {
	l, err := sys.ListenTCP(at)
	if err != nil {
		return 0, at, err
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return 0, at, err
	}
	return x.pass(f), l.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (x *proxyStart) pass(f *os.File) int {
	x.mesh.files = append(x.mesh.files, f)
	x.files = append(x.files, f)
	return launch.FD + len(x.files) // the first is the configuration's
}

// start returns when the proxy serves.
func (x *proxyStart) start(r *running) error {
	m, c := x.mesh, &x.config
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	addr, err := netip.ParseAddr(x.as.Address)
	if err != nil {
		return err
	}
	c.Workload, c.Account, c.TrustDomain, c.Token, c.App = x.as.Workload, x.account, x.as.TrustDomain, x.as.Token, addr
	c.Control, c.Ready = filepath.Join(m.dir, "state", "mesh.sock"), x.pass(told)
	c.Admin = filepath.Join(m.dir, strings.ReplaceAll(x.as.Workload, "/", "-")+".sock")
	config, err := launch.Pipe(c)
	if err != nil {
		return err
	}
	defer config.Close()
	p, err := spawn{name: "weft-proxy", core: m.plan.core(), argv: []string{filepath.Join(m.tools.bin, "weft-proxy")}, env: m.plan.procs(),
		files: append([]*os.File{config}, x.files...)}.start()
	told.Close()
	if err != nil {
		return err
	}
	r.procs = append(r.procs, p)
	if n, err := ready.Read(make([]byte, 16)); err != nil || n == 0 {
		return fmt.Errorf("weft-proxy is not ready: %w: %s", err, p.out)
	}
	return nil
}
