package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/serve"
)

const (
	defaultPort = "9080"
	maxAnswer   = 1 << 20 // bytes of a peer's answer
)

// peer is a service that this one calls.
type peer struct {
	name    string        // reviews
	address string        // what is dialled: host:port
	host    string        // the Host header: always names the service
	timeout time.Duration // of one call, answer included
	client  *http.Client
}

// newPeer finds a service: NAME_HOSTNAME (host or host:port) and SERVICES_DOMAIN where one of them is set, else
// NAME_SERVICE_HOST and NAME_SERVICE_PORT as Kubernetes sets them, else the bare name; the port is 9080 where none is
// given.
func newPeer(name string, timeout time.Duration, env func(string) string) *peer {
	prefix := strings.ToUpper(name)
	hostname, domain := env(prefix+"_HOSTNAME"), env("SERVICES_DOMAIN")
	p := &peer{name: name, timeout: timeout, client: newClient()}
	p.host = withPort(qualify(or(hostname, name), domain), defaultPort)
	p.address = p.host
	if ip := env(prefix + "_SERVICE_HOST"); ip != "" && hostname == "" && domain == "" {
		port := or(env(prefix+"_SERVICE_PORT"), defaultPort)
		p.host = net.JoinHostPort(name, port)
		p.address = net.JoinHostPort(ip, port)
	}
	return p
}

// qualify puts the domain behind a name, before its port.
func qualify(hostport, domain string) string {
	if domain == "" {
		return hostport
	}
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return net.JoinHostPort(host+"."+domain, port)
	}
	return hostport + "." + domain
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, port)
}

// newClient goes to the address it is given: a mesh is transparent, so the environment's forward proxies aren't asked.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second}}
}

// answer is what a peer said.
type answer struct {
	status int
	body   json.RawMessage
	server serve.Instance // as far as the answer's headers say
}

// get asks the peer. An error means that no JSON came with status 200; the answer's status is 0 when none came at all.
func (p *peer) get(ctx context.Context, path string, header http.Header) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", p.name, err)
	}
	r.Host, r.Header = p.host, header
	resp, err := p.client.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("ask %s at %s: %w", p.name, p.address, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, server: serverOf(resp.Header, p.name)}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		err = fmt.Errorf("read the answer of %s: %w", p.name, err)
	case a.status != http.StatusOK:
		err = fmt.Errorf("%s answered %s", p.name, resp.Status)
	case !json.Valid(a.body):
		err = errors.New(p.name + " answered something that is not JSON")
	}
	return a, err
}

func serverOf(h http.Header, service string) serve.Instance {
	return serve.Instance{Service: service, Version: h.Get(serve.VersionHeader), Name: h.Get(serve.InstanceHeader)}
}
