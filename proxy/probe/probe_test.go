package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/wire/grpc"
)

func dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := sys.DialTCP(ctx, to, sys.DialOptions{})
	if err != nil {
		return nil, err
	}
	return c, nil
}

var local = netip.MustParseAddr("127.0.0.1")

// ask asks a probe that stands in JSON, as the injector writes it; PORT is the server's. Where it says no time, it has more than the usual
// second: a machine that does other things may take that.
func ask(t *testing.T, text string, port uint16) error {
	t.Helper()
	var p Probe
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "PORT", fmt.Sprint(port))), &p); err != nil {
		t.Fatal(err)
	}
	if p.TimeoutSeconds == 0 {
		p.TimeoutSeconds = 30
	}
	x, err := New(map[string]Probe{"app/liveness": p}, local, dial)
	if err != nil {
		t.Fatal(err)
	}
	return x.Ask("app/liveness", "kube-probe/1.36")
}

func portOf(s *httptest.Server) uint16 { return s.Listener.Addr().(*net.TCPAddr).AddrPort().Port() }

// application answers as its paths say.
func application(t *testing.T) *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
		fmt.Fprint(w, "body")
	})
	m.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	m.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	m.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	m.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	m.HandleFunc("/seen", func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{"host": "shop", "x-a": "1", "user-agent": "kube-probe/1.36", "accept": "*/*"} {
			if got := r.Header.Get(name); name == "host" && r.Host != want || name != "host" && got != want {
				t.Errorf("%s is %q, host %q, want %q", name, got, r.Host, want)
			}
		}
		if r.URL.RawQuery != "q=1" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
	})
	m.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Values("user-agent"); len(v) > 0 || r.Header.Get("accept") != "text/plain" {
			t.Errorf("%q", r.Header)
		}
	})
	return m
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(application(t))
	defer s.Close()
	for _, x := range []struct {
		probe, says string
		status      int // that the kubelet is told
	}{
		{`{"httpGet":{"port":PORT,"path":"/status/200"}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"status/204","scheme":"HTTP"}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"/status/399"}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"/status/400"}}`, "answers with status 400", 400},
		{`{"httpGet":{"port":PORT,"path":"/status/503"}}`, "answers with status 503", 503},
		{`{"httpGet":{"port":PORT}}`, "answers with status 404", 404},
		{`{"httpGet":{"port":PORT,"path":"/seen?q=1","httpHeaders":[{"name":"Host","value":"shop"},{"name":"X-A","value":"1"}]}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"/bare","httpHeaders":[{"name":"User-Agent","value":""},{"name":"Accept","value":"text/plain"}]}}`, "", 200},
		// kubelet: "probe terminated redirects" to another host is a success, and one to the same host is followed
		{`{"httpGet":{"port":PORT,"path":"/to?to=/status/500"}}`, "answers with status 500", 500},
		{`{"httpGet":{"port":PORT,"path":"/to?to=http://127.0.0.1:PORT/status/501"}}`, "answers with status 501", 501},
		{`{"httpGet":{"port":PORT,"path":"/to?to=http://169.254.169.254/"}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"/to?to=//localhost:1/"}}`, "", 200},
		{`{"httpGet":{"port":PORT,"path":"/round"}}`, "more than 10 times", 503},
		{`{"httpGet":{"port":PORT,"path":"/endless"}}`, "", 200},                          // 10 KiB are enough
		{`{"httpGet":{"port":PORT,"path":"http://169.254.169.254/status/200"}}`, "", 200}, // at the pod's own address all the same
		{`{"httpGet":{"port":PORT,"scheme":"HTTPS"}}`, "TLS with the application", 503},
	} {
		err := ask(t, x.probe, portOf(s))
		if (err == nil) != (x.says == "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want %q", x.probe, err, x.says)
		}
		if got := Status(err); got != x.status {
			t.Errorf("%s: status %d", x.probe, got)
		}
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewTLSServer(application(t)) // whose certificate nobody knows
	defer s.Close()
	if err := ask(t, `{"httpGet":{"port":PORT,"path":"/status/200","scheme":"HTTPS"}}`, portOf(s)); err != nil {
		t.Error(err)
	}
	if err := ask(t, `{"httpGet":{"port":PORT,"path":"/status/500","scheme":"https"}}`, portOf(s)); Status(err) != 500 {
		t.Error(err)
	}
}

