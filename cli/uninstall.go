package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
)

func uninstallCommand() *cobra.Command {
	var cluster clusterFlags
	var timeout time.Duration
	var dry bool
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take weft out of a Kubernetes cluster, and say what is left to do",
		Long: `Uninstall deletes every object that is part of weft, in all namespaces: first the webhook, so that pods start without it, then the
control plane with its certificates and roots, and the namespace that weft install made for it, unless objects of others are there.

Pods that have a proxy keep it until they are replaced, as by kubectl rollout restart, and call each other through it until their
certificates end, which is 12 to 24 hours later. They are named at the end. CustomResourceDefinitions stay, since all objects of
their kinds would go with them.

With --dry-run nothing is changed: what would be deleted is printed, and what would be left.`,
		Example: "  weft uninstall --dry-run\n  weft uninstall",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, errTimeout)
			defer cancel()
			k, err := cluster.open()
			if err != nil {
				return err
			}
			if dry {
				return wouldUninstall(ctx, c.OutOrStdout(), k, cluster.namespace)
			}
			left, err := install.Uninstall(ctx, k, cluster.namespace, progress(c.ErrOrStderr()), install.Every(glance))
			if err != nil {
				return err
			}
			printLeft(c.OutOrStdout(), left)
			_, err = fmt.Fprintln(c.OutOrStdout(), "weft is uninstalled")
			return err
		},
	}
	cluster.add(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "change nothing: print what would be deleted, and what would be left")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "for all of it")
	return c
}

// wouldUninstall says what uninstall would do.
func wouldUninstall(ctx context.Context, out io.Writer, k install.Cluster, namespace string) error {
	gone, err := install.PlanUninstall(ctx, k, namespace)
	if err != nil {
		return err
	}
	left, err := install.Leaves(ctx, k, namespace)
	if err != nil {
		return err
	}
	for _, x := range gone {
		fmt.Fprintln(out, "would delete "+install.Name(x))
	}
	printLeft(out, left)
	_, err = fmt.Fprintln(out, "nothing is changed")
	return err
}

func printLeft(out io.Writer, left install.Left) {
	lines(out, "These pods have weft's proxy until they are replaced, as by kubectl rollout restart:", left.Pods)
	lines(out, "These CustomResourceDefinitions stay; kubectl delete crd deletes them, with all objects of theirs:", left.Definitions)
	lines(out, "The control plane's namespace stays, since these objects in it are not weft's:", left.Others)
}
