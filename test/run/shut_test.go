package run

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A stranger on the machine reaches neither the application, nor the listeners that its calls go through, nor, without a
// certificate, its proxy.
func TestStrangersAreRefused(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	a := m.run("a", "--port", "7000")
	at := m.find("default/a-1").Address
	for _, port := range []string{"9080", "7000", "15001", "15006", "15053"} {
		for _, ip := range []string{at, "127.0.0.1", "::1"} {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, port), time.Second)
			if err == nil {
				c.Close()
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s port %s: %v, want it refused", ip, port, err)
			}
		}
	}
	raw, err := net.Dial("tcp", at+":15008")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(bound))
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := c.Handshake(); err == nil { // in TLS 1.3 the server's refusal comes after the client's own end
		_, err = c.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("without a certificate: %v", err)
		}
	}
	a.tells("/")
}

// Out of its sandbox an application reaches the mesh by the rules of its proxy: not another's proxy, with what it says of itself.
func TestApplicationsReachNoTunnel(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	a := m.run("a")
	m.run("b")
	a.reaches("http://b:9080/")
	b := m.find("default/b-1").Address
	for _, addr := range []string{b + ":15008", b + ":15001", m.find("default/a-1").Address + ":15008", "127.0.0.1:15008"} {
		if got := a.tells("/dial", "addr", addr); strings.Contains(got.Body, `"name"`) {
			t.Errorf("%s answers %q", addr, got.Body)
		}
	}
	// by the address of its endpoint, b is reached as a service is: through both proxies
	if got := a.tells("/dial", "addr", b+":9080"); !strings.Contains(got.Body, `"name":"b-1"`) {
		t.Errorf("%+v", got)
	}
}

// Applications are of the same user as the control plane and the proxies. Whoever could read the state would have the mesh's key,
// whoever could read a proxy's directory that workload's key, and whoever could use the sockets could register anything.
func TestApplicationsSeeNoSecrets(t *testing.T) {
	needSandbox(t)
	m := newMesh(t, -1)
	sockets := filepath.Join(m.dir, "sockets")
	m.start("--sockets", sockets)
	a := m.run("a")
	other := m.as(-1, sockets, "run", "--service", "other", "--", program("app"), "app", "serve", "9080") // by the sockets' directory alone
	eventually(t, func() error {
		if m.find("default/other-1") == nil {
			return errors.New("it is not registered")
		}
		return nil
	})
	var runs []string
	eventually(t, func() error {
		if runs, _ = filepath.Glob(filepath.Join(sockets, "run", "*", "config")); len(runs) < 2 {
			return errors.New("proxies do not keep their configuration where this test looks")
		}
		return nil
	})
	secrets := append(runs, filepath.Join(m.state, "ca", "authority.json"), filepath.Join(m.state, "workloads.json"))
	for _, path := range secrets {
		if b, err := os.ReadFile(path); err != nil || len(b) == 0 {
			t.Errorf("%s: %v; the test looks in the wrong place", path, err)
		}
		if got := a.tells("/read", "path", path); got.Error == "" || got.Body != "" {
			t.Errorf("an application reads %s", path)
		}
	}
	for _, dir := range []string{m.state, sockets, filepath.Join(sockets, "run")} {
		if got := a.tells("/list", "path", dir); len(got.List) > 0 {
			t.Errorf("an application sees %q in %s", got.List, dir)
		}
	}
	for _, socket := range []string{filepath.Join(m.state, "api.sock"), filepath.Join(sockets, "api.sock"), filepath.Join(sockets, "mesh.sock"), m.find("default/other-1").Admin} {
		if c, err := net.Dial("unix", socket); err != nil {
			t.Errorf("%s: %v; the test looks in the wrong place", socket, err)
		} else {
			c.Close()
		}
		if got := a.tells("/dial", "network", "unix", "addr", socket); got.Error == "" {
			t.Errorf("an application talks to %s: %s", socket, got.Body)
		}
	}
	for _, pid := range []int{os.Getpid(), m.up.cmd.Process.Pid, other.cmd.Process.Pid, proxyOf(t, a)} {
		if got := a.tells("/read", "path", fmt.Sprintf("/proc/%d/environ", pid)); got.Body != "" {
			t.Errorf("an application reads the environment of process %d outside: %.80q", pid, got.Body)
		}
	}
	other.end()
}

