package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/proxy/plane"
)

// bench is a control plane, the API server that it reads, and the proxies that it serves.
type bench struct {
	objects *objects
	api     *apiServer
	control *proctest.Process
	dir     string
	streams string
	health  string
	closing []func()
}

// figures of a control plane that has read a cluster.
type start struct {
	Shape   shape         `json:"shape"`
	Synced  time.Duration `json:"synced"`  // from its start until it is ready
	CPU     time.Duration `json:"cpu"`     // that this took
	Peak    int           `json:"peak"`    // bytes of RSS
	Settled int           `json:"settled"` // bytes of RSS, some seconds later
}

// begin starts a control plane on a cluster, and waits until it is ready.
func begin(ctx context.Context, f *flags, s shape) (b *bench, out start, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.objects, err = newObjects(s, f.pod); err != nil {
		return b, out, err
	}
	b.api = newAPIServer(b.objects)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return b, out, err
	}
	server := &http.Server{Handler: b.api, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // it ends with Close
	b.closing = append(b.closing, func() { server.Close() })
	if b.dir, err = os.MkdirTemp("", "weft-scale"); err != nil {
		return b, out, err
	}
	b.closing = append(b.closing, func() { os.RemoveAll(b.dir) })
	config := filepath.Join(b.dir, "kubeconfig")
	if err = os.WriteFile(config, fmt.Appendf(nil, kubeconfig, l.Addr()), 0o600); err != nil {
		return b, out, err
	}
	for _, at := range []*string{&b.streams, &b.health} {
		if *at, err = proctest.FreePort(); err != nil {
			return b, out, err
		}
	}
	begun := time.Now()
	argv := []string{filepath.Join(f.bin, "weft-control"), "-kubeconfig", config, "-service", host, "-pod", "weft-control-0", "-streams", b.streams, "-health", b.health}
	if b.control, err = proctest.Start("weft-control", f.log(), nil, argv...); err != nil {
		return b, out, err
	}
	b.closing = append(b.closing, func() { b.control.Kill() })
	if err = b.ready(ctx); err != nil {
		return b, out, err
	}
	out.Shape, out.Synced = s, time.Since(begun)
	if out.CPU, err = proctest.CPU(b.control.Pid()); err != nil {
		return b, out, err
	}
	if _, out.Peak, err = memory(b.control.Pid()); err != nil {
		return b, out, err
	}
	if err = pause(ctx, f.settle); err != nil {
		return b, out, err
	}
	out.Settled, _, err = memory(b.control.Pid())
	return b, out, err
}

// host is what the control plane is called on this machine, in its certificate too.
const host = "localhost"

const kubeconfig = `apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "http://%s"}}]
users: [{name: a, user: {}}]
`

func (b *bench) close() {
	for _, f := range slices.Backward(b.closing) {
		f()
	}
}

// readyTime bounds how long a control plane may take to read a cluster, on a machine that others use too.
const readyTime = 5 * time.Minute

