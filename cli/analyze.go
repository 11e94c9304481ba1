package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

const defaultTrustDomain = "cluster.local"

// Verdict is what analyze says of one object.
type Verdict struct {
	Object   string    `json:"object"` // Kind namespace/name; empty: none, these are findings about a file
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Accepted bool      `json:"accepted"` // in force; findings may limit what of it
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is one as JSON has it.
type Finding struct {
	Level  string `json:"level"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Object string `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

func analyzeCommand() *cobra.Command {
	var output string
	var quiet bool
	c := &cobra.Command{
		Use:   "analyze PATH...",
		Short: "Read configuration and say of every object whether it takes effect, and of every field that does not, why",
		Long: `Analyze reads files and directories of Kubernetes-style YAML, of every dialect that weft speaks, as weft up would, and
reports findings with file, line, field, reason and remedy. "-" is standard input. Nothing is changed, and nothing needs to run.

Exit code: 0 nothing worse than a warning, 1 errors: an object is not in force, 2 the command could not be run.`,
		Example: "  weft analyze mesh/\n  weft analyze -q mesh/ other.yaml\n  weft analyze - < cluster.yaml\n  weft analyze -o json mesh/ | jq '.[] | select(.accepted | not)'",
		Args:    atLeast("files or directories, or -"),
		RunE: func(c *cobra.Command, paths []string) error {
			v, err := loadPaths(paths, c.InOrStdin(), nil, func(*dialect.Object) {})
			if err != nil {
				return err
			}
			verdicts := verdictsOf(v)
			shown := verdicts
			if quiet {
				shown = slices.DeleteFunc(slices.Clone(verdicts), func(x Verdict) bool { return len(x.Findings) == 0 })
			}
			err = show(c.OutOrStdout(), output, shown, func(w *tabwriter.Writer) { printVerdicts(w, shown, verdicts) })
			if err == nil && slices.ContainsFunc(v.Findings, func(l dialect.Located) bool { return l.Level == mesh.Error }) {
				return Exit(1)
			}
			return err
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "leave out what is accepted without a finding")
	outputFlag(c, &output)
	return c
}

// loadPaths makes a mesh of files, of what comes in for "-", and of workloads as if they ran. change sees each object before it counts.
func loadPaths(paths []string, in io.Reader, workloads []*control.Workload, change func(*dialect.Object)) (*control.View, error) {
	named := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == files.Stdin })
	if err := readable(named); err != nil {
		return nil, err
	}
	opts := files.Options{Paths: paths, Kinds: all.Kinds(defaultTrustDomain)}
	if len(named) < len(paths) {
		var err error
		if opts.Stdin, err = readInput(files.Stdin, in); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		opts.Stdin = append([]byte{}, opts.Stdin...) // not nil, if nothing came
	}
	objects, found := files.Load(opts)
	if len(objects) == 0 && len(found) == 0 {
		return nil, errors.New("there is no object in " + fmt.Sprint(paths) + "; files end in .yaml, .yml or .json")
	}
	for _, o := range objects {
		change(o)
	}
	return control.Load(defaultTrustDomain, objects, found, workloads), nil
}

// verdictsOf joins findings to their objects; what belongs to none comes last.
func verdictsOf(v *control.View) []Verdict {
	used, kinds, verdicts := make([]bool, len(v.Findings)), all.Kinds(defaultTrustDomain), []Verdict{}
	for _, o := range v.Objects {
		k := dialect.Find(kinds, o.Group, o.Kind)
		x := Verdict{Object: keyName(o.Key()), File: o.Source.File, Line: o.Source.Line, Accepted: k != nil}
		for i, l := range v.Findings {
			same := l.Ref.Kind == o.Kind && l.Ref.Namespace == o.Namespace && l.Ref.Name == o.Name && (k == nil || l.Ref.Dialect == k.Dialect)
			if same && !used[i] {
				used[i] = true
				x.Accepted = x.Accepted && l.Level != mesh.Error
				x.Findings = append(x.Findings, findingOf(l))
			}
		}
		verdicts = append(verdicts, x)
	}
	for i, l := range v.Findings {
		if !used[i] {
			verdicts = append(verdicts, Verdict{File: l.File, Line: l.Line, Findings: []Finding{findingOf(l)}})
		}
	}
	return verdicts
}

func keyName(k dialect.Key) string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

func findingOf(l dialect.Located) Finding {
	f := Finding{Level: l.Level.String(), File: l.File, Line: l.Line, Field: l.Field, Text: l.Text, Remedy: l.Remedy}
	if l.Ref.Kind != "" {
		f.Object = l.Ref.String()
	}
	return f
}

func printVerdicts(w *tabwriter.Writer, shown, verdicts []Verdict) {
	for i := range shown {
		printVerdict(w, &shown[i])
	}
	if len(shown) > 0 {
		fmt.Fprintln(w)
	}
	var objects, accepted int
	levels := map[string]int{}
	for _, v := range verdicts {
		for _, f := range v.Findings {
			levels[f.Level]++
		}
		if v.Object != "" {
			objects++
		}
		if v.Accepted {
			accepted++
		}
	}
	fmt.Fprintf(w, "%s, %d accepted; %s\n", counted(objects, "object"), accepted, levelWords(levels))
}

// levelWords is how many findings there are of each level.
func levelWords(n map[string]int) string {
	return counted(n[mesh.Error.String()], "error") + ", " + counted(n[mesh.Warning.String()], "warning") + ", " + counted(n[mesh.Info.String()], "note")
}

func printVerdict(w *tabwriter.Writer, v *Verdict) {
	state := "ignored" // its kind is not known
	switch {
	case v.Accepted:
		state = "accepted"
	case slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Level == mesh.Error.String() }):
		state = "rejected"
	}
	indent := ""
	if v.Object != "" {
		fmt.Fprintf(w, "%s:%d: %s: %s\n", v.File, v.Line, v.Object, state)
		indent = "  "
	}
	for _, f := range v.Findings {
		where := f.Field
		if where != "" {
			where += ": "
		}
		fmt.Fprintf(w, "%s%s:%d: %s: %s%s\n", indent, f.File, f.Line, f.Level, where, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(w, "%s    %s\n", indent, f.Remedy)
		}
	}
}
