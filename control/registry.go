package control

import (
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
	Admin     string            `json:"admin"`           // path of its proxy's admin socket
	Token     string            `json:"token,omitempty"` // of an earlier registration that goes on
	PID       int               `json:"pid"`
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
	Address netip.Addr `json:"address"`
	Since   time.Time  `json:"since"`

	confirmed bool // its process has spoken to this run of the control plane
	draining  bool
}

// Key is the workload's name in the mesh.
func (w *Workload) Key() string { return w.Namespace + "/" + w.Name }

// Tunnel is where its proxy takes mutual TLS.
func (w *Workload) Tunnel() netip.AddrPort { return netip.AddrPortFrom(w.Address, TunnelPort) }

// TunnelPort is where proxies take mutual TLS (DESIGN section 5).
const TunnelPort = 15008

// Rule says which namespaces and accounts a user of the machine may claim.
type Rule struct {
	UID       int    // of the peer at the socket
	Namespace string // "*": any
	Account   string // "*": any
}

var errRegistration = errors.New("registration refused")

// registry is the workloads of this machine.
type registry struct {
	mu    sync.Mutex
	byKey map[string]*Workload
	rules []Rule

	trustDomain string
	base        uint32 // where the search for a free address begins, so that two meshes on a machine seldom meet
	free        func(netip.AddrPort) bool
}

// loopback is the part of 127.0.0.0/8 that workloads live in.
var loopback = netip.MustParsePrefix("127.64.0.0/10")

// add registers r, or confirms it when its token is that of a registration in force.
func (g *registry) add(r Registration, uid int, now time.Time) (*Workload, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.allowed(uid, r) {
		return nil, fmt.Errorf("%w: user %d may not claim account %s of namespace %s; whoever runs weft up can allow it with --allow",
			errRegistration, uid, r.Account, r.Namespace)
	}
	if old := g.byKey[r.Namespace+"/"+r.Name]; old != nil && r.Token != "" && same(old.Token, r.Token) {
		w := *old
		w.Registration, w.confirmed = r, true
		g.byKey[w.Key()] = &w
		return &w, nil
	}
	if err := g.name(&r); err != nil {
		return nil, err
	}
	a, err := g.address()
	if err != nil {
		return nil, err
	}
	r.Token = rand.Text()
	w := &Workload{Registration: r, Address: a, Since: now, confirmed: true}
	if _, err := identity.Parse(identity.Of(g.trustDomain, r.Namespace, r.Account).String()); err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistration, err)
	}
	if err := identity.ValidWorkload(w.Key(), r.Namespace); err != nil {
		return nil, fmt.Errorf("%w: %w", errRegistration, err)
	}
	g.byKey[w.Key()] = w
	return w, nil
}

func (g *registry) allowed(uid int, r Registration) bool {
	return slices.ContainsFunc(g.rules, func(x Rule) bool {
		return x.UID == uid && (x.Namespace == "*" || x.Namespace == r.Namespace) && (x.Account == "*" || x.Account == r.Account)
	})
}

// name gives an instance a name that is free.
func (g *registry) name(r *Registration) error {
	if r.Name != "" {
		if g.byKey[r.Namespace+"/"+r.Name] != nil {
			return fmt.Errorf("%w: workload %s/%s runs already; choose another --name", errRegistration, r.Namespace, r.Name)
		}
		return nil
	}
	stem := r.Service
	if r.Version != "" {
		stem += "-" + r.Version
	}
	for n := 1; ; n++ {
		if r.Name = fmt.Sprintf("%s-%d", stem, n); g.byKey[r.Namespace+"/"+r.Name] == nil {
			return nil
		}
	}
}

func (g *registry) address() (netip.Addr, error) {
	taken := map[netip.Addr]bool{}
	for _, w := range g.byKey {
		taken[w.Address] = true
	}
	for n := range uint32(1 << 16) {
		x := (g.base + n) % (1<<22 - 2)
		a := netip.AddrFrom4([4]byte{127, byte(64 + x>>16), byte(x >> 8), byte(x)})
		if byte(x) != 0 && !taken[a] && g.free(netip.AddrPortFrom(a, TunnelPort)) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: no free address in %v", errRegistration, loopback)
}

// check says whether token is the proof that was given to a workload.
func (g *registry) check(key, token string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.byKey[key]; w == nil || !same(w.Token, token) {
		return fmt.Errorf("%w: workload %s is not registered here, or with another token; start it with weft run", errRegistration, key)
	}
	return nil
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

// drain marks w: it gets no new calls.
func (g *registry) drain(key string) *Workload {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byKey[key] == nil {
		return nil
	}
	w := *g.byKey[key]
	w.draining = true
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
