package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/proxy/upgrade"
)

func proxyCommand() *cobra.Command {
	c := &cobra.Command{Use: "proxy", Short: "Work with the proxies of running workloads"}
	c.AddCommand(upgradeCommand(), profileCommand())
	return c
}

func upgradeCommand() *cobra.Command {
	var state string
	var all bool
	var limit time.Duration
	c := &cobra.Command{
		Use:   "upgrade WORKLOAD... | --all",
		Short: "Replace proxies by the program that is installed now, without losing a connection",
		Long: `Upgrade has weft run start a new proxy process for each workload. The new one takes over configuration, certificate, open
listeners and counters of the old one, checks itself, and serves; only then the old one stops accepting, and it ends when the last of
its connections has. Connections that are idle or done are told to reconnect: by GOAWAY, or by Connection: close with their next
response. Those that are still open after --drain-limit are cut and counted in weft_cut_connections_total.

If the new process cannot serve, the old one goes on as if nothing had been, and upgrade says why. It needs no control plane. It
knows the workloads that this user has started with weft run. SIGUSR2 to a weft-proxy does the same.

Exit code: 0 all are upgraded, 1 one of them is not, 2 there is no such workload.`,
		Example: `  weft proxy upgrade reviews-v1-1
  weft proxy upgrade --all
  weft proxy upgrade shop/web-1 --drain-limit 1h`,
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("name workloads, or --all, as: weft proxy upgrade reviews-v1-1")
			}
			if limit <= 0 {
				return fmt.Errorf("--drain-limit %v: want a time above 0", limit)
			}
			list, err := localProxies(c.Context(), state, args)
			if err != nil {
				return err
			}
			return upgradeAll(c.Context(), list, limit, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all workloads that this user runs")
	c.Flags().DurationVar(&limit, "drain-limit", upgrade.Limit, "how long connections of an old process may go on")
	stateFlag(c, &state)
	return c
}

// localProxy is one that runs here.
type localProxy struct{ workload, admin string }

// localProxies finds those of named workloads, NAME or NAMESPACE/NAME, or all where none is named. They are found without a control
// plane, by their sockets.
func localProxies(ctx context.Context, state string, names []string) (out []localProxy, err error) {
	var all []localProxy
	for _, parent := range runParents(state) {
		sockets, _ := filepath.Glob(filepath.Join(parent, "*", "admin.sock"))
		for _, admin := range sockets {
			if s, err := snapshotOf(ctx, admin); err == nil { // else: a workload that was killed has left it
				all = append(all, localProxy{s.Workload, admin})
			}
		}
	}
	slices.SortFunc(all, func(a, b localProxy) int { return strings.Compare(a.workload, b.workload) })
	if len(names) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("no proxy runs here under this user; weft status%s lists workloads", stateHint(state))
		}
		return all, nil
	}
	for _, name := range names {
		n := len(out)
		for _, p := range all {
			if _, short, _ := cutKey(p.workload); p.workload == name || short == name {
				out = append(out, p)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("no proxy of %s runs here under this user; weft status%s lists workloads", name, stateHint(state))
		}
	}
	return out, nil
}

func upgradeAll(ctx context.Context, list []localProxy, limit time.Duration, out, errs io.Writer) error {
	var failed bool
	for _, p := range list {
		if err := p.upgrade(ctx, limit); err != nil {
			failed = true
			fmt.Fprintf(errs, "%s: not upgraded: %v\n", p.workload, err)
			continue
		}
		fmt.Fprintf(out, "%s: upgraded; what the old process has left may take until %s\n", p.workload, time.Now().Add(limit).Format(time.TimeOnly))
	}
	if failed {
		return Exit(1)
	}
	return nil
}

// upgrade returns when the new process serves.
func (p localProxy) upgrade(ctx context.Context, limit time.Duration) error {
	_, err := p.ask(ctx, http.MethodPost, "/upgrade?limit="+url.QueryEscape(limit.String()), 64<<10)
	return err
}

// ask returns what the proxy answers, of which most bytes are read, or as an error why it does not do what it was asked for.
func (p localProxy) ask(ctx context.Context, method, path string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://proxy"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := unixClient(p.admin).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(b)))
	}
	return b, err
}
