// Package proxy is the engine: it fills calls from connections, is their traffic.Host, moves their bodies and records them. One
// engine serves sidecars, and later gateways, waypoints and nodes; they differ in listeners and configuration.
//
// It opens no listener and finds no application by itself: whoever starts it hands these in, from inside of a network namespace
// or from loopback. Whatever it cannot do safely it refuses, and says because of what.
//
// New, then Run; configuration comes through Apply, from a stream.Client that is Options.Config. Drain lets calls under way end.
// README.md tells how a call passes.
package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/proxy/renew"
	"github.com/weft-mesh/weft/proxy/room"
)

// Options configures a proxy. Fields that are not required may be zero, which means what stands in brackets.
type Options struct {
	Workload string        // namespace/name; required
	ID       identity.ID   // of the workload; required
	Addr     netip.Addr    // of the workload: its calls to other proxies come from there [the kernel's choice]
	Cert     *cert.Store   // required
	Certify  renew.Certify // [whoever fills Cert keeps it fresh]
	Config   held.Wanter   // where configuration is asked for; its updates go to Proxy.Apply; required
	Cache    string        // file, private to the user, for the last good configuration and the certificate [none]

	State []byte // of the process that this one takes over from (Proxy.State), instead of Cache [none]

	Outbound  []Outbound   // what the workload sends
	Inbound   net.Listener // mutual TLS from other proxies [none]
	Published []Published  // in the clear, from outside the mesh
	Gateway   string       // namespace/name of the gateway that the workload is a proxy of [none]
	DNS       []net.PacketConn
	DNSStream []net.Listener
	Resolvers []netip.AddrPort // for names that are not the mesh's [such names do not exist]

	// DialApp connects to the workload's application, inside its namespace. From is the workload that calls, if that is known: a
	// connection that serves this one caller may come from there. Required with Inbound or Published.
	DialApp func(ctx context.Context, port uint16, from netip.Addr) (net.Conn, error)
	// Listen opens a port of the gateway, whenever its configuration says so. Required with Gateway.
	Listen func(port uint16) (net.Listener, error)
	// ListenUDP opens a port of UDP of the gateway. [no listener for UDP can be opened]
	ListenUDP func(port uint16) (*net.UDPConn, error)
	// Dial connects to anything else. [sys.DialTCP]
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	Sink  observe.Sink     // of records [none]
	Clock func() time.Time // it has to run as fast as real time does [time.Now]
	Draw  func() uint64    // the lot of each call [rand.Uint64]
	Warn  func(error)      // hears what went wrong beside calls [nothing]
	// Refused hears of callers that were turned away before there was a call, and of peers that broke a protocol, by a reason
	// out of a closed list. [nobody]
	Refused func(reason string)
	// Cut hears of connections that were closed though calls were under way on them, by why. [nobody]
	Cut func(reason string)
	// Renewed hears of each attempt to renew the certificate. [nobody]
	Renewed func(error)

	Mesh   []netip.Prefix // addresses that are the mesh's: one that is not known is refused; an empty list: none are [240.0.0.0/4, 127.64.0.0/10]
	Lookup time.Duration  // a first call waits this long for configuration [3 s]
	Idle   time.Duration  // connections without calls are closed after this, but for those that a policy gives another time [1 h]
	// IdleOutside is Idle of connections of HTTP/1.1 that come from outside of the mesh, where it is less. [1 min]
	IdleOutside time.Duration
	Record      time.Duration // the rest of a record of TLS from outside, of which a part has come, is waited for no longer [30 s]
	Forget      time.Duration // services that are not called are dropped after this [10 min]
	Grace       time.Duration // for calls on a connection that must not go on, because its root was retired [10 s]

	// AnyPort: calls to ports that the workload does not declare reach it all the same, as Kubernetes has it. [they are refused, if it declares any]
	AnyPort bool

	MaxConns int        // accepted at once, each listener [10000]
	Room     *room.Room // what is left of memory and descriptors; whoever made it has it watched [no bounds]
}

// Outbound is a listener for what the workload sends.
type Outbound struct {
	net.Listener
	// Original says where a connection was going: the redirected address (sys.OriginalDst), or what the listener stands for.
	Original func(net.Conn) (netip.AddrPort, error)
}

// Published is a listener that lets calls from outside of the mesh in, to a port of the workload.
type Published struct {
	net.Listener
	Port uint16
	// Original says where a connection was going, of a listener to which those to any port of the workload are redirected. [to Port]
	Original func(net.Conn) (netip.AddrPort, error)
}

// Limits that are nobody's to choose.
const (
	handshakeTime = 10 * time.Second // for TLS, from its first byte to its last
	connectTime   = 4 * time.Second  // to a callee, where no policy says another time: three SYNs, at 0, 1 and 3 s
	appTime       = 5 * time.Second  // to the application
	minRate       = 240              // bytes a second of a request's body from outside, after a minute (Kestrel's rate; it allows 5 s)
	halfOpen      = 5 * time.Minute  // a TCP connection of which one side has ended, without a byte
)

func (o Options) validate() (Options, error) {
	switch {
	case o.Workload == "" || o.ID.IsZero():
		return o, errors.New("proxy: no workload")
	case o.Cert == nil || o.Config == nil:
		return o, errors.New("proxy: no certificates or no configuration")
	case o.DialApp == nil && (o.Inbound != nil || len(o.Published) > 0):
		return o, errors.New("proxy: no way to the application")
	case o.Gateway != "" && o.Listen == nil:
		return o, errors.New("proxy: a gateway that cannot open ports")
	}
	for _, l := range o.Outbound {
		if l.Original == nil {
			return o, errors.New("proxy: an outbound listener that does not say where its connections were going")
		}
	}
	if o.Dial == nil {
		o.Dial = o.dial
	}
	if o.ListenUDP == nil {
		o.ListenUDP = func(uint16) (*net.UDPConn, error) { return nil, errors.ErrUnsupported }
	}
	if o.Sink == nil {
		o.Sink = observe.Sinks{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Draw == nil {
		o.Draw = rand.Uint64
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	if o.Cut == nil {
		o.Cut = func(string) {}
	}
	if o.Renewed == nil {
		o.Renewed = func(error) {}
	}
	if o.Mesh == nil {
		o.Mesh = []netip.Prefix{netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("127.64.0.0/10")}
	}
	if o.MaxConns == 0 {
		o.MaxConns = 10000
	}
	for _, d := range []struct {
		d    *time.Duration
		zero time.Duration
	}{{&o.Lookup, 3 * time.Second}, {&o.Idle, time.Hour}, {&o.IdleOutside, time.Minute}, {&o.Record, 30 * time.Second}, {&o.Forget, 10 * time.Minute}, {&o.Grace, 10 * time.Second}} {
		if *d.d == 0 {
			*d.d = d.zero
		}
	}
	return o, nil
}

// dial leaves from the workload's own address where that goes: to the rest of this machine.
func (o *Options) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d sys.DialOptions
	if o.Addr.IsLoopback() && to.Addr().IsLoopback() && o.Addr.Is4() == to.Addr().Is4() {
		d.From = o.Addr
	}
	c, err := sys.DialTCP(ctx, to, d)
	if err != nil {
		return nil, err // not a *net.TCPConn that is nil
	}
	return c, nil
}
