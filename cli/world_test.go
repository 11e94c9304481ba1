package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/observe/stat"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
)

// weft runs a command in this process.
func weft(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(args, &o, &e)
	return code, o.String(), e.String()
}

// short makes a directory whose path is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serveUnix answers HTTP on a Unix socket until the test ends.
func serveUnix(t *testing.T, path string, h http.Handler) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	stop = sync.OnceFunc(func() { s.Close(); serving.Wait() })
	t.Cleanup(stop)
	return stop
}

// plane is a control plane that runs in this process, on configuration in a directory.
type plane struct {
	*control.Control
	state string
	stop  func()
}

func serve(t *testing.T, objects string) *plane {
	t.Helper()
	dir := shortDir(t)
	write(t, filepath.Join(dir, "mesh", "a.yaml"), objects)
	return begin(t, filepath.Join(dir, "state"), filepath.Join(dir, "mesh"))
}

func begin(t *testing.T, state, conf string) *plane {
	t.Helper()
	ctl, err := control.New(control.Options{State: state, Log: slog.New(slog.DiscardHandler), Allow: []control.Rule{{UID: os.Getuid(), Namespace: "*", Account: "*"}},
		Sources: []source.Source{files.New(files.Options{Paths: []string{conf}, Kinds: all.Kinds(defaultTrustDomain)})}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", apiSocket(state))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = ctl.Run(ctx) })
	running.Go(func() { _ = ctl.ServeAPI(ctx, l) })
	p := &plane{ctl, state, sync.OnceFunc(func() { cancel(); running.Wait() })}
	t.Cleanup(p.stop)
	<-ctl.Synced()
	return p
}

// register brings in a workload whose proxy tells these numbers; nil: it does not answer.
func (p *plane) register(t *testing.T, service string, numbers func() *stat.Snapshot) *control.Workload {
	t.Helper()
	admin := filepath.Join(shortDir(t), "admin.sock")
	if numbers != nil {
		serveUnix(t, admin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/stats" {
				http.NotFound(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(numbers())
		}))
	}
	w, err := p.Register(control.Registration{Namespace: "default", Service: service, Account: service, Admin: admin, Ports: []control.Port{{Number: 9080, Protocol: "http"}}}, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const reviews = `
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
`

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: no %q in:\n%s", what, p, text)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
