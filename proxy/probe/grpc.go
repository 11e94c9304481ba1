package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/grpc"
)

// serving is HealthCheckResponse.SERVING (grpc.health.v1).
const serving = 1

// health asks grpc.health.v1.Health/Check, in the clear as the kubelet does.
func (x *Prober) health(ctx context.Context, g *GRPC, agent string) error {
	to := netip.AddrPortFrom(x.app, g.Port)
	nc, err := x.dial(ctx, to)
	if err != nil {
		return fmt.Errorf("connect to the application: %w", late(ctx, err))
	}
	cl := h2.NewClient(nc, h2.ClientOptions{})
	defer func() { cl.Close(); <-cl.Done() }()
	c := newCall(ctx, "POST", "/grpc.health.v1.Health/Check", traffic.GRPC)
	c.Scheme, c.Authority, c.Body = "http", to.String(), &traffic.Bytes{B: grpc.AppendMessage(nil, false, question(g.Service))}
	c.Header.Add("content-type", "application/grpc")
	c.Header.Add("te", "trailers")
	c.Header.Add("user-agent", agent)
	defer func() { c.Finish(time.Now()) }()
	if err := cl.RoundTrip(c); err != nil {
		return fmt.Errorf("ask the application: %w", late(ctx, err))
	}
	answer, err := whole(c)
	if err != nil {
		return fmt.Errorf("read the application's answer: %w", late(ctx, err))
	}
	if code, ok := c.GRPCStatus(); !ok || code != "0" {
		return fmt.Errorf("the application answers with HTTP status %d and gRPC status %q", c.Response.Status, code)
	}
	if status, ok := statusOf(answer); !ok || status != serving {
		return fmt.Errorf("the application's health is %d, and not SERVING (%d)", status, serving)
	}
	return nil
}

// question is a HealthCheckRequest: field 1 is the service.
func question(service string) []byte {
	if service == "" {
		return nil
	}
	b := binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
	return append(b, service...)
}

// whole reads the answer's first message.
func whole(c *traffic.Call) (answer []byte, err error) {
	r := grpc.Reader{Limit: maxBody}
	for body := c.Response.Body; body != nil; {
		b, err := body.Next()
		r.Feed(b)
		if m, compressed, ok, bad := r.Next(); bad != nil || compressed {
			body.Close(errEnough)
			return nil, errors.Join(errors.New("it is no message"), bad)
		} else if ok {
			answer = append(answer, m...)
		}
		if err == io.EOF {
			return answer, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// statusOf reads a HealthCheckResponse: field 1 is a number; unset it is 0, UNKNOWN. Fields of later versions are no reason to read on.
func statusOf(b []byte) (status uint64, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	if b[0] != 1<<3 {
		return 0, false
	}
	status, n := binary.Uvarint(b[1:])
	return status, n > 0
}
