package main

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"text/template"
	"time"

	"github.com/weft-mesh/weft/test/machine"
)

//go:embed performance.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"table": markdown}).Parse(pageText))

// page is docs/performance.md.
func (r *results) page(f *flags, t *tools) ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{
		"Results": r, "Failed": r.failed(), "Passed": len(r.Verdicts) - r.failed(), "Rounds": f.rounds, "Window": f.window, "Cases": f.cases, "Foreign": f.bound,
		"Date": time.Now().UTC().Format(time.DateOnly), "CPU": machine.Processor(), "Cores": runtime.NumCPU(), "Kernel": machine.Kernel(), "Go": runtime.Version(),
		"Versions": []string{said(t.nginx, "-v"), said(t.haproxy, "-v"), said(t.envoy, "--version")},
	})
	return b.Bytes(), err
}

// markdown is a group's table.
func markdown(g *group) string {
	var b strings.Builder
	for i, row := range g.columns() {
		for len(row) < len(g.columns()[0]) {
			row = append(row, "")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// said is the version in the first line that a program says of itself.
func said(program string, arg string) string {
	out, err := exec.Command(program, arg).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if program, version, ok := strings.Cut(line, "version: "); ok {
		if strings.HasPrefix(program, "nginx") { // whose version has its name in it
			return version
		}
		return "Envoy " + version // it begins with its path
	}
	line, _, _ = strings.Cut(line, " - https")
	return line
}
