package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
)

func checkCommand() *cobra.Command {
	var cluster clusterFlags
	var output string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "check",
		Short: "Check whether weft can be installed in a Kubernetes cluster, or whether the one that is works",
		Long: `Check asks the cluster and changes nothing. Before weft is installed: whether the API server answers, its version and clock, what you
may do, which kinds there are, whether other meshes inject. Afterwards also: whether the control plane is available and led, whether
the API server trusts and reaches the webhook, how long certificates are valid, and whether proxies are ready and of this version.

Exit code: 0 nothing worse than a warning, 1 something failed, 2 the command could not be run.`,
		Example: "  weft check\n  weft check --wait 2m -o json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := cluster.open()
			if err != nil {
				return err
			}
			results := checked(c.Context(), k, cluster.namespace, wait)
			err = show(c.OutOrStdout(), output, results, func(w *tabwriter.Writer) { printResults(w, results) })
			if err == nil && install.Worst(results) == install.Failed {
				return Exit(1)
			}
			return err
		},
	}
	cluster.add(c)
	outputFlag(c, &output)
	c.Flags().DurationVar(&wait, "wait", 0, "check again for so long while something fails")
	return c
}

// checked checks until nothing fails, or until the time is up.
func checked(ctx context.Context, k install.Cluster, namespace string, wait time.Duration) []install.Result {
	pause := install.Every(glance)
	for deadline := time.Now().Add(wait); ; {
		now := time.Now()
		results := install.Check(ctx, k, install.CheckOptions{Namespace: namespace, Version: Version, Now: now})
		if install.Worst(results) != install.Failed || now.After(deadline) || pause(ctx) != nil {
			return results
		}
	}
}

// marks show a state at a glance.
var marks = map[install.State]string{install.OK: "ok", install.Warning: "warning", install.Failed: "FAILED"}

func printResults(w *tabwriter.Writer, all []install.Result) {
	part := ""
	n := map[install.State]int{}
	for _, r := range all {
		if r.Part != part {
			part = r.Part
			fmt.Fprintln(w, part)
		}
		n[r.State]++
		fmt.Fprintf(w, "  %s\t%s\t%s\n", marks[r.State], r.What, r.Detail)
		if r.Remedy != "" {
			fmt.Fprintf(w, "\t  %s\n", r.Remedy)
		}
	}
	fmt.Fprintf(w, "\n%s, %s, %d failed\n", counted(len(all), "check"), counted(n[install.Warning], "warning"), n[install.Failed])
}
