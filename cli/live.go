package cli

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/cli/live"
	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source/kube"
)

// liveFlags have a command read the objects that a Kubernetes cluster has now.
type liveFlags struct {
	clusterFlags
	asked bool
}

func (f *liveFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.asked, "cluster", false, "read the objects of the Kubernetes cluster that is the kubeconfig's current one, or that --context or --kubeconfig names, as weft-control does")
	f.clusterFlags.add(c)
	c.Flags().Lookup("namespace").Usage = "of the control plane of that cluster; workloads and gateways are named NAMESPACE/NAME"
}

// wanted says whether a cluster is to be read.
func (f *liveFlags) wanted() bool { return f.asked || f.kubeconfig != "" || f.context != "" }

// load makes a mesh of the cluster's objects. change sees each before it counts; secrets: also those that hold private keys.
func (f *liveFlags) load(ctx context.Context, errs io.Writer, secrets bool, change func(*dialect.Object)) (*control.View, error) {
	k, err := kube.Open(kube.Options{Kubeconfig: f.kubeconfig, Context: f.context, UserAgent: "weft/" + Version, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return live.Load(ctx, k, live.Options{Namespace: f.namespace, TrustDomain: defaultTrustDomain, Secrets: secrets, Change: change, Tell: progress(errs)})
}
