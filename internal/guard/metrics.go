package guard

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// foreign are metrics that have the names which other meshes gave them, for dashboards that exist.
var foreign = map[string]string{
	"istio_requests_total":               "Istio's",
	"istio_tcp_connections_closed_total": "Istio's",
	"response_total":                     "Linkerd's",
}

var (
	snake  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (?:[-+]?[0-9.eE+-]+|[-+]?Inf|NaN)$`)
	label  = regexp.MustCompile(`([^\s,={}"]+)="(?:[^"\\]|\\.)*"`)
)

// units end the names of what has a unit, in the base unit; others stand for what they count.
var units = map[string]string{"milliseconds": "seconds", "ms": "seconds", "micros": "seconds", "nanoseconds": "seconds", "duration": "duration_seconds",
	"latency": "latency_seconds", "kilobytes": "bytes", "kb": "bytes", "mb": "bytes", "percent": "ratio"}

// Exposition finds what breaks the rule of metrics in a text of Prometheus's format: https://prometheus.io/docs/practices/naming.
func Exposition(text string) (broken []string) {
	types, helped := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		words := strings.SplitN(line, " ", 4)
		switch {
		case line == "":
		case strings.HasPrefix(line, "# HELP ") && len(words) == 4:
			helped[words[2]] = true
		case strings.HasPrefix(line, "# TYPE ") && len(words) == 4:
			types[words[2]] = words[3]
			broken = append(broken, metricName(words[2], words[3])...)
			if !helped[words[2]] {
				broken = append(broken, words[2]+": has no help")
			}
		default:
			broken = append(broken, sampleLine(line, types)...)
		}
	}
	return broken
}

func sampleLine(line string, types map[string]string) (broken []string) {
	m := sample.FindStringSubmatch(line)
	if m == nil {
		return []string{line + ": is no sample"}
	}
	family := m[1]
	for _, end := range []string{"_bucket", "_sum", "_count"} {
		if f, ok := strings.CutSuffix(m[1], end); ok && types[f] == "histogram" {
			family = f
		}
	}
	if types[family] == "" {
		broken = append(broken, m[1]+": has no type")
	}
	for _, l := range label.FindAllStringSubmatch(m[2], -1) {
		broken = append(broken, labelName(m[1], l[1])...)
	}
	return broken
}

func metricName(name, kind string) (broken []string) {
	if foreign[name] != "" {
		return nil
	}
	add := func(why string) { broken = append(broken, name+": "+why) }
	rest, ours := strings.CutPrefix(name, "weft_")
	if !ours || !snake.MatchString(rest) {
		add("is not weft_ and words in snake_case")
	}
	stem, total := strings.CutSuffix(rest, "_total")
	if total != (kind == "counter") {
		add("counters end in _total, and nothing else does")
	}
	last := stem[strings.LastIndexByte(stem, '_')+1:]
	if want := units[last]; want != "" {
		add(fmt.Sprintf("%q at its end: say %q", last, want))
	}
	if kind == "histogram" && !slices.Contains([]string{"seconds", "bytes"}, last) {
		add("a histogram ends in its unit, _seconds or _bytes")
	}
	return broken
}

func labelName(metric, name string) []string {
	if snake.MatchString(name) {
		return nil
	}
	return []string{fmt.Sprintf("%s: label %q is not in snake_case", metric, name)}
}

// Registered finds what breaks the rule where code registers metrics: NewCounts(name, help, label) and NewGauge(name, help, ...).
func Registered(tree []*Package) (broken []string) {
	for _, p := range tree {
		for _, f := range p.code() {
			ast.Inspect(f.Syntax, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				for _, b := range registers(call) {
					broken = append(broken, f.at(call.Pos())+": "+b)
				}
				return true
			})
		}
	}
	return broken
}

func registers(call *ast.CallExpr) (broken []string) {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "NewCounts" && s.Sel.Name != "NewGauge" || len(call.Args) < 3 {
		return nil
	}
	name, ok := literal(call.Args[0])
	if !ok {
		return []string{"a metric's name stands where it is registered, so that it can be found"}
	}
	if help, ok := literal(call.Args[1]); ok && help == "" {
		broken = append(broken, name+": has no help")
	}
	if s.Sel.Name == "NewGauge" {
		return append(broken, metricName(name, "gauge")...)
	}
	broken = append(broken, metricName(name, "counter")...)
	if l, ok := literal(call.Args[2]); ok {
		broken = append(broken, labelName(name, l)...)
	}
	return broken
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}