func TestNamesInTheSandbox(t *testing.T) {
	needSandbox(t)
	m := begin(t, `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 80}]}
`)
	a := m.run("a")
	web := m.launch(-1, m.state, "web", "80") // a port that only root could open outside
	web.await()
	m.run("reviews", "--namespace", "shop")
	for _, name := range []string{"http://web/", "http://web:80/", "http://web.default/", "http://web.default.svc/", "http://web.default.svc.cluster.local/",
		"http://web.default.svc.cluster.local./", "http://reviews.shop:9080/", "http://reviews.shop.svc.cluster.local:9080/", "http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT/",
		"http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT_HTTP/"} {
		if strings.Contains(name, "$") {
			a = m.run("late") // the environment is of the services that there are when it starts
		}
		want := map[bool]string{true: "reviews-1", false: "web-1"}[strings.Contains(name, "reviews")]
		if got := a.reaches(name); got.Name != want {
			t.Errorf("%s: %s answers, want %s", name, got.Name, want)
		}
	}
	one := a.tells("/resolve", "name", "web")
	for _, name := range []string{"web.default", "web.default.svc.cluster.local"} {
		if got := a.tells("/resolve", "name", name); len(got.List) != 1 || got.List[0] != one.List[0] || !strings.HasPrefix(got.List[0], "240.") {
			t.Errorf("%s is at %v, and web at %v", name, got, one)
		}
	}
	if got := a.tells("/resolve", "name", "nobody.default.svc.cluster.local"); got.Error == "" {
		t.Errorf("a service that is not there is at %v", got.List)
	}
}

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`

// A published port is a way in without a certificate: where mutual TLS is required it leads to a refusal. The caller learns no
// object's name, who asks the mesh does.
func TestPublishUnderStrictMutualTLS(t *testing.T) {
	m := begin(t)
	a := m.run("a")
	m.apply("strict", strict)
	eventually(t, func() error {
		resp, err := client.Get("http://" + a.way + "/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
	if _, err := a.ask("/", nil); err == nil || !strings.Contains(err.Error(), "unauthenticated") || strings.Contains(err.Error(), "PeerAuthentication") {
		t.Errorf("%v", err)
	}
	m.edges(func(out string) bool { return strings.Contains(out, "PeerAuthentication default/default") })
}

// TestMetricsPort: who scrapes metrics needs no access to the proxy's socket, and gets nothing but them.
func TestMetricsPort(t *testing.T) {
	m, at := begin(t), free(t)
	a := m.run("a", "--metrics", at)
	if _, err := a.ask("/", nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/metrics": "weft_requests_total", "/ready": "", "/config": "there is /ready"} {
		resp, err := client.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), want) || (resp.StatusCode == 200) != (path != "/config") {
			t.Errorf("%s: %s, %v\n%.300s", path, resp.Status, err, b)
		}
	}
}

func TestWithoutNamespaces(t *testing.T) {
	m := begin(t)
	b := m.launch(-1, m.state, "b", "9080", "--no-namespace")
	b.await()
	for _, says := range []string{"no namespaces: --no-namespace was given", "policy binds only calls that go through the proxy", "with this workload's identity",
		"PORT+10000", "HOST", "NAME_SERVICE_HOST"} {
		if !strings.Contains(b.out.String(), says) {
			t.Errorf("it does not say %q:\n%s", says, b.out)
		}
	}
	a := m.launch(-1, m.state, "a", "9080", "--no-namespace", "--namespace", "shop")
	a.await()
	got := a.reaches("http://$B_DEFAULT_SERVICE_HOST:$B_DEFAULT_SERVICE_PORT/") // of another namespace
	if got.Name != "b-1" || got.Env["HOST"] != m.find("default/b-1").Address {
		t.Errorf("%+v", got)
	}
	c := m.launch(-1, m.state, "c", "9080", "--no-namespace")
	c.await()
	c.reaches("http://$B_SERVICE_HOST:$B_SERVICE_PORT/")
	m.edges(func(out string) bool { return strings.Count(out, `"mtlsShare": 1`) == 2 }, "-o", "json")
	b.end()
	if b.cmd.ProcessState.ExitCode() != 0 || m.find("default/b-1") != nil {
		t.Errorf("exit code %d, %+v", b.cmd.ProcessState.ExitCode(), m.find("default/b-1"))
	}
}

func TestKilledRunWithoutNamespaces(t *testing.T) {
	m := begin(t)
	b := m.launch(-1, m.state, "b", "9080", "--no-namespace")
	b.await()
	family := descendants(b.cmd.Process.Pid)
	b.kill()
	eventually(t, func() error {
		for _, pid := range family {
			if alive(pid) {
				return fmt.Errorf("process %d lives on: %s", pid, commandOf(pid))
			}
		}
		return nil
	})
	eventually(t, func() error {
		if s := m.find("default/b-1"); s != nil {
			return fmt.Errorf("status says %+v", s)
		}
		return nil
	})
}
