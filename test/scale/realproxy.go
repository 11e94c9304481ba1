package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/launch"
)

// sidecar is what a real proxy takes that calls some services of a cluster.
type sidecar struct {
	Of       int `json:"of"`       // services of the cluster
	Services int `json:"services"` // that it has called, and knows
	RSS      int `json:"rss"`      // bytes, once it knows them
	After    int `json:"after"`    // after changes of services that it has not called
}

// sidecars measures a real proxy that calls 20 services, in clusters of other sizes.
func sidecars(ctx context.Context, f *flags, r *results) error {
	for _, n := range []int{100, 1000, 10_000} {
		s, err := r.sidecar(ctx, f, n)
		if err != nil {
			return err
		}
		fmt.Printf("  %d services: the proxy knows %d; RSS %s, and %s after changes of others\n", n, s.Services, mb10(s.RSS), mb10(s.After))
		r.Sidecars = append(r.Sidecars, s)
	}
	return nil
}

func (r *results) sidecar(ctx context.Context, f *flags, n int) (s sidecar, err error) {
	b, _, err := begin(ctx, f, shape{n, 10, 10 * n})
	if err != nil {
		return s, err
	}
	defer b.close()
	p, err := b.sidecar(ctx, f)
	if err != nil {
		return s, err
	}
	if err := p.calls(ctx); err != nil {
		return s, fmt.Errorf("%w\n%s", err, &p.out)
	}
	if err := pause(ctx, f.settle); err != nil {
		return s, err
	}
	s.Of, s.Services = n, wants
	if s.RSS, _, err = memory(p.cmd.Process.Pid); err != nil {
		return s, err
	}
	nobody := new(fleet)
	others := mix{func() int { return wants + rand.IntN(n-wants) }, func(int) int { return 0 }, perSec, f.window}
	if _, err = b.run(ctx, nobody, others); err != nil {
		return s, err
	}
	s.After, _, err = memory(p.cmd.Process.Pid)
	return s, err
}

// realProxy is a weft-proxy, with ways out that stand for the first services.
type realProxy struct {
	cmd   *exec.Cmd
	out   proctest.Tail
	admin string
	ways  []string
}

// sidecar starts a proxy as in the first service's first pod, with an address on this machine: nothing is redirected to it.
func (b *bench) sidecar(ctx context.Context, f *flags) (*realProxy, error) {
	roots, err := b.roots(ctx)
	if err != nil {
		return nil, err
	}
	w, at := b.objects.workload(0), func(name string) string { return filepath.Join(b.dir, name) }
	_, port, err := net.SplitHostPort(b.streams)
	if err != nil {
		return nil, err
	}
	token := tokenOf(b.objects.spaceOf(w), appOf(w), podName(w, 0), string(podUID(0)))
	if err := errors.Join(os.WriteFile(at("roots"), roots, 0o600), os.WriteFile(at("token"), []byte(token), 0o600)); err != nil {
		return nil, err
	}
	p := &realProxy{admin: at("admin.sock")}
	c := &launch.Config{Workload: b.objects.spaceOf(w) + "/" + podName(w, 0), Account: appOf(w), App: netip.MustParseAddr("127.0.0.1"), Admin: p.admin, NoResolve: true,
		Remote: launch.Remote{Address: net.JoinHostPort(host, port), Roots: at("roots"), Token: at("token")}}
	var files []*os.File
	defer func() {
		for _, file := range files {
			file.Close()
		}
	}()
	for i := range wants {
		file, err := p.way()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		c.Listeners = append(c.Listeners, launch.Listener{FD: launch.FD + len(files), Original: netip.AddrPortFrom(netip.MustParseAddr(serviceIP(i)), 80)})
	}
	pipe, err := launch.Pipe(c)
	if err != nil {
		return nil, err
	}
	files = append([]*os.File{pipe}, files...)
	p.cmd = exec.Command(filepath.Join(f.bin, "weft-proxy"))
	p.cmd.ExtraFiles, p.cmd.Stdout, p.cmd.Stderr = files, &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	b.closing = append(b.closing, func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	})
	return p, nil
}

// way opens a listener for the proxy.
func (p *realProxy) way() (*os.File, error) {
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	p.ways = append(p.ways, l.Addr().String())
	return l.File()
}

// calls has the proxy be called for each service until it knows all of them. Nobody is at their endpoints.
func (p *realProxy) calls(ctx context.Context) error {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for _, at := range p.ways {
		c, err := net.Dial("tcp", at)
		if err != nil {
			return err
		}
		open = append(open, c)
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: shop\r\n\r\n")); err != nil {
			return err
		}
	}
	for end := time.Now().Add(time.Minute); ; {
		n, err := p.known(ctx)
		switch {
		case err == nil && n == len(p.ways):
			return nil
		case time.Now().After(end):
			return errors.Join(fmt.Errorf("the proxy knows %d services of the %d that it was called for", n, len(p.ways)), err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// known is how many services the proxy has.
func (p *realProxy) known(ctx context.Context) (n int, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", p.admin)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy/config", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var all []struct{ Name, State string }
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return 0, err
	}
	for _, x := range all {
		if strings.HasPrefix(x.Name, config.KindService+"/") && x.State == "in use" {
			n++
		}
	}
	return n, nil
}
