package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/weft-mesh/weft/control"
)

// member is a registration that goes on: its connection is the proof that the process lives, and is made anew when the control
// plane was away.
type member struct {
	state  string
	errs   io.Writer
	reg    control.Registration
	given  control.Registered
	cancel context.CancelFunc
	gone   sync.WaitGroup
}

// join registers, and keeps the registration until leave.
func join(ctx context.Context, state string, reg control.Registration, errs io.Writer) (*member, error) {
	m := &member{state: state, errs: errs, reg: reg}
	ctx, m.cancel = context.WithCancel(ctx)
	body, err := m.register(ctx)
	if err != nil {
		m.cancel()
		return nil, err
	}
	m.reg.Token = m.given.Token
	_, m.reg.Name, _ = cutKey(m.given.Workload)
	m.gone.Go(func() { m.keep(ctx, body) })
	return m, nil
}

func (m *member) register(ctx context.Context) (io.ReadCloser, error) {
	body, err := ask(ctx, m.state, "POST", "/v1/workloads", m.reg, nil)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(body).Decode(&m.given); err != nil {
		body.Close()
		return nil, fmt.Errorf("register: the control plane went away: %w", err)
	}
	return body, nil
}

// rejoin is the pause between attempts to reach a control plane that is away; it waits 30 s for its workloads.
const rejoin = 500 * time.Millisecond

func (m *member) keep(ctx context.Context, body io.ReadCloser) {
	for {
		_, _ = io.Copy(io.Discard, body)
		body.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rejoin):
			}
			var err error
			if body, err = m.register(ctx); err == nil {
				break
			}
		}
	}
}

// drain has the mesh stop calling the workload, and returns when every caller knows.
func (m *member) drain(ctx context.Context) error {
	_, err := ask(ctx, m.state, "POST", "/v1/workloads/drain?workload="+url.QueryEscape(m.given.Workload), nil, nil, "authorization", m.given.Token)
	return err
}

// leave ends the registration.
func (m *member) leave() {
	m.cancel()
	m.gone.Wait()
}
