// Package cli is weft's commands, one file each: what they print, what they ask a running control plane, and their exit codes.
//
// Output is a table for people and, with -o json or -o yaml, data for programs. Errors go to standard error and say what to do next.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra" // the field's library for commands: help, completion and documentation come with it
	"sigs.k8s.io/yaml"       // writes YAML by the names that JSON has
)

// Exit is an error that ends weft with a code of its own and prints nothing more.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// failure is an error that ends weft with a code of its own.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Main runs weft and returns its exit code: 0 success, 1 what a command found wrong, 2 a command used wrongly or failed; that of
// weft run is its process' own.
func Main(args []string, out, errs io.Writer) int {
	root := Root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.Execute()
	var exit Exit
	var failed *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintln(errs, "weft: "+err.Error())
	if errors.As(err, &failed) {
		return failed.code
	}
	return 2
}

// Root is the command tree.
func Root() *cobra.Command {
	root := &cobra.Command{
		Use:   "weft",
		Short: "One service mesh that speaks every dialect",
		Long: `weft gives every call between services encryption, identity, routing, resilience and a record, and
reads the configuration of Gateway API, Istio, Linkerd and Cilium as it is.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists them", err, c.CommandPath())
	})
	root.AddCommand(upCommand(), runCommand(), gatewayCommand(), analyzeCommand(), explainCommand(), testCommand(), statCommand(), edgesCommand(),
		identityCommand(), proxyCommand(), statusCommand(), installCommand(), upgradeMeshCommand(), uninstallCommand(), checkCommand(), injectCommand(),
		versionCommand())
	return root
}

// noArgs is of commands that take flags alone.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: %s takes flags only; %s --help lists them", args[0], c.CommandPath(), c.CommandPath())
}

// atLeast is what a command says that was given nothing to work on.
func atLeast(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name %s, as: %s", what, firstExample(c))
		}
		return nil
	}
}

// required marks flags that c cannot do without. Left out, they are named as atLeast names what is missing.
func required(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = c.MarkFlagRequired(name) // for its completion
	}
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		var missing []string
		for _, name := range flags {
			if !c.Flags().Changed(name) {
				missing = append(missing, "--"+name)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return fmt.Errorf("name %s, as: %s", strings.Join(missing, " and "), firstExample(c))
	}
}

func firstExample(c *cobra.Command) string {
	return strings.TrimSpace(strings.SplitN(c.Example, "\n", 2)[0])
}

// stateFlag adds --state, the directory of the control plane.
func stateFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state", DefaultState(), "directory of the control plane's state and sockets; $WEFT_STATE sets another default")
}

// DefaultState is where a user's control plane lives: $WEFT_STATE, else weft below the user's runtime or home directory.
func DefaultState() string {
	if d := os.Getenv("WEFT_STATE"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "weft")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "weft")
}

// The control plane's sockets inside its state directory.
func apiSocket(state string) string  { return filepath.Join(state, "api.sock") }
func meshSocket(state string) string { return filepath.Join(state, "mesh.sock") }

// outputFlag adds -o.
func outputFlag(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "output", "o", "table", "table, json or yaml")
}

// counted is a number and what it is of, in one word that a plural -s is added to.
func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// show prints v as JSON or YAML, or lets table write rows.
func show(out io.Writer, format string, v any, table func(*tabwriter.Writer)) error {
	switch format {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v) // with the names that JSON has
		if err != nil {
			return err
		}
		_, err = out.Write(b)
		return err
	case "table":
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	}
	return fmt.Errorf("-o %s: want table, json or yaml", format)
}