// A probe has a time; one that nobody answers within it has failed.
func TestTooLate(t *testing.T) {
	s := httptest.NewServer(application(t))
	defer s.Close()
	if err := ask(t, `{"httpGet":{"port":PORT,"path":"/never"},"timeoutSeconds":1}`, portOf(s)); !errors.Is(err, errTooLate) {
		t.Error(err)
	}
	if (&Probe{}).timeout() != time.Second || (&Probe{TimeoutSeconds: 7}).timeout() != 7*time.Second {
		t.Error("core/v1 Probe.timeoutSeconds: defaults to 1 second")
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	if err := ask(t, `{"tcpSocket":{"port":PORT}}`, port); err != nil {
		t.Error(err)
	}
	l.Close()
	for _, p := range []string{`{"tcpSocket":{"port":PORT}}`, `{"httpGet":{"port":PORT}}`, `{"grpc":{"port":PORT}}`} {
		if err := ask(t, p, port); err == nil || !strings.Contains(err.Error(), "connect to the application") || Status(err) != 503 {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// health answers for services by their names: serving, or a status of gRPC.
func health(w http.ResponseWriter, r *http.Request) {
	var in grpc.Reader
	b := make([]byte, 1024)
	n, _ := r.Body.Read(b)
	in.Feed(b[:n])
	m, _, _, _ := in.Next()
	w.Header().Set("content-type", "application/grpc")
	w.Header().Set("trailer", "grpc-status")
	code, answer := "0", []byte{1 << 3, serving}
	switch {
	case r.URL.Path != "/grpc.health.v1.Health/Check" || r.UserAgent() != "kube-probe/1.36":
		code = "12"
	case strings.HasSuffix(string(m), "down"):
		answer[1] = 2
	case strings.HasSuffix(string(m), "unknown"):
		answer = nil
	case strings.HasSuffix(string(m), "none"):
		code = "5"
	case strings.HasSuffix(string(m), "mute"):
		<-r.Context().Done()
	}
	_, _ = w.Write(grpc.AppendMessage(nil, false, answer))
	w.Header().Set("grpc-status", code)
}

func TestGRPC(t *testing.T) {
	s := httptest.NewServer(h2c.NewHandler(http.HandlerFunc(health), &http2.Server{}))
	defer s.Close()
	for service, says := range map[string]string{"": "", "up": "", "down": "health is 2", "unknown": "health is 0", "none": `gRPC status "5"`, "mute": "too long"} {
		after := 30
		if service == "mute" {
			after = 1
		}
		err := ask(t, fmt.Sprintf(`{"grpc":{"port":PORT,"service":%q},"timeoutSeconds":%d}`, service, after), portOf(s))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", service, err, says)
		}
	}
	plain := httptest.NewServer(application(t)) // no gRPC there
	defer plain.Close()
	if err := ask(t, `{"grpc":{"port":PORT}}`, portOf(plain)); err == nil {
		t.Error("an application that speaks HTTP/1.1 alone is well by gRPC")
	}
}

func TestWhatIsNoProbe(t *testing.T) {
	for _, x := range []struct{ probe, says string }{
		{`{}`, "want one of"},
		{`{"tcpSocket":{"port":1},"grpc":{"port":1}}`, "want one of"},
		{`{"httpGet":{"path":"/"}}`, "port: required"},
		{`{"tcpSocket":{}}`, "port: required"},
		{`{"grpc":{}}`, "port: required"},
		{`{"httpGet":{"port":1,"scheme":"FTP"}}`, "neither HTTP nor HTTPS"},
	} {
		var p Probe
		if err := json.Unmarshal([]byte(x.probe), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := New(map[string]Probe{"a/b": p}, local, dial); err == nil || !strings.Contains(err.Error(), "a/b") || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", x.probe, err)
		}
	}
	x, err := New(nil, local, dial)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Ask("app/liveness", ""); !errors.Is(err, ErrUnknown) || Status(err) != 404 {
		t.Error(err)
	}
}

// However many ask, the application has one question at a time to answer.
func TestACrowdAsksOnce(t *testing.T) {
	var asked, under, most atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		for range 100 {
			runtime.Gosched()
		}
		under.Add(-1)
	}))
	defer s.Close()
	x, err := New(map[string]Probe{"a": {HTTPGet: &HTTPGet{Port: portOf(s)}, TimeoutSeconds: 30}}, local, dial)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := x.Ask("a", "curl"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked.Load() < 1 || most.Load() != 1 {
		t.Errorf("asked %d times, %d at a time", asked.Load(), most.Load())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.asked) > 0 {
		t.Errorf("%v", x.asked)
	}
}

func FuzzStatusOf(f *testing.F) {
	for _, b := range []string{"", "\x08\x01", "\x08\x80", "\x10\x01"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := statusOf(b); ok && len(b) == 1 {
			t.Errorf("%x is an answer", b)
		}
	})
}
