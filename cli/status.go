package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
)

func statusCommand() *cobra.Command {
	var state, output string
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show the running control plane: its workloads, its root certificate, and what it found in the configuration",
		Example: "  weft status\n  weft status -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s control.Status
			if err := ask(c.Context(), state, "GET", "/v1/status", nil, &s); err != nil {
				return err
			}
			return show(c.OutOrStdout(), output, s, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "trust domain\t%s\nroot\t%s (%s)\nfindings\t%s\n\n", s.TrustDomain, s.Root, s.Rotation, levels(s.Findings))
				if len(s.Proxies) == 0 {
					fmt.Fprintf(w, "no workloads; start one with: weft run%s --service NAME --port PORT -- COMMAND\n", stateHint(state))
					return
				}
				fmt.Fprintln(w, "WORKLOAD\tVERSION\tADDRESS\tPROXY")
				for _, p := range s.Proxies {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Workload, dash(p.Version), p.Address, proxyState(p))
				}
				for _, r := range s.Refused {
					fmt.Fprintf(w, "refused by %s\n", r)
				}
			})
		},
	}
	stateFlag(c, &state)
	outputFlag(c, &output)
	return c
}

// levels counts findings; weft analyze shows those of files.
func levels(all []dialect.Located) string {
	if len(all) == 0 {
		return "0"
	}
	n := map[string]int{}
	for _, f := range all {
		n[f.Level.String()]++
	}
	return levelWords(n) + " (weft status -o json has them)"
}

func proxyState(p control.ProxyAddr) string {
	if p.Connected {
		return "connected"
	}
	return "away"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
