// Package launch is what whoever starts a weft-proxy tells it. On a machine it travels through a descriptor that the proxy inherits, so
// that no other user sees it: arguments and environments can be seen. In a pod it is made of the environment that the injector wrote, which
// holds no secret. The package links little: its importers start proxies and are none.
package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// FD is the descriptor of the configuration in the proxy: the first of exec.Cmd.ExtraFiles.
const FD = 3

// Config tells a proxy whom it serves and what it inherits. Descriptors are numbers in the proxy; 0 means none.
type Config struct {
	Workload    string `json:"workload"` // namespace/name; required
	Account     string `json:"account"`  // service account; required
	TrustDomain string `json:"trustDomain"`
	Token       string `json:"token"`   // proof that was given at the registration
	Control     string `json:"control"` // Unix socket of the control plane; required, but for one that is Remote
	Remote      Remote `json:"remote"`

	App       netip.Addr       `json:"app"`                 // of the workload; required
	Pod       *Pod             `json:"pod,omitempty"`       // the proxy is in the network namespace of its application, a pod's; nil: it is not
	Gateway   string           `json:"gateway,omitempty"`   // namespace/name of the gateway that the workload is a proxy of; empty: it is none
	Opens     netip.Addr       `json:"opens,omitzero"`      // where it opens the gateway's ports [all addresses]
	Doors     string           `json:"doors,omitempty"`     // of the workload's sandbox, as node.Adopt takes them; empty: there is none, and the application listens on App
	Inbound   int              `json:"inbound,omitempty"`   // TCP listener for mutual TLS
	Published []Published      `json:"published,omitempty"` // ways in from outside
	Listeners []Listener       `json:"listeners,omitempty"` // ways out that stand for an address, where there is no sandbox
	Resolvers []netip.AddrPort `json:"resolvers,omitempty"` // for names that are not the mesh's; none: the machine's own
	NoResolve bool             `json:"noResolve,omitempty"` // names that are not the mesh's do not exist

	Ready   int    `json:"ready,omitempty"`   // pipe that gets a line when the proxy serves
	Metrics int    `json:"metrics,omitempty"` // TCP listener for metrics and readiness, read only
	Admin   string `json:"admin,omitempty"`   // path of the Unix socket for statistics, configuration and drain
	Cache   string `json:"cache,omitempty"`   // file for the last good configuration and certificate
	Log     string `json:"log,omitempty"`     // access log on standard error: off, text, json [off]
	Drain   int    `json:"drain,omitempty"`   // seconds for calls under way before the application is told to end, and after SIGTERM [5]

	Starter  int `json:"starter,omitempty"`  // socket to whoever starts the process that takes this one's place, see package upgrade; none: nobody does
	TakeOver int `json:"takeOver,omitempty"` // conversation with the process whose place this one takes: it says all else that stands here
}

// Remote is a control plane that is reached over TLS.
type Remote struct {
	Address string `json:"address"` // HOST:PORT; the certificate there has to be for HOST
	Roots   string `json:"roots"`   // file of the roots that vouch for it, PEM
	Token   string `json:"token"`   // file of the proof of whom the proxy serves, read each time that it is sent
}

// Pod is what a proxy has that shares the network namespace of its application. Connections were redirected to the listeners of the
// first two lists, and the kernel knows where they were going.
type Pod struct {
	Also    []netip.Addr    `json:"also,omitempty"`    // further addresses of the pod
	Out     []int           `json:"out,omitempty"`     // TCP listeners for what the application sends
	In      []int           `json:"in,omitempty"`      // and for what comes to it in the clear
	Probing int             `json:"probing,omitempty"` // TCP listener for the kubelet: readiness, and Probes
	Probes  json.RawMessage `json:"probes,omitempty"`  // of the application: a probe.Probe for each CONTAINER/KIND
}

// Published is a listener for calls from outside of the mesh to a port of the workload.
type Published struct {
	FD   int    `json:"fd"`
	Port uint16 `json:"port"`
}

// Listener is one whose connections were going to Original.
type Listener struct {
	FD       int            `json:"fd"`
	Original netip.AddrPort `json:"original"`
}

// Pipe returns a file from which a proxy reads c, for exec.Cmd.ExtraFiles. The caller closes it once the proxy has been started.
func Pipe(c *Config) (*os.File, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pass a proxy its configuration: %w", err)
	}
	go func() { // a long one does not fit into a pipe; it ends when nobody is left to read
		_, _ = w.Write(b)
		w.Close()
	}()
	return r, nil
}

// maxConfig bounds what is read.
const maxConfig = 16 << 20

// Read reads what Pipe wrote, and checks it.
func Read(r io.Reader) (*Config, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("read the proxy's configuration from descriptor %d (weft-proxy is started by weft run): %w", FD, err)
	}
	c := new(Config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("the proxy's configuration: %w", err)
	}
	if c.TakeOver > 0 {
		return c, nil
	}
	return c, c.Check()
}

// Check refuses what no proxy can be made of, and fills in what is left out.
func (c *Config) Check() error {
	switch {
	case c.Workload == "" || c.Account == "" || c.Control == "" && c.Remote.Address == "":
		return errors.New("the proxy's configuration: workload, account and control are required")
	case c.Remote.Address != "" && (c.Remote.Roots == "" || c.Remote.Token == ""):
		return errors.New("the proxy's configuration: a remote control plane needs roots and a token")
	case !c.App.IsValid():
		return errors.New("the proxy's configuration: no address of the workload")
	}
	if c.TrustDomain == "" {
		c.TrustDomain = "cluster.local"
	}
	if c.Drain == 0 {
		c.Drain = 5
	}
	return nil
}

// Again is Read for a process that takes another one's place: c is what that one was told.
func (c *Config) Again(of []byte) (*Config, error) {
	next := new(Config)
	if err := json.Unmarshal(of, next); err != nil {
		return nil, fmt.Errorf("the configuration of the process before: %w", err)
	}
	next.Starter, next.TakeOver, next.Ready = c.Starter, 0, 0
	return next, next.Check()
}
