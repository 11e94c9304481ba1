package cli

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/observe/stat"
)

func statCommand() *cobra.Command {
	var state, output string
	var window time.Duration
	var watch bool
	c := &cobra.Command{
		Use:   "stat",
		Short: "Show live numbers of services: success rate, requests per second, latencies, share of mutual TLS",
		Long: `Stat asks the running proxies what they have counted. A call inside the mesh is counted by its caller's proxy, which also
knows of those that never arrived; one from outside by the callee's.`,
		Example: "  weft stat\n  weft stat --watch\n  weft stat --window 0 -o json   # since the proxies began",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
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
	fmt.Fprintln(w, "SERVICE\tSUCCESS\tREQ/S\tP50\tP95\tP99\tMTLS\tRETRIES\tDENIED")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.2f%%\t%.1f\t%s\t%s\t%s\t%.0f%%\t%d\t%d\n", r.Service, r.Success*100, r.Rate, millis(r.P50), millis(r.P95),
			millis(r.P99), r.MTLS*100, r.Retries, r.Denied)
	}
	for _, a := range n.away {
		fmt.Fprintf(w, "%s\tits proxy does not answer\n", a)
	}
}

func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

// watchStat prints a table for each window.
func watchStat(ctx context.Context, out io.Writer, state string, window time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	before := map[string]*stat.Snapshot{}
	for ctx.Err() == nil {
		var err error
		if before, _, _, err = look(ctx, state); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(window, 100*time.Millisecond)):
		}
		n, err := since(ctx, state, before)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		printServices(w, n, n.services())
		fmt.Fprintln(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