func (b *bench) ready(ctx context.Context) error {
	for end := time.Now().Add(readyTime); ; {
		if err := b.control.Ended(); err != nil {
			return err
		}
		if text, err := get(ctx, "http://"+b.health+"/readyz"); err == nil {
			return nil
		} else if time.Now().After(end) {
			return fmt.Errorf("weft-control is not ready within %v: %w: %s\n%s", readyTime, err, text, b.control.Output())
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(text), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// fleet connects proxies of the first pods of services, spread over all, as wants says.
func (b *bench) fleet(ctx context.Context, proxies int, wants func(proxy int) []int) (*fleet, error) {
	var list []subscription
	for p := range proxies {
		pod := p * (b.objects.Services * b.objects.Endpoints / proxies)
		w := b.objects.workload(pod)
		s := subscription{namespace: b.objects.spaceOf(w), account: appOf(w), pod: podName(w, pod), uid: string(podUID(pod))}
		for _, service := range wants(p) {
			s.hosts = append(s.hosts, b.objects.hostOf(service))
		}
		list = append(list, s)
	}
	roots, err := b.roots(ctx)
	if err != nil {
		return nil, err
	}
	return connect(ctx, plane.Plane{Address: b.streams, Name: host, RootsPEM: func() []byte { return roots }}, list)
}

// roots waits for the leader to have published them.
func (b *bench) roots(ctx context.Context) ([]byte, error) {
	for end := time.Now().Add(readyTime); ; {
		if pem := b.api.roots(b.objects.spaceOf(0)); len(pem) > 0 {
			return pem, nil
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("the leader has not published its roots within %v: %s", readyTime, b.control.Output())
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// churn is what changes of endpoints cost.
type churn struct {
	Changes     int           `json:"changes"`
	Rate        float64       `json:"rate"`        // changes per second
	Subscribers float64       `json:"subscribers"` // of a changed service, on average
	CPU         time.Duration `json:"cpu"`         // of the control plane, for each change; what it uses at rest is taken off
	Rest        float64       `json:"rest"`        // of a core, that it uses at rest, with all proxies connected
	Sent        float64       `json:"sent"`        // bytes to proxies, for each change
	Messages    float64       `json:"messages"`    // to proxies, for each change
	P50         time.Duration `json:"p50"`         // from a change to the last acknowledgement
	P99         time.Duration `json:"p99"`
	Worst       time.Duration `json:"worst"`
	Lost        int           `json:"lost"`    // changes that were not acknowledged by all within lostTime
	Skipped     int           `json:"skipped"` // moments at which a service was chosen that was changing still
}

// lostTime is after how long a change counts as lost.
const lostTime = 5 * time.Second

// mix is what is changed: services that next chooses, of which wanted says how many proxies want them.
type mix struct {
	next   func() int
	wanted func(service int) int
	rate   float64 // changes a second
	window time.Duration
}

// run changes endpoints at a steady rate: a pod of a service becomes ready or unready, in its Pod and in its service's EndpointSlice.
func (b *bench) run(ctx context.Context, f *fleet, m mix) (out churn, err error) {
	if out.Rest, err = b.rest(ctx); err != nil {
		return out, err
	}
	before, err := proctest.CPU(b.control.Pid())
	if err != nil {
		return out, err
	}
	received, messages := f.received.Load(), f.messages.Load()
	var all []*change
	wanted, begun := 0, time.Now()
	for out.Changes = 0; time.Since(begun) < m.window; {
		service := m.next()
		n := m.wanted(service)
		c, free := f.expect(b.objects.hostOf(service), n)
		if !free {
			out.Skipped++
			if err := pause(ctx, time.Millisecond); err != nil {
				return out, err
			}
			continue
		}
		if err := b.change(service, c); err != nil {
			return out, err
		}
		out.Changes++
		wanted += n
		if n == 0 {
			f.settled(b.objects.hostOf(service))
		} else {
			all = append(all, c)
			go func() {
				select {
				case <-c.over:
				case <-time.After(lostTime):
				}
				f.settled(b.objects.hostOf(service))
			}()
		}
		next := begun.Add(time.Duration(float64(out.Changes) / m.rate * float64(time.Second)))
		if err := pause(ctx, time.Until(next)); err != nil {
			return out, err
		}
	}
	took := time.Since(begun)
	if err := pause(ctx, time.Second); err != nil {
		return out, err
	}
	after, err := proctest.CPU(b.control.Pid())
	if err != nil {
		return out, err
	}
	n := float64(out.Changes)
	out.Rate, out.Subscribers = n/took.Seconds(), float64(wanted)/n
	out.CPU = time.Duration(((after - before).Seconds() - out.Rest*(took.Seconds()+1)) / n * float64(time.Second))
	out.Sent, out.Messages = float64(f.received.Load()-received)/n, float64(f.messages.Load()-messages)/n
	out.latencies(all)
	return out, nil
}

// change makes a pod of a service ready or unready, the next one each time.
func (b *bench) change(service int, c *change) error {
	pod := service*b.objects.Endpoints + rand.IntN(b.objects.Endpoints)
	b.objects.unready[pod] = !b.objects.unready[pod]
	if err := b.api.changed("pods", pod); err != nil {
		return err
	}
	c.begun = time.Now()
	return b.api.changed("endpointslices", service)
}

func (c *churn) latencies(all []*change) {
	var took []time.Duration
	for _, x := range all {
		select {
		case <-x.over:
			took = append(took, x.took)
		default:
			c.Lost++
		}
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	c.P50, c.P99, c.Worst = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
}

// restTime is how long a control plane is watched at rest.
const restTime = 4 * time.Second

// rest is the share of a core that the control plane uses while nothing changes.
func (b *bench) rest(ctx context.Context) (float64, error) {
	before, err := proctest.CPU(b.control.Pid())
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, restTime); err != nil {
		return 0, err
	}
	after, err := proctest.CPU(b.control.Pid())
	return (after - before).Seconds() / restTime.Seconds(), err
}
