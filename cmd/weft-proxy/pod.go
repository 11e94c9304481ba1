package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/podnet"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/proxy/few"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/probe"
	"github.com/weft-mesh/weft/traffic"
)

// Where the injector mounts what a pod's proxy needs.
const (
	tokenFile  = "/var/run/secrets/weft/token"     // of the pod's service account, for the audience weft
	rootsFile  = "/var/run/weft/root/root.pem"     // of the ConfigMap weft-root
	domainFile = "/var/run/weft/root/trust-domain" // of the same
	stateDir   = "/var/lib/weft"                   // the proxy's own
)

// idlePod is longer than load balancers keep connections that idle (10 min at most, by default): one that is closed as its next request
// is on its way is a call that fails.
const idlePod = 15 * time.Minute

// runPod serves the pod that this process runs in.
func runPod() error {
	_ = sys.Undumpable()
	told, err := os.ReadFile(domainFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an older control plane writes none, and is of cluster.local unless the injector was told
		return err
	}
	c, err := podConfig(os.Getenv, string(told))
	if err != nil {
		return err
	}
	if err := redirected(c); err != nil {
		return err
	}
	fds := &descriptors{}
	if err := listenPod(c, fds); err != nil {
		return err
	}
	return serve(c, fds)
}

// redirected has a pod not start whose calls would pass by its proxy. A gateway's proxy has no application.
func redirected(c *launch.Config) error {
	if c.Gateway != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), redirectTime)
	defer cancel()
	err := podnet.Redirected(ctx)
	if errors.Is(err, podnet.ErrMissing) {
		err = fmt.Errorf("%w: with weft's CNI plugin, it was not there when the pod started, so the pod has to be made anew; "+
			"is weft-node ready on this node?", err)
	}
	return err
}

// redirectTime is more than what a connection to loopback takes.
const redirectTime = 5 * time.Second

// podConfig is what the injector has written into the environment, as weft run would say it. The trust domain that the control plane tells counts where
// the injector knew none.
func podConfig(env func(string) string, trustDomain string) (*launch.Config, error) {
	c := &launch.Config{Workload: env("WEFT_NAMESPACE") + "/" + env("WEFT_POD"), Account: env("WEFT_ACCOUNT"), TrustDomain: cmp.Or(env("WEFT_TRUST_DOMAIN"), trustDomain),
		Remote: launch.Remote{Address: env("WEFT_CONTROL"), Roots: rootsFile, Token: tokenFile}, Pod: &launch.Pod{},
		Gateway: env("WEFT_GATEWAY"),
		Admin:   stateDir + "/admin.sock", Cache: stateDir + "/config", Log: env("WEFT_ACCESS_LOG"), NoResolve: true}
	for _, name := range []string{"WEFT_NAMESPACE", "WEFT_POD", "WEFT_ACCOUNT", "WEFT_CONTROL"} {
		if env(name) == "" {
			return nil, fmt.Errorf("%s is not set; weft's injector sets it, see weft inject", name)
		}
	}
	for text := range strings.SplitSeq(env("WEFT_POD_IPS"), ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		switch {
		case err != nil:
			return nil, fmt.Errorf("WEFT_POD_IPS: want the pod's addresses, with commas between: %w", err)
		case !c.App.IsValid():
			c.App = a
		default:
			c.Pod.Also = append(c.Pod.Also, a)
		}
	}
	if text := env("WEFT_DRAIN"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("WEFT_DRAIN: %q is no number of seconds", text)
		}
		c.Drain = n
	}
	if text := env("WEFT_PROBES"); text != "" {
		c.Pod.Probes = json.RawMessage(text)
	}
	return c, c.Check()
}

