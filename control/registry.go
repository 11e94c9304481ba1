package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/stream/server"
	"github.com/weft-mesh/weft/traffic"
)

// Registration is what `weft run` says of the process that it starts.
type Registration struct {
	Name      string            `json:"name,omitempty"` // of the instance; empty: made of service, version and a number
	Namespace string            `json:"namespace"`
	Service   string            `json:"service"`
	Version   string            `json:"version,omitempty"`
	Account   string            `json:"account"`
	Labels    map[string]string `json:"labels,omitempty"`
	Ports     []Port            `json:"ports"`
	Trusted   []netip.Prefix    `json:"trusted,omitempty"` // proxies in front of its published ports whose x-forwarded-* counts
	Admin     string            `json:"admin"`             // path of its proxy's admin socket
	PID       int               `json:"pid"`

	// A registration that goes on over a restart of the control plane brings what it was given, and how far it has come.
	Token    string     `json:"token,omitempty"`
	Address  netip.Addr `json:"address,omitzero"`
	Draining bool       `json:"draining,omitempty"`
}

// Port is a port that the process listens on; Protocol is a Kubernetes appProtocol, empty: detect.
type Port struct {
	Number   uint16 `json:"number"`
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

// Workload is a registration in force.
type Workload struct {
	Registration
	Since time.Time `json:"since"`

	confirmed bool // its process has spoken to this run of the control plane
}

// Key is the workload's name in the mesh.
func (w *Workload) Key() string { return w.Namespace + "/" + w.Name }

// Tunnel is where its proxy takes mutual TLS.
func (w *Workload) Tunnel() netip.AddrPort { return netip.AddrPortFrom(w.Address, traffic.TunnelPort) }

// Rule says which namespaces and accounts a user of the machine may claim.
type Rule struct {
	UID       int    // of the peer at the socket
	Namespace string // "*": any
	Account   string // "*": any
}

var (
	errRegistration = errors.New("registration refused")
	errForbidden    = errors.New("not allowed")   // by the rules, whatever else is right
	errTaken        = errors.New("already taken") // by a workload that runs
)

// registry is the workloads of this machine.
type registry struct {
	mu    sync.Mutex
	byKey map[string]*Workload
	rules []Rule

	trustDomain string
	cursor      uint32 // where the search for a free address begins: two meshes on a machine seldom meet, and an address rests before it is given again
	free        func(netip.AddrPort) bool
	flaws       func(*Workload) error // what is wrong with the objects that a workload stands for
}

// loopback is the part of 127.0.0.0/8 that workloads live in.
var loopback = netip.MustParsePrefix("127.64.0.0/10")

// add registers r, or takes it back when it comes with what an earlier registration was given.
func (g *registry) add(r Registration, uid int, now time.Time) (*Workload, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &Workload{Registration: r, Since: now, confirmed: true}
	err := g.permit(w, uid)
	if err == nil {
		err = g.place(w)
	}
	if err == nil {
		err = g.valid(w)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistration, err)
	}
	g.byKey[w.Key()] = w
	return w, nil
}

func (g *registry) permit(w *Workload, uid int) error {
	if g.allowed(uid, w.Registration) {
		return nil
	}
	return fmt.Errorf("%w: user %d may not claim account %s of namespace %s; whoever runs weft up can allow it with --allow %d:%s/%s",
		errForbidden, uid, w.Account, w.Namespace, uid, w.Namespace, w.Account)
}

func (g *registry) allowed(uid int, r Registration) bool {
	return slices.ContainsFunc(g.rules, func(x Rule) bool {
		return x.UID == uid && (x.Namespace == "*" || x.Namespace == r.Namespace) && (x.Account == "*" || x.Account == r.Account)
	})
}

// place gives w a name, an address and a token, or leaves it those that it had.
func (g *registry) place(w *Workload) (err error) {
	old := g.byKey[w.Key()]
	switch {
	case w.Name != "" && old != nil && w.Token != "" && same(old.Token, w.Token):
		w.Address, w.Since = old.Address, old.Since
		w.Draining = w.Draining || old.Draining
		return nil
	case w.Name != "" && old != nil:
		return fmt.Errorf("%w: workload %s runs; choose another --name", errTaken, w.Key())
	case w.Token != "":
		return g.adopt(w)
	}
	if w.Name == "" {
		w.Name = g.name(&w.Registration)
	}
	w.Token = rand.Text()
	w.Address, err = g.address()
	return err
}

