package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/internal/meshtest"
	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/podnet"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
	"github.com/weft-mesh/weft/stream"
	streams "github.com/weft-mesh/weft/stream/server"
)

// sidecarDir, in the environment, makes the test binary be the proxy of a pod: a directory of its own, in which there is, instead of what
// the kubelet mounts, the way to the control plane.
const sidecarDir = "WEFT_TEST_SIDECAR"

func TestMain(m *testing.M) {
	dir := os.Getenv(sidecarDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := sidecar(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sidecar is runPod, but for the files.
func sidecar(dir string) error {
	c, err := podConfig(os.Getenv, "")
	if err != nil {
		return err
	}
	c.Remote, c.Control, c.Token = launch.Remote{}, os.Getenv("WEFT_CONTROL"), "token of "+os.Getenv("WEFT_POD")
	c.Admin, c.Cache = filepath.Join(dir, "admin.sock"), filepath.Join(dir, "config")
	if err := redirected(c); err != nil {
		return err
	}
	fds := &descriptors{}
	if err := listenPod(c, fds); err != nil {
		return err
	}
	return serve(c, fds)
}

// The cluster of the test: a node, two pods with proxies, and one without.
const (
	node4, node6   = "10.9.0.254", "fd09::fe"
	caller, callee = "10.9.0.1", "10.9.0.2"
	callee6        = "fd09::2"
	naked          = "10.9.0.3"
	calleeVIP      = "10.96.0.2"
)

const cluster = `
apiVersion: v1
kind: Service
metadata: {name: callee, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: callee}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-mail, port: 25}, {name: any, port: 26, targetPort: 25}]}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, uid: u1, annotations: {weft.dev/tunnel: ":15008"}, labels: {app: caller}}
spec: {serviceAccountName: caller}
status: {podIP: 10.9.0.1, podIPs: [{ip: 10.9.0.1}, {ip: "fd09::1"}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: callee, namespace: shop, uid: u2, annotations: {weft.dev/tunnel: ":15008"}, labels: {app: callee}}
spec: {serviceAccountName: callee}
status: {podIP: 10.9.0.2, podIPs: [{ip: 10.9.0.2}, {ip: "fd09::2"}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: naked, namespace: shop, uid: u3, labels: {app: naked}}
status: {podIP: 10.9.0.3, phase: Running, conditions: [{type: Ready, status: "True"}]}
`

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`

// objects is a source that a test speaks for.
type objects chan source.Event

func (o objects) Run(ctx context.Context, emit func(source.Event)) error {
	for {
		select {
		case e := <-o:
			emit(e)
		case <-ctx.Done():
			return nil
		}
	}
}

func parsed(t *testing.T, text string, synced bool) source.Event {
	t.Helper()
	put, found := files.Parse(all.Kinds("cluster.local"), "cluster.yaml", []byte(text), time.Now())
	if len(found) > 0 {
		t.Fatal(found)
	}
	return source.Event{Put: put, Synced: synced}
}

// controls starts a control plane of a cluster at a socket.
func controls(t *testing.T) (socket string, o objects, c *control.Control) {
	t.Helper()
	o = make(objects)
	tokens := map[string]control.Proof{"token of caller": {Namespace: "shop", Account: "caller", Pod: "caller", PodUID: "u1"},
		"token of callee": {Namespace: "shop", Account: "callee", Pod: "callee", PodUID: "u2"}}
	c, err := control.New(control.Options{Sources: []source.Source{o}, Log: slog.New(slog.DiscardHandler), Cluster: &control.Cluster{
		Attest: func(_ context.Context, token string) (p control.Proof, err error) {
			p, ok := tokens[token]
			if !ok {
				err = control.ErrToken
			}
			return p, err
		},
		CA: ca.Dir(filepath.Join(t.TempDir(), "ca")), Brought: func() (*ca.Root, error) { return nil, nil }, Expired: func() (time.Time, error) { return time.Time{}, nil }, Good: meshtest.Empty{},
		Ask: func(context.Context, netip.Addr, *stream.StandingRequest) ([]string, error) {
			return nil, errors.New("there is no other")
		},
		Namespace: "weft-system", Account: "weft-control", Pod: "weft-control-0"}})
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(short(t), "mesh.sock")
	l, err := net.Listen("unix", socket)
	if err == nil {
		err = os.Chmod(socket, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { fail(t, c.Run(ctx)) })
	running.Go(func() { fail(t, streams.Serve(ctx, l, c, streams.Options{})) })
	o <- parsed(t, cluster, true)
	return socket, o, c
}

func fail(t *testing.T, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// short is a directory that other users may enter, with a name that a socket's address has room for.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// place is a pod, or the node.
type place struct {
	t *testing.T
	*proctest.Space
	proxy *exec.Cmd
	out   *proctest.Tail
	admin string
}

// listen opens a listener there.
func (p *place) listen(addr string) net.Listener {
	p.t.Helper()
	var l net.Listener
	p.Must(p.t, func() (err error) { l, err = sys.ListenTCP(netip.MustParseAddrPort(addr)); return err })
	p.t.Cleanup(func() { l.Close() })
	return l
}

// app answers requests with who called, as its proxy says it: "by PRINCIPAL", or "by nobody".
func (p *place) app(name string, addrs ...string) {
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if _, id, ok := strings.Cut(r.Header.Get("x-forwarded-client-cert"), ";URI=spiffe://cluster.local/ns/shop/sa/"); ok {
			who = id
		}
		fmt.Fprintf(w, "%s by %s for %s", name, who, r.Header.Get("x-forwarded-for"))
	})}
	for _, a := range addrs {
		l := p.listen(a)
		go func() { _ = s.Serve(l) }()
	}
	p.t.Cleanup(func() { s.Close() })
}

// greet is an application that speaks first.
func (p *place) greet(addr string) {
	l := p.listen(addr)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.WriteString(c, "220 ready\r\n"); _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
}

func (p *place) dial(ctx context.Context, addr string) (c net.Conn, err error) {
	err = p.Run(func() error {
		return proctest.As(1000, func() error {
			t, err := sys.DialTCP(ctx, netip.MustParseAddrPort(addr), sys.DialOptions{})
			if err == nil {
				c = t
			}
			return err
		})
	})
	return c, err
}

// get returns status and body of an answer, or "refused".
func (p *place) get(url string) string {
	p.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return p.dial(ctx, addr) }}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get(url)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "refused"
	}
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

// line returns what is said first at an address.
func (p *place) line(addr string) string {
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	c, err := p.dial(ctx, addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	s, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(s)
}

// inject loads the rules and starts the proxy, as the injector's two containers do.
func (p *place) inject(name, socket, ips string) {
	p.t.Helper()
	p.Must(p.t, func() error { return new(podnet.Spec).Apply(0) })
	p.start(name, socket, ips)
}

func (p *place) start(name, socket, ips string) {
	p.t.Helper()
	dir := short(p.t)
	p.admin, p.out = filepath.Join(dir, "admin.sock"), &proctest.Tail{}
	p.proxy = exec.Command("/proc/self/exe")
	p.proxy.Env = append(os.Environ(), sidecarDir+"="+dir, "WEFT_POD="+name, "WEFT_NAMESPACE=shop", "WEFT_ACCOUNT="+name, "WEFT_POD_IPS="+ips, "WEFT_CONTROL="+socket,
		`WEFT_PROBES={"app/liveness":{"httpGet":{"port":8080,"path":"/healthz"}},"app/readiness":{"tcpSocket":{"port":9}}}`, "WEFT_DRAIN=1")
	p.proxy.Stdout, p.proxy.Stderr = p.out, p.out
	p.proxy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: podnet.ProxyUID, Gid: podnet.ProxyUID}}
	p.Must(p.t, p.proxy.Start)
	p.t.Cleanup(func() {
		if p.proxy.ProcessState == nil {
			_ = p.proxy.Process.Kill()
			_ = p.proxy.Wait()
		}
		if p.t.Failed() {
			p.t.Logf("proxy of %s: %s", name, p.out)
		}
	})
}

// ready waits for the proxy as a kubelet on the node does.
func (p *place) ready(from *place, ip string) {
	p.t.Helper()
	got := ""
	for range 300 {
		if got = from.get("http://" + ip + ":15021/ready"); got == "200 ready\n" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.t.Fatalf("the proxy at %s is not ready: %s", ip, got)
}

// TestSidecar is a cluster of network namespaces with real proxies in its pods: what their applications say passes them, whether they
// want it or not.
func TestSidecar(t *testing.T) {
	at := func() *place { return &place{t: t, Space: proctest.NewSpace(t)} }
	node, a, b, c := at(), at(), at(), at()
	node.Bridge(t, node4+"/24", node6+"/64")
	a.Join(t, node.Space, "caller", []string{caller + "/24", "fd09::1/64"}, []string{node4, node6})
	b.Join(t, node.Space, "callee", []string{callee + "/24", callee6 + "/64"}, []string{node4, node6})
	c.Join(t, node.Space, "naked", []string{naked + "/24"}, []string{node4})
	node.app("outside", node4+":80", "["+node6+"]:80")
	c.app("naked", "0.0.0.0:80")
	b.app("callee", "0.0.0.0:8080", "[::]:8080")
	b.app("hidden", "127.0.0.1:70")
	b.greet("0.0.0.0:25")
	a.app("caller", "0.0.0.0:80")
	socket, o, control := controls(t)
	a.inject("caller", socket, caller+",fd09::1")
	b.inject("callee", socket, callee+","+callee6)
	a.ready(node, caller)
	b.ready(node, callee)

	same := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	same("by its service", a.get("http://"+calleeVIP+"/"), "200 callee by caller for "+caller)
	same("by its address", a.get("http://"+callee+":8080/"), "200 callee by caller")
	same("by its address of IPv6", a.get("http://["+callee6+"]:8080/"), "200 callee by caller")
	same("the pod calls itself, by its service", b.get("http://"+calleeVIP+"/"), "200 callee by callee")
	same("and by its address", b.get("http://"+callee+":8080/"), "200 callee by nobody for ") // which no proxy sees
	same("a server that speaks first, declared", a.line(calleeVIP+":25"), "220 ready")
	same("a server that speaks first", a.line(calleeVIP+":26"), "220 ready")
	same("and from outside of the mesh", node.line(callee+":25"), "220 ready")
	same("a pod without a proxy", a.get("http://"+naked+"/"), "200 naked by nobody for ")
	same("outside", a.get("http://"+node4+"/"), "200 outside by nobody for ")
	same("outside, IPv6", a.get("http://["+node6+"]/"), "200 outside by nobody for ")
	same("from outside", node.get("http://"+callee+":8080/"), "200 callee by nobody for "+node4)
	same("from outside, IPv6", node.get("http://["+callee6+"]:8080/"), "200 callee by nobody for "+node6)
	same("from a pod without a proxy", c.get("http://"+callee+":8080/"), "200 callee by nobody for "+naked)
	same("what listens on loopback alone", node.get("http://"+callee+":70/"), "503")
	same("and within the mesh", a.get("http://"+callee+":70/"), "503")
	same("the proxy's own port", node.get("http://"+callee+":15001/"), "503")
	same("a connection that was not redirected", node.get("http://"+callee+":15006/"), "Get ")
	same("metrics", node.get("http://"+callee+":15020/metrics"), "200 # HELP")
	same("no questions by the network", node.get("http://"+callee+":15020/config"), "404")
	same("a probe", node.get("http://"+callee+":15021/probe/app/liveness"), "200")
	same("a probe that fails", node.get("http://"+callee+":15021/probe/app/readiness"), "503 connect to the application")
	same("no probe", node.get("http://"+callee+":15021/probe/app/startup"), "404")

	o <- parsed(t, strict, false)
	o <- source.Event{} // when it is taken, the one before has been
	if err := control.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("strict, in the clear", node.get("http://"+callee+":8080/"), "403")
	same("strict, by mutual TLS", a.get("http://"+calleeVIP+"/"), "200 callee by caller")
	same("strict, a probe", node.get("http://"+callee+":15021/probe/app/liveness"), "200")

	_ = b.proxy.Process.Kill()
	_ = b.proxy.Wait()
	same("without its proxy, in the clear", node.get("http://"+callee+":8080/"), "refused")
	same("without its proxy, by its service", a.get("http://"+calleeVIP+"/"), "503")
	same("without its proxy, from it", b.get("http://"+node4+"/"), "refused")
	_ = a.proxy.Process.Signal(syscall.SIGTERM)
	if err := a.proxy.Wait(); err != nil {
		t.Errorf("the proxy is told to end: %v", err)
	}
	if _, err := os.Stat(a.admin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
}

// A pod that nobody has redirected does not start: its proxy ends, and says why.
func TestSidecarWithoutRules(t *testing.T) {
	p := &place{t: t, Space: proctest.NewSpace(t)}
	p.Must(t, func() error { return proctest.Up("lo") })
	p.start("caller", "/nowhere", caller)
	if err := p.proxy.Wait(); err == nil || !strings.Contains(p.out.String(), "nothing redirects what the pod sends and gets") || !strings.Contains(p.out.String(), "weft-node") {
		t.Errorf("%v: %s", err, p.out)
	}
}
