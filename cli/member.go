package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/control"
)

// member is a registration that goes on: its connection is the proof that the process lives, and is made anew when the control
// plane was away.
type member struct {
	state    string
	errs     io.Writer
	reg      control.Registration // with what was given, once there is something
	given    control.Registered
	draining atomic.Bool
	away     atomic.Bool // the connection is lost
	cancel   context.CancelFunc
	gone     sync.WaitGroup
}

// join registers, and keeps the registration until leave.
func join(ctx context.Context, state string, reg control.Registration, errs io.Writer) (*member, error) {
	m := &member{state: state, errs: errs, reg: reg}
	ctx, m.cancel = context.WithCancel(ctx)
	given, body, err := register(ctx, state, reg)
	if err == nil {
		m.given, m.reg.Token = given, given.Token
		m.reg.Address, err = netip.ParseAddr(given.Address)
	}
	if err != nil {
		m.cancel()
		return nil, err
	}
	_, m.reg.Name, _ = cutKey(given.Workload)
	m.gone.Go(func() { m.keep(ctx, body) })
	return m, nil
}

// register returns what was given, and a body that ends when the control plane does.
func register(ctx context.Context, state string, reg control.Registration) (given control.Registered, body io.ReadCloser, err error) {
	body, err = open(ctx, state, "POST", "/v1/workloads", reg)
	if err != nil {
		return given, nil, err
	}
	if err := json.NewDecoder(body).Decode(&given); err != nil {
		body.Close()
		return given, nil, fmt.Errorf("%w any more in %s: it went away while it registered the workload", errAway, state)
	}
	return given, body, nil
}

// rejoin is the pause between attempts to reach a control plane that is away; it waits 30 s for its workloads.
const rejoin = 500 * time.Millisecond

func (m *member) keep(ctx context.Context, body io.ReadCloser) {
	for body != nil {
		_, _ = io.Copy(io.Discard, body)
		body.Close()
		m.away.Store(true)
		body = m.again(ctx)
		m.away.Store(false)
	}
}

// again registers until it succeeds; nil: ctx has ended. A refusal is told once: it may be mended on the other side.
func (m *member) again(ctx context.Context) io.ReadCloser {
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rejoin):
		}
		reg := m.reg
		reg.Draining = m.draining.Load()
		_, body, err := register(ctx, m.state, reg)
		if err == nil {
			return body
		}
		if !errors.Is(err, errAway) && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			fmt.Fprintln(m.errs, "weft run: the control plane does not take the workload back:", err)
		}
	}
}

// drain has the mesh stop calling the workload, and returns when every caller knows.
func (m *member) drain(ctx context.Context) error {
	m.draining.Store(true)
	return ask(ctx, m.state, "POST", "/v1/workloads/drain?workload="+url.QueryEscape(m.given.Workload), nil, nil, "authorization", m.given.Token)
}

// leave ends the registration.
func (m *member) leave() {
	m.cancel()
	m.gone.Wait()
}
