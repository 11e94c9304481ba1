package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// goneCallers is what the numbers of proxies cannot tell.
const goneCallers = `What a proxy has counted ends with its workload. Of callers that have ended, their callees' proxies tell; calls that did not reach
one, since a fault was injected, a route answered, a policy denied or no endpoint took them, are in no number any more. The access
log of such a caller has them: weft run --access-log text.`

func statCommand() *cobra.Command {
	var state, output string
	var window time.Duration
	var watch bool
	c := &cobra.Command{
		Use:   "stat",
		Short: "Show live numbers of services: success rate, requests per second, latencies, share of mutual TLS",
		Long: `Stat asks the running proxies what they have counted. A call inside the mesh is counted by its caller's proxy, which also
knows of those that never arrived; one from outside by the callee's.

` + goneCallers,
		Example: "  weft stat\n  weft stat --watch\n  weft stat --window 0 -o json   # since the proxies began",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if watch && output != "table" {
				return errors.New("--watch prints tables; ask again and again for -o " + output)
			}
			if watch {
				return watchStat(c.Context(), c.OutOrStdout(), state, window)
			}
			n, err := between(c.Context(), state, window)
			if err != nil {
				return err
			}
			rows := n.services()
			return show(c.OutOrStdout(), output, rows, func(w *tabwriter.Writer) { printServices(w, n, rows) })
		},
	}
	c.Flags().DurationVar(&window, "window", time.Second, "count for this long; 0: since the proxies began")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "print again and again, until interrupted")
	stateFlag(c, &state)
	outputFlag(c, &output)
	return c
}

func printServices(w io.Writer, n *numbers, rows []*row) {
	if len(rows) == 0 && len(n.away) == 0 {
		fmt.Fprintln(w, "no service has a workload; start one with: weft run --service NAME --port PORT -- COMMAND")
		return
	}
	fmt.Fprintln(w, "SERVICE\tSUCCESS\tREQ/S\tP50\tP95\tP99\tMTLS\tRETRIES\tDENIED")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%s\t%s\t%s\t%s\t%d\t%d\n", r.Service, share(r.Success, 2, r), r.Rate, millis(r.P50), millis(r.P95),
			millis(r.P99), share(r.MTLS, 0, r), r.Retries, r.Denied)
	}
	n.remarks(w)
}

// share is a part of all calls in percent; a dash where there are none.
func share(part float64, decimals int, r *row) string {
	if r.Calls == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f%%", decimals, part*100)
}

func millis(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fms", ms)
}

// watchStat prints a table for each window.
func watchStat(ctx context.Context, out io.Writer, state string, window time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	before, _, _, err := look(ctx, state)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(window, 100*time.Millisecond)):
		}
		var n *numbers
		if n, err = since(ctx, state, before); err != nil {
			break
		}
		before = n.now
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		printServices(w, n, n.services())
		fmt.Fprintln(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
