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
		Example: "  weft edges\n  weft edges --window 0\n  weft edges -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := between(c.Context(), state, window)
			if err != nil {
				return err
			}
			rows := n.pairs()
			return show(c.OutOrStdout(), output, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "FROM\tTO\tSUCCESS\tREQ/S\tP50\tP99\tMTLS\tLAST DENIAL OR FAILURE")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%.2f%%\t%.1f\t%s\t%s\t%.0f%%\t%s\n", r.From, r.To, r.Success*100, r.Rate, millis(r.P50), millis(r.P99),
						r.MTLS*100, dash(r.Because))
				}
			})
		},
	}
	c.Flags().DurationVar(&window, "window", time.Second, "count for this long; 0: since the proxies began")
	stateFlag(c, &state)
	outputFlag(c, &output)
	return c
}
