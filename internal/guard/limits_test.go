package guard

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// quoted is the last cell of a limit's row: a piece of code and the file that has it.
var quoted = regexp.MustCompile("\\| `([^`]+)` \\[[^]]+\\]\\(([^)]+\\.go)\\) \\|$")

// TestLimits: docs/proxy.md quotes the limits from the code as it is.
func TestLimits(t *testing.T) {
	page, err := fs.ReadFile(root, "docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## Limits\n")
	table, _, _ = strings.Cut(table, "\n### ")
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| limit") {
			continue
		}
		rows++
		m := quoted.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Errorf("quotes no code: %s", line)
			continue
		}
		file := path.Join("docs", m[2])
		if src, err := fs.ReadFile(root, file); err != nil || !strings.Contains(string(src), m[1]) {
			t.Errorf("docs/proxy.md says %q is in %s, which it is not (%v): read that file, and put the limit right", m[1], file, err)
		}
	}
	if rows < 20 {
		t.Errorf("%d limits: the table is not where it was", rows)
	}
}
