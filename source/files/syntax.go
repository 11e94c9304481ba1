package files

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// syntax takes the line out of the YAML library's words, "yaml: line 3: found ...". It is 1 where nothing tells.
func syntax(err error, doc []byte) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
		return min(line+late(text), 1+bytes.Count(doc, []byte("\n"))), text
	}
	if name, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		if before, _, found := bytes.Cut(doc, []byte("*"+name)); found {
			return 1 + bytes.Count(before, []byte("\n")), text
		}
	}
	return 1, text
}

// late is what the library's line lacks: its parser counts from 0 where its scanner counts from 1.
func late(text string) int {
	wanted, ok := strings.CutPrefix(text, "did not find expected ")
	parser := func(word string) bool { return strings.HasPrefix(wanted, word) }
	if ok && slices.ContainsFunc([]string{"<", "node content", "key", "'-' indicator", "',' or"}, parser) {
		return 1
	}
	return 0
}
