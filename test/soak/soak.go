package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

const (
	lifetime = 28 * time.Second // of certificates, which are backdated by half of it and renewed at half of the whole ...
	latest   = lifetime / 4     // ... so that this is the longest that one stays, and 5 s is usual
	perApply = 100 * time.Millisecond
	perEnd   = 3 * time.Second // between workloads that come, and go
	upgrades = 2               // of all proxies, in the first half: the second shows the memory of processes that stay
)

const services = `
apiVersion: v1
kind: Service
metadata: {name: back}
spec:
  selector: {app: back}
  ports: [{name: http, port: 9080}, {name: tcp, port: 9090}, {name: grpc, port: 9091}]
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec:
  selector: {app: front}
  ports: [{name: http, port: 9080}, {name: tcp, port: 9090}, {name: grpc, port: 9091}]
`

// soak is a mesh under load: callers from outside, front, and behind it some of back.
type soak struct {
	mesh  *proctest.Mesh
	span  time.Duration
	front *proctest.Process
	backs []*proctest.Process
	ways  map[string]string // into front, by port

	kinds   []*kind
	applied atomic.Int64 // changes of configuration
	seen    atomic.Int64 // the last that an answer has shown
	started int          // of back
	ended   int
	renewed int                // upgrades of all
	certs   map[string]float64 // certificates of front's proxy, by what became of the attempt
	mu      sync.Mutex
	broken  error // of what comes and goes; guarded by mu
	began   time.Time
	settled time.Time // when the last upgrade was over
	samples []sample
}

func (s *soak) start(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(s.mesh.Config, "services.yaml"), []byte(services), 0o600); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	if err := s.mesh.StartUp(ctx, "--cert-lifetime", lifetime.String()); err != nil {
		return err
	}
	for range 2 {
		if err := s.more(ctx); err != nil {
			return err
		}
	}
	var flags []string
	s.ways = map[string]string{}
	for _, p := range ports {
		at, err := proctest.FreePort()
		if err != nil {
			return err
		}
		s.ways[p] = at
		flags = append(flags, "--publish", at+":"+p)
	}
	var err error
	if s.front, err = s.workload("front", flags, "relay", "back"); err != nil {
		return err
	}
	return s.mesh.AwaitAnswer(ctx, s.front, s.ways[httpPort])
}

func (s *soak) workload(service string, flags []string, command ...string) (*proctest.Process, error) {
	flags = append([]string{"--service", service, "--port", "http=9080/http", "--port", "tcp=9090/tcp", "--port", "grpc=9091/grpc"}, flags...)
	return s.mesh.Run(service, nil, flags, append([]string{filepath.Join(s.mesh.Bin, "soak")}, command...)...)
}

// more starts one more of back, and waits until it serves.
func (s *soak) more(ctx context.Context) error {
	at, err := proctest.FreePort()
	if err != nil {
		return err
	}
	p, err := s.workload("back", []string{"--publish", at + ":" + httpPort}, "echo")
	if err != nil {
		return err
	}
	s.backs = append(s.backs, p)
	s.started++
	return s.mesh.AwaitAnswer(ctx, p, at)
}

// load has everything happen at once, for the time that was asked for.
func (s *soak) load(ctx context.Context) {
	s.began = time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.span)
	defer cancel()
	s.call(ctx)
	var all sync.WaitGroup
	all.Go(func() { s.configure(ctx) })
	all.Go(func() { s.comeAndGo(ctx) })
	all.Go(func() { s.watch(ctx) })
	all.Wait()
	for _, k := range s.kinds {
		k.run.Wait()
	}
	if err := s.certificates(context.WithoutCancel(ctx)); err != nil {
		s.trouble(err)
	}
}

// certificates counts those that front's proxy has had. Where it was upgraded, the counts went along.
func (s *soak) certificates(ctx context.Context) error {
	socket, _, err := s.mesh.Proxy(ctx, "front")
	if err != nil {
		return err
	}
	all, err := proctest.Metrics(ctx, socket)
	s.certs = map[string]float64{}
	for _, outcome := range []string{"renewed", "failed"} {
		s.certs[outcome] = all[`weft_certificate_renewals_total{outcome="`+outcome+`"}`]
	}
	return err
}

func (s *soak) trouble(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = errors.Join(s.broken, err)
}

// configure changes the configuration of back's port for HTTP.
func (s *soak) configure(ctx context.Context) {
	t := time.NewTicker(perApply)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.apply(); err != nil {
				s.trouble(err)
			}
		}
	}
}

// apply writes a route whose answers show which one it is.
func (s *soak) apply() error {
	n := s.applied.Add(1)
	file := filepath.Join(s.mesh.Config, "route.yaml")
	text := fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back}
spec:
  hosts: [back]
  http:
  - match: [{port: 9080}]
    timeout: %ds
    headers: {response: {set: {x-soak: "%d"}}}
    route: [{destination: {host: back}}]
  - route: [{destination: {host: back}}]
`, 20+n%7, n)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// comeAndGo starts and ends workloads, the one that came first first, and upgrades proxies in between.
func (s *soak) comeAndGo(ctx context.Context) {
	t := time.NewTicker(perEnd)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := s.oneForAnother(ctx)
		if due := time.Duration(s.renewed+1) * s.span / (2*upgrades + 1); err == nil && s.renewed < upgrades && time.Since(s.began) > due {
			_, err = s.mesh.Command(ctx, "proxy", "upgrade", "--all", "--drain-limit", "1m")
			s.renewed++
			s.settled = time.Now()
		}
		if err != nil && ctx.Err() == nil {
			s.trouble(err)
			return
		}
	}
}

func (s *soak) oneForAnother(ctx context.Context) error {
	if err := s.more(ctx); err != nil {
		return err
	}
	first := s.backs[0]
	s.backs = s.backs[1:]
	first.Stop(30 * time.Second)
	s.mesh.Runs = slices.DeleteFunc(s.mesh.Runs, func(p *proctest.Process) bool { return p == first })
	s.ended++
	return nil
}
