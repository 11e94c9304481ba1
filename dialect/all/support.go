package all

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
)

// WriteSupport writes docs/support.md: for each kind, the fields that work, those that give a finding, and why.
func WriteSupport(w io.Writer, kinds []dialect.Kind) error {
	var b strings.Builder
	b.WriteString(preface)
	for _, d := range []decision.Dialect{decision.Core, decision.GatewayAPI, decision.Istio, decision.Linkerd, decision.Cilium} {
		own := slices.DeleteFunc(slices.Clone(kinds), func(k dialect.Kind) bool { return k.Dialect != d })
		if len(own) > 0 {
			writeDialect(&b, d, own)
		}
	}
	writeAdopted(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeAdopted writes what becomes of annotations that other meshes have for their proxies.
func writeAdopted(b *strings.Builder) {
	b.WriteString("\n## Annotations of injection\n\nWhat Istio and Linkerd have for their own proxies, on pods; Linkerd's on namespaces too. `weft install --adopt` has them count.\n" +
		"\n| | annotations | why |\n|---|---|---|\n")
	line := func(state dialect.State, keys []string, why string) {
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", state, strings.Join(keys, "` `"), cell(why))
	}
	line(dialect.Works, dialect.Adopted(), "")
	for _, x := range []struct {
		state dialect.State
		why   map[string]string
	}{{dialect.NotYet, dialect.Unheeded}, {dialect.NotOurs, dialect.Needless}} {
		keys := map[string][]string{}
		for _, key := range slices.Sorted(maps.Keys(x.why)) {
			keys[x.why[key]] = append(keys[x.why[key]], key)
		}
		for _, why := range slices.Sorted(maps.Keys(keys)) {
			line(x.state, keys[why], why)
		}
	}
}

const preface = `# What works

Every object that these systems know is read. A field either works, or it gives a finding that names it and says why, or it
is right to have no effect here: nothing is dropped in silence. A field that no kind has is a finding too, with what was
probably meant. ` + "`weft analyze`" + ` shows them all.

In paths, ` + "`[]`" + ` is an element of a list, ` + "`{}`" + ` one of a map, and ` + "`.*`" + ` all that is below.

This page is generated from what the readers say of themselves, and tests hold them to it: change ` + "`dialect/`" + `, then run
` + "`go test ./dialect/all -update`" + `.
`

var titles = map[decision.Dialect]string{decision.Core: "Kubernetes", decision.GatewayAPI: "Gateway API", decision.Istio: "Istio",
	decision.Linkerd: "Linkerd", decision.Cilium: "Cilium"}

func writeDialect(b *strings.Builder, d decision.Dialect, kinds []dialect.Kind) {
	fmt.Fprintf(b, "\n## %s\n", titles[d])
	var whole []string
	for i := range kinds {
		k := &kinds[i]
		rows := k.Support()
		if k.Lower == nil {
			whole = append(whole, fmt.Sprintf("| %s | %s | %s |\n", kindName(k), rows[0].State, cell(rows[0].Why)))
			continue
		}
		writeKind(b, k, rows)
	}
	if len(whole) > 0 {
		b.WriteString("\n### Kinds without effect\n\n| kind | | why |\n|---|---|---|\n" + strings.Join(whole, ""))
	}
}

func kindName(k *dialect.Kind) string {
	group := k.Group
	if group == "" {
		group = "core"
	}
	return fmt.Sprintf("%s (%s %s)", k.Name, group, strings.Join(k.Versions, ", "))
}

// writeKind writes one line for each state and reason: fields that share them stand together.
func writeKind(b *strings.Builder, k *dialect.Kind, rows []dialect.Row) {
	fmt.Fprintf(b, "\n### %s\n", kindName(k))
	if len(rows) == 0 {
		b.WriteString("\nIt has no fields but its name, labels and annotations, which others look at.\n")
		return
	}
	type group struct {
		state dialect.State
		why   string
	}
	var order []group
	paths := map[group][]string{}
	for _, r := range rows {
		g := group{r.State, r.Why}
		if paths[g] == nil {
			order = append(order, g)
		}
		paths[g] = append(paths[g], "`"+r.Path+"`")
	}
	for _, a := range k.Annotations {
		g := group{state: dialect.Works}
		if paths[g] == nil {
			order = append(order, g)
		}
		paths[g] = append(paths[g], "annotation `"+a+"`")
	}
	slices.SortStableFunc(order, func(a, b group) int { return int(a.state) - int(b.state) })
	b.WriteString("\n| | fields | why |\n|---|---|---|\n")
	for _, g := range order {
		fmt.Fprintf(b, "| %s | %s | %s |\n", g.state, strings.Join(paths[g], " "), cell(g.why))
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
