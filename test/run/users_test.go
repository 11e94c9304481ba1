package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// needRoot skips where this test can't become another user.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes as another user")
	}
}

// Everything works without root, low ports and names too.
func TestUserWithoutRights(t *testing.T) {
	needRoot(t)
	m := newMesh(t, nobody)
	m.start()
	web := m.launch(nobody, m.state, "web", "80")
	web.await()
	a := m.run("a")
	if strings.Contains(a.out.String(), "no namespaces: ") {
		t.Skipf("no sandbox for users without rights: %s", a.out)
	}
	if got := a.reaches("http://web/"); got.Name != "web-1" {
		t.Errorf("%+v", got)
	}
	st, err := os.Stat(m.state)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if got := a.tells("/list", "path", m.state); len(got.List) > 0 {
		t.Errorf("an application sees %q", got.List)
	}
}

// Without namespaces, ports that the user may not open are moved.
func TestUserWithoutRightsOrNamespaces(t *testing.T) {
	needRoot(t)
	m := newMesh(t, nobody, `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 9080}]}
`)
	m.start()
	m.run("web", "--no-namespace")
	a := m.run("a", "--no-namespace")
	if got := a.reaches("http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT/"); got.Name != "web-1" {
		t.Errorf("%+v", got)
	}
	port := a.tells("/").Env["WEB_SERVICE_PORT"]
	if limit, _ := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); strings.TrimSpace(string(limit)) == "1024" && port != "10080" {
		t.Errorf("the service's port 80 is at %s", port)
	}
}

// Who may claim what follows from the user at the other end of the socket.
func TestOtherUsers(t *testing.T) {
	needRoot(t)
	m := newMesh(t, -1)
	sockets := filepath.Join(m.dir, "sockets")
	if err := os.Chmod(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.start("--sockets", sockets, "--allow", "65534:shop/*")
	for _, x := range []struct {
		state, namespace, says string
	}{
		{sockets, "default", "user 65534 may not claim account default of namespace default"},
		{sockets, "kube-system", "--allow 65534:kube-system/default"},
		{m.state, "shop", "another user's"},
	} {
		p := m.as(nobody, x.state, "run", "--namespace", x.namespace, "--service", "a", "--", "true")
		if p.code() != 125 || !strings.Contains(p.out.String(), x.says) {
			t.Errorf("in %s, %s: exit code %d, want %q in:\n%s", x.state, x.namespace, p.code(), x.says, p.out)
		}
	}
	for _, args := range [][]string{{"status"}, {"identity", "rotate"}, {"stat"}} {
		if p := m.as(nobody, sockets, args...); p.code() != 2 || !strings.Contains(p.out.String(), "user 65534 may not ask this") {
			t.Errorf("%q: exit code %d:\n%s", args, p.code(), p.out)
		}
	}
	theirs := m.launch(nobody, sockets, "web", "9080", "--namespace", "shop")
	theirs.await()
	mine := m.run("a")
	if got := mine.reaches("http://web.shop:9080/"); got.Name != "web-1" {
		t.Errorf("%+v", got)
	}
	if got := theirs.reaches("http://a.default:9080/"); got.Name != "a-1" {
		t.Errorf("%+v", got)
	}
	theirs.end()
	if out := theirs.out.String(); strings.Contains(out, "may still call") || m.find("shop/web-1") != nil {
		t.Errorf("another user's workload does not drain:\n%s", out)
	}
	mine.end()
	m.up.end()
	if err := os.Chmod(sockets, 0o777); err != nil {
		t.Fatal(err)
	}
	p := m.weft("up", "-f", m.conf, "--sockets", sockets)
	if p.code() != 2 || !strings.Contains(p.out.String(), "chmod go-w "+sockets) {
		t.Errorf("sockets where others could put their own: exit code %d:\n%s", p.code(), p.out)
	}
}