// adopt takes up a registration that this control plane has lost, with its state or because the process was silent for too long:
// its proxy runs, and serves under this address and token.
func (g *registry) adopt(w *Workload) error {
	switch {
	case w.Name == "" || len(w.Token) < len(rand.Text()) || !loopback.Contains(w.Address):
		return errors.New("what an earlier registration was given is a name, a token and an address, and here is a part of it")
	case g.taken()[w.Address]:
		return fmt.Errorf("%w: address %v of workload %s; start it again", errTaken, w.Address, w.Key())
	}
	return nil
}

// name makes one that is free.
func (g *registry) name(r *Registration) string {
	stem := cmp.Or(r.Service, r.Account)
	if r.Version != "" {
		stem += "-" + r.Version
	}
	for n := 1; ; n++ {
		if name := fmt.Sprintf("%s-%d", stem, n); g.byKey[r.Namespace+"/"+name] == nil {
			return name
		}
	}
}

func (g *registry) taken() map[netip.Addr]bool {
	taken := map[netip.Addr]bool{}
	for _, w := range g.byKey {
		taken[w.Address] = true
	}
	return taken
}

const (
	addresses = 1<<22 - 2 // in loopback, without the last
	tries     = 1 << 16
)

func (g *registry) address() (netip.Addr, error) {
	taken := g.taken()
	for n := range uint32(tries) {
		x := (g.cursor + n) % addresses
		a := netip.AddrFrom4([4]byte{127, byte(64 + x>>16), byte(x >> 8), byte(x)})
		if byte(x) != 0 && !taken[a] && g.free(netip.AddrPortFrom(a, traffic.TunnelPort)) {
			g.cursor = x + 1
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %v is free on port %d", loopback, traffic.TunnelPort)
}

// valid says what is wrong with the words of a registration: nobody checked them before.
func (g *registry) valid(w *Workload) error {
	if err := identity.Of(g.trustDomain, w.Namespace, w.Account).Validate(); err != nil {
		return err
	}
	if err := identity.ValidWorkload(w.Key(), w.Namespace); err != nil {
		return err
	}
	seen := map[uint16]bool{}
	for _, p := range w.Ports {
		if p.Number == 0 || seen[p.Number] {
			return fmt.Errorf("port %d: it is there twice, or is no port", p.Number)
		}
		seen[p.Number] = true
	}
	return g.flaws(w)
}

// check says whether token is the proof that was given to a workload.
func (g *registry) check(key, token string) error {
	_, err := g.proved(key, token)
	return err
}

func (g *registry) proved(key, token string) (*Workload, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.byKey[key]
	if w == nil || !same(w.Token, token) {
		return nil, fmt.Errorf("%w: workload %s is not registered here, or with another token; start it with weft run", errRegistration, key)
	}
	return w, nil
}

func (g *registry) admit(_ context.Context, workload, token string) (*member, error) {
	w, err := g.proved(workload, token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", server.ErrRefused, err)
	}
	return &member{workload, w.Account, w.Token}, nil
}

func (g *registry) stays(m *member) bool { return g.check(m.workload, m.uid) == nil }

func (g *registry) expected() (out []string) {
	for _, w := range g.all() {
		out = append(out, w.Key())
	}
	return out
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (g *registry) get(key string) *Workload {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byKey[key]
}

// remove forgets w, unless it has been registered anew.
func (g *registry) remove(key, token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.byKey[key]; w == nil || !same(w.Token, token) {
		return false
	}
	delete(g.byKey, key)
	return true
}

// drain marks a workload: it gets no new calls.
func (g *registry) drain(key string) *Workload {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byKey[key] == nil {
		return nil
	}
	w := *g.byKey[key]
	w.Draining = true
	g.byKey[key] = &w
	return &w
}

// all returns the workloads by name.
func (g *registry) all() (out []*Workload) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(g.byKey)) {
		out = append(out, g.byKey[k])
	}
	return out
}

// unconfirmed returns those that an earlier run knew and that have not spoken since.
func (g *registry) unconfirmed() (out []*Workload) {
	for _, w := range g.all() {
		if !w.confirmed {
			out = append(out, w)
		}
	}
	return out
}
