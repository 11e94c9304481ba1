package main

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Who asks over HTTP proves nothing, and anybody in the cluster may: these bound what that costs.
const (
	mostGuests  = 8192 // connections to a port: so many that who fills them has 64 addresses, and the kubelet is not kept out by few
	mostOfOne   = 128  // from one address; an API server has one for each question under way
	mostAsked   = 32   // admission reviews under way: each may have some 8 MB, several times over
	mostOfACrew = 2    // of those, such as come from pods
)

// crowd is a listener that takes a bounded number of connections, in all and from one address. What is too much is closed.
type crowd struct {
	net.Listener
	turned func()

	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func newCrowd(l net.Listener, turned func()) *crowd {
	return &crowd{Listener: l, turned: turned, of: map[netip.Addr]int{}}
}

func (r *replica) crowd(l net.Listener) net.Listener {
	return newCrowd(l, func() { r.turned.Add("too_many_from_one") })
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		nc, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from := addressOf(nc.RemoteAddr()); c.count(from, 1) {
			return &counted{Conn: nc, leave: sync.OnceFunc(func() { c.count(from, -1) })}, nil
		}
		c.turned()
		nc.Close()
	}
}

func (c *crowd) count(from netip.Addr, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && (c.all >= mostGuests || c.of[from] >= mostOfOne) {
		return false
	}
	c.all += n
	if c.of[from] += n; c.of[from] == 0 {
		delete(c.of, from)
	}
	return true
}

type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

func addressOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// inTurn has few questions be answered at once. Those of pods have a few places of their own: the API server, which is none, must not wait
// behind them. A cluster whose API server comes by way of pods has these in kube-system, or its pods start slowly.
func inTurn(h http.Handler, isPod func(netip.Addr) bool) http.Handler {
	places, pods := make(chan struct{}, mostAsked), make(chan struct{}, mostOfACrew)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := netip.ParseAddrPort(r.RemoteAddr)
		in := places
		if isPod(at.Addr().Unmap()) {
			in = pods
		}
		late := time.NewTimer(askTime)
		defer late.Stop()
		select {
		case in <- struct{}{}:
			defer func() { <-in }()
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		case <-late.C:
			http.Error(w, "too many ask", http.StatusServiceUnavailable)
		}
	})
}