// listenPod opens all that a pod's proxy listens on. What is redirected on its way out goes to loopback, where only the pod itself reaches
// it; what is redirected on its way in to whichever address it came to.
func listenPod(c *launch.Config, fds *descriptors) error {
	one := func(to *int, addr string) error {
		l, err := sys.ListenConfig().Listen(context.Background(), "tcp", addr) // both families, where there are two
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		*to, err = fds.add(l)
		return err
	}
	each := func(list *[]int, addrs ...string) error {
		for _, addr := range addrs {
			l, err := sys.ListenTCP(netip.MustParseAddrPort(addr))
			if len(*list) > 0 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
				continue // there is no IPv6
			}
			if err != nil {
				return err
			}
			n, err := fds.add(l)
			if err != nil {
				return err
			}
			*list = append(*list, n)
		}
		return nil
	}
	at := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	if c.Gateway == "" { // nothing is redirected to a gateway's proxy: it has no application
		if err := errors.Join(each(&c.Pod.Out, at("127.0.0.1", traffic.OutboundPort), at("::1", traffic.OutboundPort)),
			each(&c.Pod.In, at("0.0.0.0", traffic.InboundPort), at("::", traffic.InboundPort))); err != nil {
			return err
		}
	}
	return errors.Join(
		one(&c.Inbound, at("", traffic.TunnelPort)),
		one(&c.Metrics, at("", traffic.MetricsPort)),
		one(&c.Pod.Probing, at("", traffic.ReadyPort)))
}

// add takes a listener in, and returns its number.
func (d *descriptors) add(l net.Listener) (int, error) {
	defer l.Close()
	c, ok := l.(sys.Conn)
	if !ok {
		return 0, fmt.Errorf("a %T cannot be passed on", l)
	}
	fd, err := sys.Duplicate(c)
	if err != nil {
		return 0, err
	}
	n := len(d.fds) + adminListener + 1
	d.keep(n, fd)
	return n, nil
}

// release closes what is only kept for a process that takes this one's place, where there is none to come: a listener ends with its last
// descriptor, and connections that nobody will serve are to be refused at once.
func (d *descriptors) release() {
	for _, fd := range d.fds {
		sys.CloseFD(fd)
	}
	d.fds = nil
}

// podWays opens the ways out of a pod, and the one to its application.
func (s *server) podWays(o *proxy.Options) error {
	for _, n := range s.c.Pod.Out {
		l, err := s.fds.listener(n, "outbound")
		if err != nil {
			return err
		}
		o.Outbound = append(o.Outbound, proxy.Outbound{Listener: l, Original: original})
	}
	o.DialApp = s.dialPod
	return nil
}

// proxys are ports that are the proxy's own: calls that are let in by one of them and delivered to another would come round.
var proxys = []uint16{traffic.OutboundPort, traffic.InboundPort, traffic.TunnelPort}

// dialPod connects to an application at its pod's addresses, as its callers would without a mesh. What it listens on at loopback alone is
// not for callers from outside of the pod, so it is not tried.
func (s *server) dialPod(ctx context.Context, port uint16, _ netip.Addr) (_ net.Conn, err error) {
	if slices.Contains(proxys, port) {
		return nil, fmt.Errorf("port %d is the proxy's own", port)
	}
	for _, a := range append([]netip.Addr{s.c.App}, s.c.Pod.Also...) {
		c, failed := sys.DialTCP(ctx, netip.AddrPortFrom(a, port), sys.DialOptions{})
		if failed == nil {
			return c, nil
		}
		if err == nil {
			err = failed
		}
		if !errors.Is(failed, syscall.ECONNREFUSED) {
			break
		}
	}
	return nil, err
}

// serveProbes answers the kubelet.
func (s *server) serveProbes() error {
	var list map[string]probe.Probe
	if text := s.c.Pod.Probes; text != nil {
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("WEFT_PROBES: %w", err)
		}
	}
	prober, err := probe.New(list, s.c.App, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := sys.DialTCP(ctx, to, sys.DialOptions{})
		if err != nil {
			return nil, err
		}
		return c, nil
	})
	if err != nil {
		return fmt.Errorf("WEFT_PROBES: %w", err)
	}
	l, err := s.fds.listener(s.c.Pod.Probing, "probes")
	if err != nil {
		return err
	}
	s.proxy.ServeAdmin(few.Listen(l), &proxy.Admin{Probe: prober.Ask}, false)
	return nil
}

// redirect brings the pod's TCP to its proxy; it is for an init container.
func redirect() error {
	spec, err := podnet.Parse(os.Getenv("WEFT_REDIRECT"))
	if err != nil {
		return fmt.Errorf("WEFT_REDIRECT: %w", err)
	}
	return spec.Apply(0)
}
