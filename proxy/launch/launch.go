// Package launch is how whoever starts a proxy tells it what it is: a Config as JSON on an inherited descriptor, and listeners as
// further ones. Nothing of it is in arguments or the environment, which other processes may read. It links little, since the
// proxy links it.
package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// Config is a proxy's. Descriptors are numbers in the proxy's process.
type Config struct {
	Workload    string `json:"workload"` // namespace/name
	Account     string `json:"account"`
	TrustDomain string `json:"trustDomain"`
	Token       string `json:"token"`   // proof towards the control plane
	Control     string `json:"control"` // Unix socket that serves stream.Service

	Doors     string           `json:"doors,omitempty"`     // node.Adopt's, of a sandbox; empty: Listeners and App
	Listeners []Listener       `json:"listeners,omitempty"` // for what the workload sends, where there is no sandbox
	App       netip.Addr       `json:"app,omitzero"`        // where the application listens, where there is no sandbox
	Inbound   int              `json:"inbound"`             // mutual TLS
	Published []Published      `json:"published,omitempty"`
	Ready     int              `json:"ready"` // the proxy writes a line here once it serves
	Resolvers []netip.AddrPort `json:"resolvers,omitempty"`

	Admin   string `json:"admin"`             // Unix socket to make
	Metrics int    `json:"metrics,omitempty"` // 0: none
	Cache   string `json:"cache,omitempty"`   // file for the last good configuration
	Log     string `json:"log,omitempty"`     // access log: off, json or text; empty: off
}

// Listener stands for an address that the workload may call.
type Listener struct {
	FD       int            `json:"fd"`
	Original netip.AddrPort `json:"original"`
}

// Published lets calls from outside in, to a port of the workload.
type Published struct {
	FD   int    `json:"fd"`
	Port uint16 `json:"port"`
}

// FD is the descriptor that the configuration comes on.
const FD = 3

// maxConfig bounds it.
const maxConfig = 1 << 20

// Read takes the configuration from its descriptor.
func Read() (*Config, error) {
	f := os.NewFile(FD, "configuration")
	if f == nil {
		return nil, errors.New("launch: there is no descriptor 3; weft-proxy is started by weft run")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("launch: read the configuration on descriptor 3 (weft-proxy is started by weft run): %w", err)
	}
	c := new(Config)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("launch: the configuration on descriptor 3: %w", err)
	}
	return c, nil
}

// Pipe returns the end that a proxy inherits as FD, with c written to the other.
func Pipe(c *Config) (*os.File, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("launch: %w", err)
	}
	go func() { // a pipe holds 64 KiB; more waits for the proxy to read
		_, _ = w.Write(b)
		w.Close()
	}()
	return r, nil
}
