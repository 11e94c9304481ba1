package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
)

func uninstallCommand() *cobra.Command {
	var cluster clusterFlags
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take weft out of a Kubernetes cluster, and say what is left to do",
		Long: `Uninstall deletes every object that is part of weft, in all namespaces: first the webhook, so that pods start without it, then the
control plane with its certificates and roots.

Pods that have a proxy keep it until they are made anew, and call each other through it until their certificates end, after a day.
They are named at the end. CustomResourceDefinitions stay, since all objects of their kinds would go with them.`,
		Example: "  weft uninstall",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, errTimeout)
			defer cancel()
			k, err := cluster.open()
			if err != nil {
				return err
			}
			left, err := install.Uninstall(ctx, k, cluster.namespace, progress(c.ErrOrStderr()), install.Every(glance))
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			lines(out, "These pods have weft's proxy until they are made anew, as by kubectl rollout restart:", left.Pods)
			lines(out, "These kinds stay; kubectl delete crd deletes them, with all objects of theirs:", left.Definitions)
			_, err = fmt.Fprintln(out, "weft is uninstalled")
			return err
		},
	}
	cluster.add(c)
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "for all of it")
	return c
}
