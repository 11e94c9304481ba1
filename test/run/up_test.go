package run

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/control"
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: kept}
spec: {selector: {app: kept}, ports: [{port: 80}]}
`

func TestUpThatCannotBegin(t *testing.T) {
	m := begin(t)
	for _, x := range []struct {
		what string
		args []string
		says string
	}{
		{"a path that is not there", []string{"up", "-f", m.conf, "-f", "/no/such/mesh"}, "/no/such/mesh"},
		{"a rule that is none", []string{"up", "--allow", "alice"}, "UID:NAMESPACE/ACCOUNT"},
		{"other users, and no sockets for them", []string{"up", "--allow", "1:a/b"}, "--sockets"},
		{"a second one", []string{"up", "-f", m.conf}, "another control plane runs in " + m.state},
		{"a trust domain that is none", []string{"up", "--trust-domain", "a b"}, "trust domain"},
	} {
		state := m.state
		if x.what == "a trust domain that is none" {
			state = filepath.Join(m.dir, "other")
		}
		p := m.as(-1, state, x.args...)
		if p.code() != 2 || !strings.Contains(p.out.String(), x.says) || !strings.HasPrefix(p.out.String(), "weft: ") {
			t.Errorf("%s: exit code %d, want %q in:\n%s", x.what, p.code(), x.says, p.out)
		}
	}
	if m.status(); m.up.out.String() != "weft is up in "+m.state+": 0 objects, 0 services. Start workloads with: weft run --state "+m.state+" --service NAME --port PORT -- COMMAND\n" {
		t.Errorf("%s", m.up.out)
	}
}

// YAML that is broken at the very start: the mesh comes up, says so, and what an earlier run had in force stays.
func TestUpWithBrokenYAML(t *testing.T) {
	m := begin(t, service)
	m.up.end()
	m.apply("objects0", strings.Replace(service, "{name: kept}", "{name: kept", 1))
	m.start()
	m.up.says("objects0.yaml:")
	if out := m.up.out.String(); !strings.Contains(out, "error: ") || !strings.Contains(out, "1 object, 1 service.") {
		t.Errorf("%s", out)
	}
	m.apply("objects0", strings.ReplaceAll(service, "kept", "new"))
	m.up.says("configuration: 1 object added (Service default/new); 1 object removed (Service default/kept)")
	eventually(t, func() error {
		s := m.status()
		if len(s.Findings) > 0 {
			return fmt.Errorf("%v", s.Findings)
		}
		return nil
	})
	m.up.end()
	m.start()
	if out := m.up.out.String(); !strings.Contains(out, "1 object, 1 service.") || strings.Contains(out, "error") {
		t.Errorf("%s", out)
	}
}

// A policy that is refused at the very start: calls would pass that it forbids, so there is no mesh, unless one asks for it.
func TestUpWithARefusedPolicy(t *testing.T) {
	const mistake = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: all}\nspec:\n  mtls: {mode: STRICTEST}\n"
	for text, says := range map[string]string{
		mistake: "objects0.yaml:5: error: PeerAuthentication default/all (istio): spec.mtls.mode: ",
		strings.Replace(mistake, "{name: all}", "{name: all", 1):                                                              "objects0.yaml:",
		strings.Replace(mistake, "STRICTEST", "PERMISSIVE", 1) + "---\n" + strings.Replace(mistake, "STRICTEST", "STRICT", 1): "objects0.yaml:7: error: PeerAuthentication default/all (istio): the object at ",
	} {
		m := newMesh(t, -1, text)
		p := m.weft("up", "-f", m.conf)
		if p.code() != 1 || !strings.HasPrefix(p.out.String(), "weft: calls would pass") || !strings.Contains(p.out.String(), says) ||
			!strings.Contains(p.out.String(), "--start-unguarded starts all the same\n") {
			t.Errorf("exit code %d:\n%s", p.code(), p.out)
		}
		m.start("--start-unguarded")
		m.up.says("error: ")
		m.up.end()
	}
}

func TestUpEndsCleanly(t *testing.T) {
	m := begin(t)
	m.up.end()
	if code := m.up.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range []string{"api.sock", "mesh.sock"} {
		if _, err := os.Lstat(filepath.Join(m.state, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

func TestCommandsWithoutAControlPlane(t *testing.T) {
	m := newMesh(t, -1)
	for args, code := range map[string]int{"run --service a -- true": 125, "status": 2, "stat": 2, "edges": 2, "identity rotate": 2, "explain --from a --to http://b/": 2} {
		p := m.weft(strings.Fields(args)...)
		exit := p.code()
		want := "weft: no control plane answers in " + m.state + "; start one with: weft up --state " + m.state + " -f DIRECTORY"
		if strings.HasPrefix(args, "explain") {
			want += "; on Kubernetes add --cluster"
		}
		if got := p.out.String(); exit != code || got != want+"\n" {
			t.Errorf("weft %s: exit code %d, want %d: %q, want %q", args, exit, code, got, want)
		}
	}
}

// A control plane that is gone between the registration and the first configuration: weft run says what it waits for.
func TestUpGoesAwayBeforeTheStart(t *testing.T) {
	m := newMesh(t, -1)
	if err := os.Mkdir(m.state, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(m.state, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(control.Registered{Workload: "default/a-1", Token: strings.Repeat("t", 26), Address: "127.99.99.99", Tunnel: "127.99.99.99:15008", TrustDomain: "cluster.local"})
		l.Close()
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	p := m.weft("run", "--service", "a", "--", "true")
	p.says("weft run: the proxy is not ready yet: no control plane answers in " + m.state)
	p.end()
}
