package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/install"
)

func installCommand() *cobra.Command {
	var cluster clusterFlags
	var values valueFlags
	var crds []string
	var chart string
	var offline, show bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Print the objects that make weft run in a Kubernetes cluster, for kubectl apply",
		Long: `Install renders weft's Helm chart, which is built in, with Helm's own engine, and prints the objects in the order in which they
are to be applied; helm install takes the same chart. Nothing is changed.

The CustomResourceDefinitions of the Gateway API come first, or those of the projects that --crds names: the ones that the cluster
does not have yet.`,
		Example: "  weft install | kubectl apply -f -\n  weft install --ha --crds gateway-api,istio | kubectl apply -f -\n" +
			"  weft install --set image.registry=registry.example/mesh --offline | tee weft.yaml\n  weft install --show-values\n" +
			"  weft install --helm-chart dist",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if show {
				text, err := install.Defaults()
				if err == nil {
					_, err = c.OutOrStdout().Write(text)
				}
				return err
			}
			if chart != "" {
				return install.WriteChart(c.OutOrStdout(), chart, Version)
			}
			v, err := values.values(c.InOrStdin())
			if err != nil {
				return err
			}
			o := options(cluster.namespace, v)
			kinds, err := definitions(c.Context(), &cluster, crds, offline)
			if err != nil {
				return err
			}
			return manifests(c.OutOrStdout(), o, kinds)
		},
	}
	cluster.add(c)
	values.add(c)
	values.addControl(c)
	c.Flags().StringSliceVar(&crds, "crds", []string{"gateway-api"}, "projects whose CustomResourceDefinitions are printed too, those that the cluster does not have: gateway-api, istio, linkerd, cilium; or none")
	c.Flags().BoolVar(&show, "show-values", false, "print the values that --set and --values can change, with what each is for, and nothing else")
	c.Flags().StringVar(&chart, "helm-chart", "", "write the chart into this directory, as a file for helm install that has the CustomResourceDefinitions too, and print its name and nothing else")
	c.Flags().BoolVar(&offline, "offline", false, "ask no cluster: all CustomResourceDefinitions of --crds are printed")
	return c
}

// options are those of an installation by this program.
func options(namespace string, values map[string]any) install.Options {
	if _, set := values["namespace"]; !set {
		values["namespace"] = map[string]any{"create": true}
	}
	return install.Options{Namespace: namespace, Version: Version, Values: values}
}

// definitions are the CustomResourceDefinitions to print.
func definitions(ctx context.Context, cluster *clusterFlags, projects []string, offline bool) (out []install.Object, err error) {
	if slices.Equal(projects, []string{"none"}) {
		return nil, nil
	}
	if slices.Contains(projects, "none") {
		return nil, fmt.Errorf("--crds %s: none stands alone", strings.Join(projects, ","))
	}
	for _, p := range projects {
		more, err := install.Definitions(p)
		if err != nil {
			return nil, fmt.Errorf("--crds: %w", err)
		}
		out = append(out, more...)
	}
	if offline || len(out) == 0 {
		return out, nil
	}
	k, err := cluster.open()
	if err == nil {
		out, err = install.Missing(ctx, k, out)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\nWithout a cluster, weft install --offline prints all CustomResourceDefinitions of --crds", err)
	}
	return out, nil
}

func manifests(out io.Writer, o install.Options, kinds []install.Object) error {
	objects, err := install.Render(o)
	if err != nil {
		return err
	}
	kept, err := install.Remember(o)
	if err != nil {
		return err
	}
	return printObjects(out, slices.Concat(kinds, objects, []install.Object{kept}))
}

func printObjects(out io.Writer, all []install.Object) error {
	for _, x := range all {
		if _, err := fmt.Fprintf(out, "---\n%s", x.Text); err != nil {
			return err
		}
	}
	return nil
}

// progress prints lines to standard error, so that they are no part of what a command prints.
func progress(errs io.Writer) install.Progress {
	return func(format string, args ...any) { fmt.Fprintf(errs, format+"\n", args...) }
}

// lines prints a list with what it is of.
func lines(out io.Writer, heading string, list []string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(out, heading)
	for _, s := range list {
		fmt.Fprintln(out, "  "+s)
	}
}

var errTimeout = errors.New("the time that --timeout gives is up")
