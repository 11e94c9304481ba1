package metrics

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parsed is what a scraper makes of a text: values by name and labels, as one sorted string.
type parsed map[string]float64

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// parse reads the text format strictly (Prometheus, "Exposition formats", text-based format 0.0.4): "Lines are separated by a line
// feed character. The last line must end with a line feed"; "All lines for a given metric must be provided as one single group,
// with the optional HELP and TYPE lines first"; "Each line must have a unique combination of a metric name and labels"; "Label
// values can be any sequence of UTF-8 characters, but the backslash, double-quote, and line feed characters have to be escaped".
func parse(text string) (parsed, error) {
	if !utf8.ValidString(text) || text != "" && !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the text is no UTF-8, or does not end with a line feed")
	}
	out, types, helped := parsed{}, map[string]string{}, map[string]bool{}
	group, over := "", map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		name := strings.FieldsFunc(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), func(r rune) bool { return r == ' ' || r == '{' })[0]
		family := familyOf(name, types)
		if family != group {
			if over[family] {
				return nil, fmt.Errorf("%s: two groups", family)
			}
			group, over[family] = family, true
		}
		switch {
		case strings.HasPrefix(line, "# HELP "):
			if helped[name] {
				return nil, fmt.Errorf("%s: two helps", name)
			}
			helped[name] = true
		case strings.HasPrefix(line, "# TYPE "):
			kind := line[strings.LastIndexByte(line, ' ')+1:]
			if types[name] != "" || !slices.Contains([]string{"counter", "gauge", "histogram"}, kind) {
				return nil, fmt.Errorf("%s: type %q", name, kind)
			}
			types[name] = kind
		default:
			key, v, err := parseSample(line)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			if _, twice := out[key]; twice || types[family] == "" || !helped[family] {
				return nil, fmt.Errorf("%q: there already, or without type or help", key)
			}
			if types[family] != "gauge" && v < 0 {
				return nil, fmt.Errorf("%q: negative", line)
			}
			out[key] = v
		}
	}
	return out, histograms(out, types)
}

func familyOf(name string, types map[string]string) string {
	for _, end := range []string{"_bucket", "_sum", "_count"} {
		if f, ok := strings.CutSuffix(name, end); ok && types[f] == "histogram" {
			return f
		}
	}
	return name
}

func parseSample(line string) (key string, v float64, err error) {
	at := strings.IndexAny(line, "{ ")
	if at < 0 || !metricName.MatchString(line[:at]) {
		return "", 0, errors.New("no name")
	}
	name, rest, labels := line[:at], line[at:], map[string]string{}
	if rest[0] == '{' {
		for rest = rest[1:]; ; {
			n, after, ok := strings.Cut(rest, `="`)
			if !ok || !labelName.MatchString(n) {
				return "", 0, fmt.Errorf("label %q", n)
			}
			value, after, err := parseValue(after)
			if _, twice := labels[n]; twice || err != nil {
				return "", 0, fmt.Errorf("label %s: twice, or %w", n, err)
			}
			labels[n] = value
			if rest = after; strings.HasPrefix(rest, "}") {
				rest = rest[1:]
				break
			}
			if rest, ok = strings.CutPrefix(rest, ","); !ok {
				return "", 0, errors.New("no comma")
			}
		}
	}
	value, ok := strings.CutPrefix(rest, " ")
	if !ok {
		return "", 0, errors.New("no value")
	}
	v, err = strconv.ParseFloat(value, 64)
	return series1(name, labels), v, err
}

func parseValue(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) || !strings.ContainsRune(`\"n`, rune(s[i])) {
				return "", "", errors.New("a bad escape")
			}
			b.WriteByte(map[byte]byte{'\\': '\\', '"': '"', 'n': '\n'}[s[i]])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("no end")
}

// series1 is a name with its labels in alphabetic order.
func series1(name string, labels map[string]string) string {
	for _, n := range slices.Sorted(maps.Keys(labels)) {
		name += fmt.Sprintf(" %s=%q", n, labels[n])
	}
	return name
}

// histograms: buckets are cumulative, the last is +Inf and equals the count.
func histograms(p parsed, types map[string]string) error {
	le := regexp.MustCompile(` le="([^"]*)"`)
	last, bound := map[string]float64{}, map[string]float64{}
	type bucket struct {
		of    string
		le, n float64
	}
	var all []bucket
	for key, n := range p {
		name, _, _ := strings.Cut(key, " ")
		if f, ok := strings.CutSuffix(name, "_bucket"); ok && types[f] == "histogram" {
			m := le.FindStringSubmatch(key)
			if m == nil {
				return fmt.Errorf("%s: a bucket without bound", key)
			}
			x, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return err
			}
			all = append(all, bucket{f + le.ReplaceAllString(key[len(name):], ""), x, n})
		}
	}
	slices.SortFunc(all, func(a, b bucket) int {
		if a.le < b.le {
			return -1
		}
		return 1
	})
	for _, b := range all {
		if b.n < last[b.of] {
			return fmt.Errorf("%s: %v calls up to %v, fewer than before", b.of, b.n, b.le)
		}
		last[b.of], bound[b.of] = b.n, b.le
	}
	for of, n := range last {
		name, labels, _ := strings.Cut(of, " ")
		if count, ok := p[strings.TrimSuffix(name+"_count "+labels, " ")]; !ok || count != n || bound[of] < 1e300 {
			return fmt.Errorf("%s: %v in the last bucket, to %v, and a count of %v", of, n, bound[of], count)
		}
		if _, ok := p[strings.TrimSuffix(name+"_sum "+labels, " ")]; !ok {
			return fmt.Errorf("%s: no sum", of)
		}
	}
	return nil
}

// sum adds up the samples of a metric that have labels, each ` name="value"`.
func (p parsed) sum(name string, labels ...string) (total float64, n int) {
	for key, v := range p {
		if strings.HasPrefix(key+" ", name+" ") && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(key, l) }) {
			total += v
			n++
		}
	}
	return total, n
}
