package guard

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Reference writes docs/cli.md: every command on one page. cobra's own generator makes a page for each.
func Reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\n" + root.Long + "\n\nOutput is a table for people and, with `-o json`, JSON for programs. Errors go to standard " +
		"error and say what to do next.\n\nThis page is made from the commands themselves: run `make docs` after a change.\n\n")
	commands := leaves(root)
	for _, c := range commands {
		fmt.Fprintf(&b, "- [%s](#%s): %s\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), lower(c.Short))
	}
	for _, c := range commands {
		section(&b, c)
	}
	return b.String()
}

// leaves are the commands that do something, in order of their names.
func leaves(c *cobra.Command) (out []*cobra.Command) {
	if c.Runnable() {
		out = append(out, c)
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() && sub.Name() != "completion" {
			out = append(out, leaves(sub)...)
		}
	}
	return out
}

func section(b *strings.Builder, c *cobra.Command) {
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n```\n%s\n```\n\n%s\n", c.CommandPath(), c.UseLine(), indented(long))
	if c.HasExample() {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimRight(dedent(c.Example), "\n"))
	}
	if c.HasAvailableLocalFlags() {
		fmt.Fprintf(b, "\nFlags:\n\n```\n%s\n```\n", strings.TrimRight(c.LocalFlags().FlagUsages(), "\n"))
	}
}

// indented puts the indented lines of a text into a block, so that Markdown keeps them.
func indented(text string) string {
	var out []string
	inside := false
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		code := strings.HasPrefix(line, "  ") || inside && line == "" && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ")
		if code != inside {
			out, inside = append(out, "```"), code
		}
		out = append(out, strings.TrimPrefix(line, "  "))
	}
	if inside {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

func dedent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }
