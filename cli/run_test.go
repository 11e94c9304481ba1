package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weft-mesh/weft/control"
)

func TestPorts(t *testing.T) {
	for in, want := range map[string]control.Port{
		"9080":          {Number: 9080},
		"80/http":       {Number: 80, Protocol: "http"},
		"80/http2":      {Number: 80, Protocol: "kubernetes.io/h2c"},
		"grpc=81/grpc":  {Number: 81, Name: "grpc", Protocol: "grpc"},
		"db=5432/tcp":   {Number: 5432, Name: "db", Protocol: "tcp"},
		"admin=65535":   {Number: 65535, Name: "admin"},
		"0":             {},
		"65536":         {},
		"-1":            {},
		"http":          {},
		"80/quic":       {},
		"80/http/2":     {},
		"":              {},
		"name=":         {},
		"80:8080":       {},
		"name=80=http2": {},
	} {
		got, err := parsePort(in)
		if ok := want.Number > 0; ok != (err == nil) || ok && got != want {
			t.Errorf("--port %q: %+v, %v, want %+v", in, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "a port of 1 to 65535 and a protocol of grpc, http, http2, tcp") {
			t.Errorf("%v does not say what there is", err)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	got, err := parseTrusted([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"})
	if want := "[10.0.0.0/8 192.0.2.1/32 2001:db8::/32 ::1/128]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v %v, want %s", got, err, want)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "lb.example", "10.0.0.0/"} {
		if got, err := parseTrusted([]string{bad}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func TestWays(t *testing.T) {
	got, err := parseWays([]string{"127.0.0.1:8080:9080", "[::1]:80:81", "0.0.0.0:0:1"})
	want := []way{{netip.MustParseAddrPort("127.0.0.1:8080"), 9080}, {netip.MustParseAddrPort("[::1]:80"), 81}, {netip.MustParseAddrPort("0.0.0.0:0"), 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "8080", "8080:9080", "localhost:8080:9080", "127.0.0.1:8080", "127.0.0.1:8080:http", "127.0.0.1:8080:65536", "127.0.0.1:8080:"} {
		if got, err := parseWays([]string{bad}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:8080:9080") {
			t.Errorf("--publish %q: %v, %v, want an error with an example", bad, got, err)
		}
	}
}

func TestRegistration(t *testing.T) {
	f := runFlags{namespace: "shop", service: "web", version: "v1", name: "one", ports: []string{"80"}, labels: []string{"tier=front", "eq=a=b", "empty="},
		trusted: []string{"10.0.0.0/8"}}
	r, err := f.registration()
	if err != nil || r.Namespace != "shop" || r.Service != "web" || r.Version != "v1" || r.Name != "one" || r.Account != "default" || r.PID != os.Getpid() ||
		len(r.Ports) != 1 || r.Labels["tier"] != "front" || r.Labels["eq"] != "a=b" || r.Labels["empty"] != "" || len(r.Labels) != 3 || fmt.Sprint(r.Trusted) != "[10.0.0.0/8]" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []runFlags{{labels: []string{"tier"}}, {labels: []string{"=x"}}, {ports: []string{"x"}}, {trusted: []string{"x"}}} {
		if r, err := bad.registration(); err == nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestExecutableFor(t *testing.T) {
	plain := write(t, filepath.Join(t.TempDir(), "plain"), "")
	for name, code := range map[string]int{"sh": 0, "/bin/sh": 0, "no-such-command": exitNotFound, "/no/such/command": exitNotFound, plain: exitNoExec} {
		err := executableFor(name)
		var f *failure
		if code == 0 && err != nil || code != 0 && (!errors.As(err, &f) || f.code != code) {
			t.Errorf("%s: %v, want %d", name, err, code)
		}
	}
}

func TestHostnames(t *testing.T) {
	for in, want := range map[string]string{"a-1": "a-1", strings.Repeat("a", 62) + "-b-1": strings.Repeat("a", 62), strings.Repeat("b", 80): strings.Repeat("b", 63)} {
		if got := hostname(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func env(lines []string) map[string]string {
	out := map[string]string{}
	for _, l := range lines {
		k, v, _ := strings.Cut(l, "=")
		if _, twice := out[k]; twice {
			out[k] += " and " + v
			continue
		}
		out[k] = v
	}
	return out
}

// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func TestEnvironment(t *testing.T) {
	t.Setenv("HOSTNAME", "the-machine")
	t.Setenv("UNTOUCHED", "a=b")
	given := control.Registered{Workload: "default/web-1", Address: "127.64.0.9", Services: []control.ServiceAddr{
		{Name: "redis-primary", Namespace: "default", Host: "redis-primary.default.svc.cluster.local", IP: "240.0.0.1", Ports: []control.Port{{Number: 6379, Name: "redis"}, {Number: 80, Name: "admin-ui"}}},
		{Name: "plain", Namespace: "default", Host: "plain.default.svc.cluster.local", IP: "240.0.0.2", Ports: []control.Port{{Number: 80}}},
		{Name: "headless", Namespace: "default", Host: "headless.default.svc.cluster.local", Ports: []control.Port{{Number: 80}}},
		{Name: "portless", Namespace: "default", Host: "portless.default.svc.cluster.local", IP: "240.0.0.3"},
		{Name: "plain", Namespace: "other-one", Host: "plain.other-one.svc.cluster.local", IP: "240.0.0.4", Ports: []control.Port{{Number: 81}}},
	}}
	w := &workload{member: &member{given: given, reg: control.Registration{Ports: []control.Port{{Number: 9080}, {Number: 9090}}}}}
	w.virtual = []virtual{{original: netip.MustParseAddrPort("240.0.0.2:80"), at: netip.MustParseAddrPort("127.128.9.2:10080"), host: "plain.default.svc.cluster.local"}}
	got := env(w.environment())
	for name, want := range map[string]string{
		"POD_NAME": "web-1", "POD_NAMESPACE": "default", "POD_IP": "127.64.0.9", "HOSTNAME": "web-1", "HOST": "127.64.0.9", "PORT": "9080", "UNTOUCHED": "a=b",
		"REDIS_PRIMARY_SERVICE_HOST": "240.0.0.1", "REDIS_PRIMARY_SERVICE_PORT": "6379", "REDIS_PRIMARY_SERVICE_PORT_REDIS": "6379", "REDIS_PRIMARY_SERVICE_PORT_ADMIN_UI": "80",
		"PLAIN_SERVICE_HOST": "127.128.9.2", "PLAIN_SERVICE_PORT": "10080", "PLAIN_OTHER_ONE_SERVICE_HOST": "240.0.0.4", "PLAIN_OTHER_ONE_SERVICE_PORT": "81",
		"HEADLESS_SERVICE_HOST": "", "PORTLESS_SERVICE_HOST": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestStandInAddresses(t *testing.T) {
	loopback, seen := netip.MustParsePrefix("127.128.0.0/9"), map[netip.Addr]bool{}
	for _, own := range []string{"127.64.0.1", "127.64.0.2", "127.64.1.1", "127.100.127.255"} {
		for n := uint32(1); n <= mostStandIns; n++ {
			a := standInAddr(netip.MustParseAddr(own), n)
			if !loopback.Contains(a) || seen[a] {
				t.Fatalf("%s: %v", own, a)
			}
			seen[a] = true
		}
	}
}

func TestStandInListens(t *testing.T) {
	var errs strings.Builder
	given := control.Registered{Workload: "default/web-1"}
	for _, ip := range []string{"240.0.0.1", "", "240.0.0.2"} {
		given.Services = append(given.Services, control.ServiceAddr{Host: "s" + ip, IP: ip, Ports: []control.Port{{Number: 40080}, {Number: 40081}}})
	}
	w := &workload{errs: &errs, member: &member{given: given, reg: control.Registration{Address: netip.MustParseAddr("127.90.91.92")}}}
	defer w.close()
	if err := w.standIn(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range w.virtual {
		got = append(got, v.host+" "+v.original.String()+" at "+v.at.String())
	}
	want := []string{"s240.0.0.1 240.0.0.1:40080 at 127.219.92.1:40080", "s240.0.0.1 240.0.0.1:40081 at 127.219.92.1:40081",
		"s240.0.0.2 240.0.0.2:40080 at 127.219.92.2:40080", "s240.0.0.2 240.0.0.2:40081 at 127.219.92.2:40081"}
	if !slices.Equal(got, want) || errs.Len() > 0 {
		t.Errorf("%q, want %q; said %q", got, want, errs.String())
	}
	w.member.given.Services = nil
	for range mostStandIns + 1 {
		w.member.given.Services = append(w.member.given.Services, control.ServiceAddr{Host: "s", IP: "240.0.0.9"})
	}
	if err := w.standIn(); err != nil || !strings.Contains(errs.String(), "more than 254 services") {
		t.Errorf("%v, said %q", err, errs.String())
	}
}

// api is a control plane's socket that the test answers for.
type api struct {
	mu    sync.Mutex
	asked []control.Registration
	drain []string
	hang  chan struct{} // closed: registrations end
	fail  string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var reg control.Registration
	_ = json.NewDecoder(r.Body).Decode(&reg)
	a.mu.Lock()
	hang, fail := a.hang, a.fail
	if strings.HasSuffix(r.URL.Path, "/drain") {
		a.drain = append(a.drain, r.URL.Query().Get("workload")+" "+r.Header.Get("authorization"))
		a.mu.Unlock()
		return
	}
	a.asked = append(a.asked, reg)
	a.mu.Unlock()
	if fail != "" {
		http.Error(w, fail, http.StatusConflict)
		return
	}
	_ = json.NewEncoder(w).Encode(control.Registered{Workload: "shop/web-1", Token: "token", Address: "127.64.0.9", Tunnel: "127.64.0.9:15008"})
	_ = http.NewResponseController(w).Flush()
	select {
	case <-hang:
	case <-r.Context().Done():
	}
}

func (a *api) set(fail string) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hang := make(chan struct{})
	a.fail, a.hang = fail, hang
	return sync.OnceFunc(func() { close(hang) })
}

func (a *api) last() (n int, r control.Registration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked) == 0 {
		return 0, r
	}
	return len(a.asked), a.asked[len(a.asked)-1]
}

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A registration that is lost is made anew, with what was given the first time.
func TestMemberComesBack(t *testing.T) {
	dir, a, errs := shortDir(t), &api{}, &buffer{}
	end := a.set("")
	serveUnix(t, apiSocket(dir), a)
	m, err := join(t.Context(), dir, control.Registration{Namespace: "shop", Service: "web"}, errs)
	if err != nil {
		t.Fatal(err)
	}
	defer m.leave()
	if _, r := a.last(); r.Token != "" || r.Name != "" || r.Address.IsValid() {
		t.Errorf("the first time: %+v", r)
	}
	again := a.set("")
	end()
	eventually(t, "it does not register again", func() bool { n, _ := a.last(); return n == 2 })
	if _, r := a.last(); r.Token != "token" || r.Name != "web-1" || r.Address.String() != "127.64.0.9" || r.Namespace != "shop" || r.Draining {
		t.Errorf("the second time: %+v", r)
	}
	if err := m.drain(t.Context()); err != nil || !slices.Equal(a.drain, []string{"shop/web-1 token"}) {
		t.Errorf("%v, %q", err, a.drain)
	}
	ended := a.set("registration refused: already taken")
	defer ended()
	again()
	eventually(t, "it gives up", func() bool { n, _ := a.last(); return n >= 4 })
	if _, r := a.last(); !r.Draining {
		t.Errorf("it does not say that it drains: %+v", r)
	}
	if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "already taken") {
		t.Errorf("said %q, want the refusal once", got)
	}
	if !m.away.Load() {
		t.Error("it does not know that it is away")
	}
}

func TestMemberIsRefused(t *testing.T) {
	dir, a := shortDir(t), &api{fail: "registration refused: no"}
	serveUnix(t, apiSocket(dir), a)
	if _, err := join(t.Context(), dir, control.Registration{}, &buffer{}); err == nil || err.Error() != "registration refused: no" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := join(ctx, dir, control.Registration{}, &buffer{}); err == nil {
		t.Error("joined after the end")
	}
}

func TestRunDir(t *testing.T) {
	state := shortDir(t)
	t.Setenv("TMPDIR", shortDir(t))
	d, err := newRunDir(state)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(d.path) != filepath.Join(state, "run") {
		t.Errorf("%s is not beside the sockets", d.path)
	}
	for _, p := range []string{d.path, filepath.Dir(d.path)} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	if st, err := os.Stat(runParents(state)[1]); err != nil || st.Mode().Perm() != 0o700 { // no sandbox can make it first
		t.Errorf("the directory for when that can't be used: %v", err)
	}
	write(t, filepath.Join(d.path, "config"), "key")
	d.lock.Close() // as when the process is killed
	next, err := newRunDir(state)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newRunDir(state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.path); err == nil {
		t.Error("what a killed process left is there still")
	}
	if _, err := os.Stat(next.path); err != nil {
		t.Errorf("what belongs to a process that lives was swept away: %v", err)
	}
	next.remove()
	other.remove()
	if left, _ := filepath.Glob(filepath.Join(state, "run", "*", "")); len(left) != 1 { // the parent's lock
		t.Errorf("left %q", left)
	}
}

func TestRunDirElsewhere(t *testing.T) {
	temp := shortDir(t)
	t.Setenv("TMPDIR", temp)
	open := filepath.Join(shortDir(t), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil { // as another user's, or one of several
		t.Fatal(err)
	}
	long := filepath.Join(shortDir(t), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{open, long, filepath.Join(temp, "none")} {
		d, err := newRunDir(state)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(d.path, filepath.Join(temp, "weft-")) {
			t.Errorf("for %.40s it is in %s", state, d.path)
		}
		d.remove()
	}
	mine := runParents(open)[0]
	if err := os.Chmod(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if d, err := newRunDir(open); err == nil || !strings.Contains(err.Error(), mine) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("%+v, %v: others may enter it", d, err)
	}
	if err := errors.Join(os.RemoveAll(mine), os.Symlink(shortDir(t), mine)); err != nil {
		t.Fatal(err)
	}
	if d, err := newRunDir(open); err == nil {
		t.Errorf("%+v: it leads somewhere else", d)
	}
}
