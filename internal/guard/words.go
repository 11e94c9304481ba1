package guard

import (
	"fmt"
	"regexp"
	"strings"
)

// words are what no committed file may say, and why.
var words = []struct {
	what *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`(^|[\s"'=(:])/(work/|home/[a-z]+/|root/[.g])`), "it is a path of one machine"},
	{regexp.MustCompile(`\b(proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org|pypi\.org|deb\.debian\.org|archive\.ubuntu\.com)\b`),
		"which registry serves a machine is that machine's own setting"},
	{regexp.MustCompile(`\bGO(PROXY|SUMDB|NOSUMDB|NOSUMCHECK|PRIVATE|INSECURE)\b`), "which registry serves a machine is that machine's own setting"},
	{regexp.MustCompile(`(//|#|<!--).*\b(TODO|FIXME|XXX)\b`), "what is not worth doing is left out, and what is, is done"},
}

// Words finds what no committed file may say.
func Words(name, text string) (broken []string) {
	for i, line := range strings.Split(text, "\n") {
		for _, w := range words {
			if m := w.what.FindString(line); m != "" {
				broken = append(broken, fmt.Sprintf("%s:%d: says %q: %s", name, i+1, strings.TrimSpace(m), w.why))
			}
		}
	}
	return broken
}
