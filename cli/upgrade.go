package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/source/kube"
)

// glance is the time between two looks at what takes its time.
const glance = 500 * time.Millisecond

func upgradeMeshCommand() *cobra.Command {
	var cluster clusterFlags
	var values valueFlags
	var reset, dry bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Bring the weft of a Kubernetes cluster to this version, and wait until its control plane runs",
		Long: `Upgrade applies the same objects as weft install would print, with the values that were given to weft install or upgrade before
and those of its flags, deletes what is not needed any more, and waits for the control plane. The mesh goes on meanwhile. Pods get
the new proxy when they are replaced, as by kubectl rollout restart: weft check names those that have an old one.

With --dry-run nothing is changed: what would be applied is printed, and what would be deleted is named on standard error.`,
		Example: "  weft upgrade\n  weft upgrade --set control.replicas=3\n  weft upgrade --dry-run | kubectl diff -f -",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), timeout, errTimeout)
			defer cancel()
			k, err := cluster.open()
			if err != nil {
				return err
			}
			v, err := upgraded(ctx, c, k, &cluster, &values, reset)
			if err != nil {
				return err
			}
			if dry {
				return planned(ctx, c, k, options(cluster.namespace, v))
			}
			return install.Upgrade(ctx, k, options(cluster.namespace, v), progress(c.ErrOrStderr()), install.Every(glance))
		},
	}
	cluster.add(c)
	values.add(c)
	values.addControl(c)
	c.Flags().BoolVar(&reset, "reset-values", false, "forget the values of before")
	c.Flags().BoolVar(&dry, "dry-run", false, "change nothing: print what would be applied, and name what would be deleted")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "for all of it")
	return c
}

// planned prints what an upgrade would apply, and says what it would delete.
func planned(ctx context.Context, c *cobra.Command, k install.Cluster, o install.Options) error {
	p, err := install.PlanUpgrade(ctx, k, o)
	if err != nil {
		return err
	}
	for _, x := range p.Delete {
		fmt.Fprintln(c.ErrOrStderr(), "would delete "+install.Name(x))
	}
	return printObjects(c.OutOrStdout(), p.Apply)
}

// upgraded are the values of before with those of the flags.
func upgraded(ctx context.Context, c *cobra.Command, k *kube.Cluster, cluster *clusterFlags, values *valueFlags, reset bool) (map[string]any, error) {
	now, err := values.values(c.InOrStdin())
	if err != nil || reset {
		return now, err
	}
	before, err := install.Installed(ctx, k, cluster.namespace)
	if errors.Is(err, kube.ErrAbsent) {
		return nil, fmt.Errorf("weft install | kubectl apply -f - has not been here: %w\nWhat helm installed, helm upgrade upgrades", err)
	}
	if err != nil {
		return nil, err
	}
	return install.Merge(before, now), nil
}
