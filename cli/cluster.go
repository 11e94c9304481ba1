package cli

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/source/kube"
)

// clusterFlags say which Kubernetes cluster, and where weft is in it.
type clusterFlags struct{ kubeconfig, context, namespace string }

func (f *clusterFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "how to reach the cluster (default $KUBECONFIG, else ~/.kube/config)")
	c.Flags().StringVar(&f.context, "context", "", "of the kubeconfig (default its current one)")
	c.Flags().StringVarP(&f.namespace, "namespace", "n", install.DefaultNamespace, "of the control plane")
}

// open names a manager of its own: what the leader of the control plane writes into the same objects, as the webhook's caBundle, is not
// this program's to take away.
func (f *clusterFlags) open() (*kube.Cluster, error) {
	return kube.Open(kube.Options{Kubeconfig: f.kubeconfig, Context: f.context, UserAgent: "weft/" + Version, Manager: "weft-cli"})
}

// valueFlags are the chart's values.
type valueFlags struct {
	files, settings, texts []string
	ha, adopt, cni         bool
}

// add adds what every command has that takes values.
func (f *valueFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.files, "values", "f", nil, "a file of values for the chart; - reads standard input; can be repeated, the last counts")
	c.Flags().StringArrayVar(&f.settings, "set", nil, "a value as NAME=VALUE, as inject.accessLog=json; weft install --show-values prints them; can be repeated")
	c.Flags().StringArrayVar(&f.texts, "set-string", nil, "the same of a value that is text though it looks like a number, as image.tag=1; can be repeated")
	c.Flags().BoolVar(&f.adopt, "adopt", false, "have labels and annotations of Istio and Linkerd count for injection: inject.adopt=true")
	c.Flags().BoolVar(&f.cni, "cni", false, "have a CNI plugin on each node redirect what pods send and get, rather than a container of theirs with NET_ADMIN: inject.cni=true")
}

// addControl adds what is about the control plane alone.
func (f *valueFlags) addControl(c *cobra.Command) {
	c.Flags().BoolVar(&f.ha, "ha", false, "two replicas of the control plane, and a PodDisruptionBudget: control.ha=true")
}

// values are what the flags say, over those of the chart. Others are files that the command reads beside them.
func (f *valueFlags) values(in io.Reader, others ...string) (map[string]any, error) {
	if err := onceInput(append(slices.Clone(others), f.files...)); err != nil {
		return nil, err
	}
	var all []install.File
	for _, name := range f.files {
		text, err := readInput(name, in)
		if err != nil {
			return nil, fmt.Errorf("--values %s: %w", name, err)
		}
		all = append(all, install.File{Name: name, Text: text})
	}
	settings := f.settings
	if f.ha {
		settings = append(settings, "control.ha=true")
	}
	if f.adopt {
		settings = append(settings, "inject.adopt=true")
	}
	if f.cni {
		settings = append(settings, "inject.cni=true")
	}
	return install.Read(all, settings, f.texts)
}

// onceInput says whether standard input is to be read once at most.
func onceInput(names []string) error {
	if n := len(names) - len(slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "-" })); n > 1 {
		return fmt.Errorf("- is named %d times, and standard input can be read once: put the rest into files", n)
	}
	return nil
}

// maxInput bounds what is read of a file that somebody names.
const maxInput = 64 << 20

// readInput reads a file, or what comes in for "-".
func readInput(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("it has more than %d MiB", maxInput>>20)
	}
	return b, err
}
