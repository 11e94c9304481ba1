package podnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/podnet"
)

// space is a namespace of the test's.
type space struct {
	t *testing.T
	*proctest.Space
}

func newSpace(t *testing.T) *space { t.Helper(); return &space{t, proctest.NewSpace(t)} }

func (s *space) must(f func() error) { s.t.Helper(); s.Must(s.t, f) }

// listen says to whoever connects who it is and where the connection was going.
func (s *space) listen(name, addr string) {
	s.t.Helper()
	var l *net.TCPListener
	s.must(func() (err error) { l, err = sys.ListenTCP(netip.MustParseAddrPort(addr)); return err })
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			to, err := sys.OriginalDst(c)
			if errors.Is(err, sys.ErrNotRedirected) {
				fmt.Fprint(c, name)
			} else if err != nil {
				fmt.Fprint(c, err)
			} else {
				fmt.Fprintf(c, "%s for %s", name, to)
			}
			c.Close()
		}
	}()
}

// dial returns what it is told at an address, or why not.
func (s *space) dial(uid int, addr string) (said string) {
	s.t.Helper()
	err := s.Run(func() error {
		return proctest.As(uid, func() error {
			ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
			defer cancel()
			c, err := sys.DialTCP(ctx, netip.MustParseAddrPort(addr), sys.DialOptions{})
			if err != nil {
				return err
			}
			defer c.Close()
			b, err := io.ReadAll(c)
			said = string(b)
			return err
		})
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case err != nil:
		return err.Error()
	}
	return said
}

// The addresses of a pod and of what is outside of it.
const (
	pod4, pod6 = "10.9.8.7", "fd09::7"
	out4, out6 = "10.9.8.1", "fd09::1"
	far4       = "192.0.2.1" // somewhere behind it, which takes connections to any address
)

// world is a pod and the outside, joined as a CNI plugin joins them.
func world(t *testing.T) (pod, outside *space) {
	t.Helper()
	pod, outside = newSpace(t), newSpace(t)
	outside.Bridge(t, out4+"/24", out6+"/64")
	outside.must(func() error { return proctest.Up("lo", far4+"/32") })
	pod.Join(t, outside.Space, "pod", []string{pod4 + "/24", pod6 + "/64"}, []string{out4, out6})
	return pod, outside
}

const app, other, proxy = 1000, 1001, podnet.ProxyUID // users

// call is a connection in a table of what becomes of it.
type call struct {
	what string
	from *space
	uid  int
	to   string
	want string
}

func tried(t *testing.T, calls []call) {
	t.Helper()
	for _, c := range calls {
		if got := c.from.dial(c.uid, c.to); got != c.want {
			t.Errorf("%s (%s): got %q, want %q", c.what, c.to, got, c.want)
		}
	}
}

func apply(t *testing.T, pod *space, text string) {
	t.Helper()
	s, err := podnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	pod.must(func() error { return s.Apply(0) })
}

// serveWorld has an application and a proxy in the pod, and somebody outside.
func serveWorld(pod, outside *space, proxied bool) {
	for _, at := range []string{"0.0.0.0", "[::]"} {
		pod.listen("app", at+":80")
		pod.listen("other", at+":90")
		outside.listen("outside", at+":80")
		outside.listen("outside", at+":90")
		if proxied {
			pod.listen("inbound", at+":15006")
			pod.listen("tunnel", at+":15008")
			pod.listen("metrics", at+":15020")
			pod.listen("readiness", at+":15021")
		}
	}
	pod.listen("local", "127.0.0.1:70")
	if proxied {
		pod.listen("outbound", "127.0.0.1:15001")
		pod.listen("outbound", "[::1]:15001")
	}
}

func TestRedirection(t *testing.T) {
	pod, outside := world(t)
	serveWorld(pod, outside, true)
	apply(t, pod, `{}`)
	tried(t, []call{
		{"in", outside, app, pod4 + ":80", "inbound for " + pod4 + ":80"},
		{"in, IPv6", outside, app, "[" + pod6 + "]:80", "inbound for [" + pod6 + "]:80"},
		{"in, where nobody listens", outside, app, pod4 + ":81", "inbound for " + pod4 + ":81"},
		{"mutual TLS", outside, app, pod4 + ":15008", "tunnel"},
		{"mutual TLS, IPv6", outside, app, "[" + pod6 + "]:15008", "tunnel"},
		{"metrics", outside, app, pod4 + ":15020", "metrics"},
		{"readiness", outside, app, pod4 + ":15021", "readiness"},
		{"straight to where the kernel redirects to", outside, app, pod4 + ":15006", "inbound"},
		{"into the way out", outside, app, pod4 + ":15001", "inbound for " + pod4 + ":15001"},
		{"out", pod, app, out4 + ":80", "outbound for " + out4 + ":80"},
		{"out, IPv6", pod, app, "[" + out6 + "]:80", "outbound for [" + out6 + "]:80"},
		{"out, far", pod, app, far4 + ":80", "outbound for " + far4 + ":80"},
		{"out, as root", pod, 0, out4 + ":80", "outbound for " + out4 + ":80"},
		{"the proxy's own", pod, proxy, out4 + ":80", "outside"},
		{"the proxy's own, IPv6", pod, proxy, "[" + out6 + "]:80", "outside"},
		{"the proxy to the application", pod, proxy, pod4 + ":80", "app"},
		{"the pod to itself", pod, app, pod4 + ":80", "app"},
		{"the pod to itself, IPv6", pod, app, "[" + pod6 + "]:80", "app"},
		{"loopback", pod, app, "127.0.0.1:70", "local"},
		{"straight to the way out", pod, app, "127.0.0.1:15001", "outbound"},
	})
}

func TestExclusions(t *testing.T) {
	pod, outside := world(t)
	serveWorld(pod, outside, true)
	apply(t, pod, `{"excludeInboundPorts":["88-90"],"excludeOutboundPorts":[90],"excludeOutboundCIDRs":["192.0.2.0/24","`+out6+`/128"],"excludeUIDs":[1001]}`)
	tried(t, []call{
		{"in", outside, app, pod4 + ":80", "inbound for " + pod4 + ":80"},
		{"a port in the range", outside, app, pod4 + ":90", "other"},
		{"the port after it", outside, app, pod4 + ":91", "inbound for " + pod4 + ":91"},
		{"a port on the way out", pod, app, out4 + ":90", "outside"},
		{"another one", pod, app, out4 + ":80", "outbound for " + out4 + ":80"},
		{"a network", pod, app, far4 + ":80", "outside"},
		{"an address of IPv6", pod, app, "[" + out6 + "]:80", "outside"},
		{"a user", pod, other, out4 + ":80", "outside"},
	})
	apply(t, pod, `{"includeInboundPorts":[80],"proxyUID":1001}`)
	tried(t, []call{
		{"an included port", outside, app, pod4 + ":80", "inbound for " + pod4 + ":80"},
		{"another one", outside, app, pod4 + ":90", "other"},
		{"what was excluded before", pod, app, far4 + ":80", "outbound for " + far4 + ":80"},
		{"another user for the proxy", pod, other, out4 + ":80", "outside"},
		{"and no longer the usual one", pod, proxy, out4 + ":80", "outbound for " + out4 + ":80"},
	})
}

// Without a proxy nothing passes in the clear: neither before it listens, nor after it has died.
func TestNothingPassesWithoutTheProxy(t *testing.T) {
	pod, outside := world(t)
	serveWorld(pod, outside, false)
	apply(t, pod, `{}`)
	tried(t, []call{
		{"in", outside, app, pod4 + ":80", "refused"},
		{"in, IPv6", outside, app, "[" + pod6 + "]:80", "refused"},
		{"out", pod, app, out4 + ":80", "refused"},
		{"out, IPv6", pod, app, "[" + out6 + "]:80", "refused"},
		{"mutual TLS", outside, app, pod4 + ":15008", "refused"},
		{"the pod to itself", pod, app, pod4 + ":80", "app"},
	})
}

// A connection that is open when the rules are loaded anew goes on, and the rules do not add up.
func TestApplyAgain(t *testing.T) {
	pod, outside := world(t)
	apply(t, pod, `{}`)
	before := rules(t, pod)
	var l *net.TCPListener
	pod.must(func() (err error) { l, err = sys.ListenTCP(netip.MustParseAddrPort("0.0.0.0:15006")); return err })
	defer l.Close()
	var c *net.TCPConn
	outside.must(func() (err error) {
		c, err = sys.DialTCP(t.Context(), netip.MustParseAddrPort(pod4+":80"), sys.DialOptions{})
		return err
	})
	defer c.Close()
	in, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range 3 {
		apply(t, pod, `{}`)
	}
	if after := rules(t, pod); before == 0 || after != before {
		t.Errorf("%d rules became %d", before, after)
	}
	for _, end := range []struct{ from, to *net.TCPConn }{{c, in}, {in, c}} {
		b := make([]byte, 4)
		_ = end.to.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := end.from.Write([]byte("word")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(end.to, b); err != nil || string(b) != "word" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// TestMost: as many rules as a Spec may name can be loaded.
func TestMost(t *testing.T) {
	pod := newSpace(t)
	apply(t, pod, `{"excludeOutboundCIDRs":["fd00::/8"`+strings.Repeat(`,"fd00:1::/32"`, 999)+`]}`)
	if n := rules(t, pod); n < 1000 {
		t.Errorf("%d rules", n)
	}
}

// From outside of the namespace, as a CNI plugin does it.
func TestApplyFromOutside(t *testing.T) {
	pod, outside := world(t)
	serveWorld(pod, outside, true)
	if err := new(podnet.Spec).Apply(pod.FD(t)); err != nil {
		t.Fatal(err)
	}
	tried(t, []call{{"in", outside, app, pod4 + ":80", "inbound for " + pod4 + ":80"}, {"elsewhere", outside, app, out4 + ":80", "outside"}})
}

// A proxy sees that the rules are there, and whoever may look at them that all are.
func TestRedirected(t *testing.T) {
	pod := newSpace(t)
	pod.must(func() error { return proctest.Up("lo") })
	proof := func() error { return podnet.Redirected(t.Context()) }
	without := func(f func() error) {
		t.Helper()
		if err := pod.Run(f); !errors.Is(err, podnet.ErrMissing) {
			t.Errorf("without rules: %v", err)
		}
	}
	without(proof)
	without(func() error { return new(podnet.Spec).Check(0) })
	pod.listen("somebody", "127.0.0.2:15002")
	without(proof)
	const all = `{"excludeUIDs":[1000,15001],"excludeOutboundCIDRs":["0.0.0.0/0","::/0"],"excludeOutboundPorts":["1-65535"],"excludeInboundPorts":["1-65535"]}`
	for _, text := range []string{`{}`, all} {
		apply(t, pod, text)
		s, err := podnet.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range []int{app, proxy} {
			if err := pod.Run(func() error { return proctest.As(uid, proof) }); err != nil {
				t.Errorf("user %d, rules %s: %v", uid, text, err)
			}
		}
		if err := s.Check(pod.FD(t)); err != nil {
			t.Errorf("rules %s: %v", text, err)
		}
	}
	if err := new(podnet.Spec).Check(pod.FD(t)); !errors.Is(err, podnet.ErrMissing) {
		t.Errorf("other rules than those that are wanted: %v", err)
	}
	// Whoever has the port already is not taken for proof.
	pod.listen("somebody", "127.0.0.1:15002")
	if err := pod.Run(proof); err == nil || errors.Is(err, podnet.ErrMissing) {
		t.Errorf("the port is taken: %v", err)
	}
}

func rules(t *testing.T, s *space) (n int) {
	t.Helper()
	s.must(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := c.ListChains()
		for _, x := range chains {
			list, err := c.GetRules(x.Table, x)
			if err != nil {
				return err
			}
			n += len(list)
		}
		return err
	})
	return n
}

func TestWithoutNetAdmin(t *testing.T) {
	pod := newSpace(t)
	err := pod.Run(func() error {
		// The thread keeps no capability from here on; it is of this test alone.
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, 1000, 1000, 1000); e != 0 {
			return e
		}
		return new(podnet.Spec).Apply(0)
	})
	if err == nil || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("%v", err)
	}
}
