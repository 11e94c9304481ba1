package cli

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/mesh"
)

func injectCommand() *cobra.Command {
	var values valueFlags
	var namespace, system string
	var quiet bool
	c := &cobra.Command{
		Use:   "inject FILE...",
		Short: "Add weft's proxy to the pods of manifests, on their way to kubectl apply",
		Long: `Inject reads manifests, "-" is standard input, and prints them with the proxy in each pod template; whatever has none is printed as it
is. It does what the webhook does to pods whose namespace asks for the mesh, for clusters and pipelines where there is to be no
webhook. Templates that say weft.dev/inject: disabled are left alone, and so are those of a Namespace in the same file that says so.

What is done, and why, goes to standard error.`,
		Example: "  weft inject app.yaml | kubectl apply -f -\n  weft inject --quiet - | kubectl apply -f -",
		Args:    atLeast("files, or -"),
		RunE: func(c *cobra.Command, files []string) error {
			v, err := values.values(c.InOrStdin(), files...)
			if err != nil {
				return err
			}
			o, err := install.Injection(install.Options{Namespace: system, Version: Version, Values: v})
			if err != nil {
				return err
			}
			o.Requested = true
			var all bytes.Buffer // nothing is printed unless all of it can be
			for _, name := range files {
				text, err := readInput(name, c.InOrStdin())
				if err != nil {
					return err
				}
				out, items, err := inject.Stream(name, text, namespace, o)
				report(c.ErrOrStderr(), items, quiet)
				if err != nil {
					return err
				}
				if all.Len() > 0 && !bytes.HasPrefix(out, []byte("---")) {
					all.WriteString("---\n")
				}
				all.Write(out)
			}
			_, err = all.WriteTo(c.OutOrStdout())
			return err
		},
	}
	values.add(c)
	c.Flags().StringVarP(&namespace, "namespace", "n", "default", "of objects that name none")
	c.Flags().StringVar(&system, "system-namespace", install.DefaultNamespace, "of the control plane")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing but warnings and errors")
	return c
}

// report says what became of each object. Errors are told by the command itself.
func report(errs io.Writer, items []inject.Item, quiet bool) {
	for _, i := range items {
		word := "not injected"
		if i.Inject {
			word = "injected"
		}
		if !quiet {
			fmt.Fprintf(errs, "%s: %s: %s: %s\n", i.Position, i.Object, word, i.Because)
		}
		for _, f := range i.Found {
			if f.Level == mesh.Warning || f.Level == mesh.Info && !quiet {
				fmt.Fprintln(errs, f.String())
			}
		}
	}
}
