package guard

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Block is a fenced block of a page. Its first word is its language; what the further ones mean:
//
//	yaml [FILE] [wrong]   objects without errors (wrong: with errors), written to FILE for the commands that follow
//	yaml FILE values      values that weft install takes, written to FILE
//	txtar FILE            written to FILE
//	console [background]  "$ command" lines, each followed by what it prints, in which "..." stands for anything;
//	                      background: it is left running once it has printed that
//	console cluster       the same on a Kubernetes, by TestRealPages
//	sh                    make targets, and programs that the page only speaks of
//	go FILE               a quotation from a file of this repository, in which a line "..." leaves something out
type Block struct {
	Line  int
	Lang  string
	Words []string
	Text  string
}

// Blocks reads a page's.
func Blocks(page string) (out []Block) {
	open := -1
	for i, line := range strings.Split(page, "\n") {
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && open < 0:
			lang, words, _ := strings.Cut(strings.TrimSpace(fence), " ")
			out, open = append(out, Block{Line: i + 1, Lang: lang, Words: strings.Fields(words)}), i
		case ok:
			open = -1
		case open >= 0:
			out[len(out)-1].Text += line + "\n"
		}
	}
	return out
}

// Has says whether a word stands behind the language.
func (b *Block) Has(word string) bool { return slices.Contains(b.Words, word) }

// File is what the block is written to; empty: it is not.
func (b *Block) File() string {
	for _, w := range b.Words {
		if strings.ContainsAny(w, "./") {
			return w
		}
	}
	return ""
}

// Command is one of a console, with what it prints.
type Command struct {
	Line       int
	Text, Want string
}

// Commands are a console's. A command goes on in the next line behind a backslash.
func (b *Block) Commands() (out []Command) {
	more := false
	for i, line := range strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n") {
		text, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			out = append(out, Command{Line: b.Line + 1 + i, Text: text})
		case len(out) == 0:
			continue
		case more:
			out[len(out)-1].Text += "\n" + line
		default:
			out[len(out)-1].Want += line + "\n"
			continue
		}
		more = strings.HasSuffix(line, "\\")
	}
	return out
}

// Matches compares what a program printed with what a page shows: "..." is anything, a line of it any number of lines; runs of
// blanks are alike. prefix: more may follow.
func Matches(want, got string, prefix bool) bool {
	var re strings.Builder
	re.WriteString(`^`)
	for line := range strings.Lines(squeeze(want)) {
		if line == "...\n" {
			re.WriteString(`(?:.*\n)*`)
			continue
		}
		parts := strings.Split(line, "...")
		for i, p := range parts {
			parts[i] = regexp.QuoteMeta(p)
		}
		re.WriteString(strings.Join(parts, `.*`))
	}
	if !prefix {
		re.WriteString(`$`)
	}
	return regexp.MustCompile(re.String()).MatchString(squeeze(got))
}

var blanks = regexp.MustCompile(`[ \t]+`)

// squeeze makes one blank of many, and drops empty lines and blanks at ends.
func squeeze(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(blanks.ReplaceAllString(line, " ")); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// Quoted finds what a quotation says and its source does not. Indentation is not compared.
func Quoted(b Block, source string) (broken []string) {
	source = "\n" + squeeze(source)
	for part := range strings.SplitSeq("\n"+squeeze(b.Text), "\n...") {
		part = strings.TrimSpace(part) + "\n"
		if !strings.Contains(source, "\n"+part) {
			broken = append(broken, fmt.Sprintf("line %d: %s does not say:\n%s", b.Line, b.File(), part))
		}
	}
	return broken
}

var target = regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## `)

// Shell finds lines of sh blocks that cannot work: make has targets, go has folders, and what begins otherwise belongs into a
// console, which is run.
func Shell(b Block, makefile string, exists func(name string) bool) (broken []string) {
	var targets []string
	for _, m := range target.FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, m[1])
	}
	for i, line := range strings.Split(strings.TrimSpace(b.Text), "\n") {
		words := strings.Fields(strings.SplitN(line, "#", 2)[0])
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "git", "cd", "export":
		case "go":
			for _, w := range words[1:] {
				if dir, local := strings.CutPrefix(w, "./"); local && !exists(strings.TrimSuffix(dir, "/...")) {
					broken = append(broken, fmt.Sprintf("line %d: there is no %s", b.Line+1+i, w))
				}
			}
		case "make":
			for _, w := range words[1:] {
				if !strings.Contains(w, "=") && !slices.Contains(targets, w) {
					broken = append(broken, fmt.Sprintf("line %d: make has no target %s", b.Line+1+i, w))
				}
			}
		default:
			broken = append(broken, fmt.Sprintf("line %d: no test runs %q: make it a console block", b.Line+1+i, line))
		}
	}
	return broken
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile("(?m)^#{1,6} +(.+?) *$")
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`) // of a heading, in its anchor
)

// Anchors are the parts of a page that a link can name behind "#": its headings, as those who show Markdown write them.
func Anchors(page string) map[string]bool {
	out := map[string]bool{}
	for i, part := range strings.Split("\n"+page, "\n```") {
		if i%2 == 1 {
			continue // within a block # begins a comment
		}
		for _, m := range heading.FindAllStringSubmatch(part, -1) {
			first := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "")), ""), " ", "-")
			name := first
			for n := 1; out[name]; n++ {
				name = fmt.Sprintf("%s-%d", first, n)
			}
			out[name] = true
		}
	}
	return out
}

// Dead finds links of a page to files that are not there, and to parts that a page has not. name is the page's own path; read gives the text
// of what is there.
func Dead(name, page string, read func(name string) (text string, there bool)) (broken []string) {
	for _, m := range link.FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		to, part, _ := strings.Cut(m[1], "#")
		text, there := page, true
		if to != "" {
			text, there = read(path.Join(path.Dir(name), to))
		}
		switch {
		case !there:
			broken = append(broken, fmt.Sprintf("%s: links to %s, which is not there", name, m[1]))
		case part != "" && !Anchors(text)[part]:
			broken = append(broken, fmt.Sprintf("%s: links to %s, and no heading there is so", name, m[1]))
		}
	}
	return broken
}
