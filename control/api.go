package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/internal/sys"
)

// The API that weft's commands speak with a running control plane: HTTP and JSON on a Unix socket. Who may do what follows from
// the peer's user ID at the socket (SO_PEERCRED), which nobody can make up.

// Registered is the answer to a registration: what its process and its proxy need. The connection then stays open: its end is
// the workload's.
type Registered struct {
	Workload    string        `json:"workload"` // namespace/name
	Token       string        `json:"token"`
	Address     string        `json:"address"`
	Tunnel      string        `json:"tunnel"`
	TrustDomain string        `json:"trustDomain"`
	Services    []ServiceAddr `json:"services"`          // as of now, for the environment of the process
	Private     []string      `json:"private,omitempty"` // what the process must not see: it may be of the user who runs the control plane
	Rules       []string      `json:"rules,omitempty"`   // what it must not write, for the same reason: the configuration
}

// ServiceAddr is a service as environment variables tell of it.
type ServiceAddr struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Host      string `json:"host"`
	IP        string `json:"ip"`
	Ports     []Port `json:"ports"`
}

// ProxyAddr is where a running proxy answers questions.
type ProxyAddr struct {
	Workload  string `json:"workload"`
	Service   string `json:"service"`
	Namespace string `json:"namespace"`
	Version   string `json:"version,omitempty"`
	Address   string `json:"address"`
	Admin     string `json:"admin"` // Unix socket
	Connected bool   `json:"connected"`
}

// Status is the control plane's own.
type Status struct {
	TrustDomain string            `json:"trustDomain"`
	Root        string            `json:"root"`
	Rotation    string            `json:"rotation"`
	Proxies     []ProxyAddr       `json:"proxies"`
	Findings    []dialect.Located `json:"findings"`
	Refused     []string          `json:"refused"` // by proxies
}

type connKey struct{}

// ServeAPI answers on l until ctx ends.
func (c *Control) ServeAPI(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/workloads", answering(func(w http.ResponseWriter, r *http.Request) error { return c.serveRegister(ctx, w, r) }))
	mux.HandleFunc("POST /v1/workloads/drain", answering(c.serveDrain))
	mux.HandleFunc("GET /v1/status", c.owners(c.serveStatus))
	mux.HandleFunc("POST /v1/identity/rotate", c.owners(c.serveRotate))
	mux.HandleFunc("POST /v1/explain", c.owners(c.serveExplain))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		}}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve commands: %w", err)
	}
	return nil
}

func peerUID(r *http.Request) (int, error) {
	conn, ok := r.Context().Value(connKey{}).(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a Unix socket")
	}
	uid, _, _, err := sys.PeerCred(conn)
	return uid, err
}

// owners lets only those through who may claim everything: the user who runs the control plane.
func (c *Control) owners(next func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return answering(func(w http.ResponseWriter, r *http.Request) error {
		uid, err := peerUID(r)
		if err == nil && !c.registry.allowed(uid, Registration{Namespace: "*", Account: "*"}) {
			err = fmt.Errorf("%w: user %d may not ask this; ask as the user who runs weft up", errForbidden, uid)
		}
		if err != nil {
			return err
		}
		return next(w, r)
	})
}

// answering turns an error into an answer.
func answering(next func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := next(w, r); err != nil {
			http.Error(w, err.Error(), statusOf(err))
		}
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errForbidden):
		return http.StatusForbidden
	case errors.Is(err, errTaken):
		return http.StatusConflict
	case errors.Is(err, errStopped), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func answerJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("content-type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// serveRegister: a workload whose process is gone leaves the mesh; one whose control plane stops will come back.
func (c *Control) serveRegister(running context.Context, w http.ResponseWriter, r *http.Request) error {
	uid, err := peerUID(r)
	if err != nil {
		return err
	}
	var reg Registration
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsked)).Decode(&reg); err != nil {
		return fmt.Errorf("%w: it is not to be read: %w", errRegistration, err)
	}
	wl, err := c.Register(reg, uid)
	if err != nil {
		return err
	}
	if answerJSON(w, c.registered(wl)) == nil && http.NewResponseController(w).Flush() == nil {
		<-r.Context().Done()
	}
	if running.Err() == nil {
		c.Deregister(wl.Key(), wl.Token)
	}
	return nil
}

// maxAsked bounds what commands send.
const maxAsked = 1 << 20

func (c *Control) registered(w *Workload) Registered {
	out := Registered{Workload: w.Key(), Token: w.Token, Address: w.Address.String(), Tunnel: w.Tunnel().String(), TrustDomain: c.opts.TrustDomain,
		Private: append([]string{c.opts.State}, c.opts.Private...), Rules: c.opts.Rules}
	services := c.View().Mesh.Services
	for _, host := range slices.Sorted(services.Keys()) {
		s := services.Get(host)
		a := ServiceAddr{Name: s.Name, Namespace: s.Namespace, Host: s.Host}
		if len(s.IPs) > 0 {
			a.IP = s.IPs[0].String()
		}
		for _, p := range s.Ports {
			a.Ports = append(a.Ports, Port{Number: p.Number, Name: p.Name})
		}
		out.Services = append(out.Services, a)
	}
	return out
}

// serveDrain asks for the token, which is the workload's own; who runs it does not matter.
func (c *Control) serveDrain(_ http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), drainWait)
	defer cancel()
	q := r.URL.Query()
	return c.Drain(ctx, q.Get("workload"), r.Header.Get("authorization"))
}

// drainWait bounds the wait for proxies that do not acknowledge.
const drainWait = 5 * time.Second

func (c *Control) serveStatus(w http.ResponseWriter, _ *http.Request) error {
	roots := c.ca.Roots()
	out := Status{TrustDomain: c.opts.TrustDomain, Root: roots.Active.ID().String(), Rotation: roots.Phase().String(),
		Findings: c.View().Findings, Refused: c.Refused()}
	connected := map[string]bool{}
	_ = c.do(func() {
		for workload := range c.publisher.sessions {
			connected[workload] = true
		}
	})
	for _, w := range c.registry.all() {
		out.Proxies = append(out.Proxies, ProxyAddr{Workload: w.Key(), Service: w.Service, Namespace: w.Namespace, Version: w.Version,
			Address: w.Address.String(), Admin: w.Admin, Connected: connected[w.Key()]})
	}
	return answerJSON(w, out)
}

// serveRotate tells each step as a line of text.
func (c *Control) serveRotate(w http.ResponseWriter, r *http.Request) error {
	flush := http.NewResponseController(w)
	say := func(line string) {
		fmt.Fprintln(w, line)
		_ = flush.Flush()
	}
	ctx, cancel := context.WithTimeout(r.Context(), rotateWait)
	defer cancel()
	if err := c.Rotate(ctx, say); err != nil {
		say("error: " + err.Error())
	}
	return nil
}

const rotateWait = time.Minute

// serveExplain answers what would happen to a call, by what is in force now.
func (c *Control) serveExplain(w http.ResponseWriter, r *http.Request) error {
	var asked explain.Asked
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsked)).Decode(&asked); err != nil {
		return err
	}
	asked.Now = time.Now()
	snap := c.View().Mesh
	q, err := asked.Query(snap)
	if err != nil {
		return err
	}
	b, err := explain.Call(compile.All(snap, snap.Workloads.Get(q.Caller())), q)
	if err != nil {
		return err
	}
	return answerJSON(w, b)
}
