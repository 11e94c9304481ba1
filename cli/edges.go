package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func edgesCommand() *cobra.Command {
	var state, output string
	var window time.Duration
	c := &cobra.Command{
		Use:     "edges",
		Short:   "Show who calls whom, with what success, and because of what calls are denied",
		Long:    "Edges asks the running proxies what they have counted, as weft stat does, and shows it by pairs of workloads.\n\n" + goneCallers,
		Example: "  weft edges\n  weft edges --window 0\n  weft edges -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := between(c.Context(), state, window)
			if err != nil {
				return err
			}
			rows := n.pairs()
			return show(c.OutOrStdout(), output, rows, func(w *tabwriter.Writer) {
				if len(rows) == 0 {
					fmt.Fprintln(w, noCalls(window))
					n.remarks(w)
					return
				}
				fmt.Fprintln(w, "FROM\tTO\tSUCCESS\tREQ/S\tP50\tP99\tMTLS\tLAST DENIAL OR FAILURE")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\n", r.From, r.To, share(r.Success, 2, r), r.Rate, millis(r.P50), millis(r.P99),
						share(r.MTLS, 0, r), dash(r.Because))
				}
				n.remarks(w)
			})
		},
	}
	c.Flags().DurationVar(&window, "window", time.Second, "count for this long; 0: since the proxies began")
	stateFlag(c, &state)
	outputFlag(c, &output)
	return c
}

func noCalls(window time.Duration) string {
	if window == 0 {
		return "no calls yet"
	}
	return fmt.Sprintf("no calls in %v; since the proxies began: weft edges --window 0", window)
}
