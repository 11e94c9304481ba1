package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// interopCases are gRPC's client cases that need no credentials of a cloud
// (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md). Left out, since they need some: compute_engine_creds,
// service_account_creds, jwt_token_creds, per_rpc_creds, oauth2_auth_token, google_default_credentials,
// compute_engine_channel_credentials. And pick_first_unary, since grpc-go's server does not tell its name, which that case asks for.
var interopCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
	"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service", "orca_per_rpc", "orca_oob", "rpc_soak", "channel_soak",
}

// balancing is what a case wants of the client, besides what all do: ORCA's cases look at what a balancer was told.
var balancing = map[string]string{
	"orca_per_rpc": `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`,
	"orca_oob":     `{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}`,
}

// interop runs each case as a workload of its own, so that it goes through the client's proxy, mutual TLS, and the server's proxy; and
// then from outside of the mesh, in the clear and without an upgrade (RFC 9113 section 3.3): through a published port and the server's
// proxy, and through a gateway and the server's proxy.
func (r *rig) interop(ctx context.Context) (score, error) {
	published, err := proctest.FreePort()
	if err != nil {
		return score{}, err
	}
	server, err := r.Run("interop server", nil, []string{"--service", "interop", "--port", "10000/grpc", "--publish", published + ":10000"},
		filepath.Join(r.suites, "server"), "--port", "10000")
	if err != nil {
		return score{}, err
	}
	if err := r.Await(ctx, server, 30*time.Second, "answer", func() error {
		_, err := r.within(ctx, interopArgs("interop:10000", "empty_unary"))
		return err
	}); err != nil {
		return score{}, err
	}
	all, err := interopBy(ctx, "two proxies", "interop:10000", r.within)
	if err != nil {
		return all, err
	}
	if err := r.encrypted(ctx); err != nil { // before there are calls in the clear
		return all, err
	}
	n, err := interopBy(ctx, "published port", published, r.outside)
	all.add(n)
	if err != nil {
		return all, err
	}
	e, err := r.openGateway(ctx, func(e edge) error {
		_, err := r.outside(ctx, interopArgs(e.grpc, "empty_unary"))
		return err
	})
	if err != nil {
		return all, err
	}
	n, err = interopBy(ctx, "gateway", e.grpc, r.outside)
	all.add(n)
	return all, err
}

// interopBy runs all cases by one way.
func interopBy(ctx context.Context, way, at string, run func(context.Context, []string) (string, error)) (n score, err error) {
	for _, c := range interopCases {
		began := time.Now()
		out, err := run(ctx, interopArgs(at, c))
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if err != nil {
			n.failed++
			fmt.Printf("FAILED  %s: %s: %v\n%s\n", way, c, err, out)
			continue
		}
		n.passed++
		fmt.Printf("passed  %-15s %-28s %.1f s\n", way, c, time.Since(began).Seconds())
	}
	fmt.Printf("%-15s %d passed, %d failed\n", way, n.passed, n.failed)
	return n, nil
}

func interopArgs(at, name string) []string {
	host, port, _ := net.SplitHostPort(at)
	args := []string{"client", "--server_host", host, "--server_port", port, "--test_case", name, "--soak_overall_timeout_seconds", "60"}
	if s := balancing[name]; s != "" {
		args = append(args, "--service_config_json", s)
	}
	return args
}

// encrypted makes sure that the calls came from proxies, by mutual TLS.
func (r *rig) encrypted(ctx context.Context) error {
	out, err := r.Command(ctx, "edges", "--window", "0", "-o", "json")
	if err != nil {
		return err
	}
	var rows []struct {
		To    string  `json:"to"`
		Calls uint64  `json:"calls"`
		MTLS  float64 `json:"mtlsShare"`
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	calls := uint64(0)
	for _, row := range rows {
		if row.MTLS < 1 {
			return fmt.Errorf("calls went in the clear:\n%s", out)
		}
		calls += row.Calls
	}
	if calls == 0 {
		return fmt.Errorf("no calls were seen by the server's proxy:\n%s", out)
	}
	fmt.Printf("%d calls, all by mutual TLS between two proxies\n", calls)
	return nil
}
