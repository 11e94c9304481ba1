package guard

import (
	"reflect"
	"strings"
	"testing"
)

func block(t *testing.T, text string) Block {
	t.Helper()
	all := Blocks(strings.ReplaceAll(text, "'''", "```"))
	if len(all) != 1 {
		t.Fatalf("%d blocks in %q", len(all), text)
	}
	return all[0]
}

func TestBlocks(t *testing.T) {
	page := "text\n```yaml mesh/a.yaml wrong\na: 1\n\n```\nmore\n```\nplain\n```\n"
	want := []Block{
		{Line: 2, Lang: "yaml", Words: []string{"mesh/a.yaml", "wrong"}, Text: "a: 1\n\n"},
		{Line: 7, Words: []string{}, Text: "plain\n"},
	}
	got := Blocks(page)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v", got)
	}
	if got[0].File() != "mesh/a.yaml" || !got[0].Has("wrong") || got[1].File() != "" {
		t.Errorf("%+v", got)
	}
}

func TestCommands(t *testing.T) {
	b := block(t, "'''console\n$ a b\nout\n\nput\n$ c \\\n  d\n$ e\n'''")
	want := []Command{{2, "a b", "out\n\nput\n"}, {6, "c \\\n  d", ""}, {8, "e", ""}}
	if got := b.Commands(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestMatches(t *testing.T) {
	for _, x := range []struct {
		want, got string
		prefix    bool
		ok        bool
	}{
		{"a\nb\n", "a\nb\n", false, true},
		{"a\nb\n", "a\nc\n", false, false},
		{"a\n", "a\nb\n", false, false},
		{"a\n", "a\nb\n", true, true},
		{"", "anything\n", true, true},
		{"", "anything\n", false, false},
		{"a  b\n", " a b \n\n", false, true},
		{"took ...ms\n", "took 12.5ms\n", false, true},
		{"took ...ms\n", "took 12.5s\n", false, false},
		{"a\n...\nd\n", "a\nb\nc\nd\n", false, true},
		{"a\n...\nd\n", "a\nd\n", false, true},
		{"a\n...\nd\n", "a\nb\n", false, false},
		{"a.c\n", "abc\n", false, false},
		{"a", "a", false, true},
	} {
		if Matches(x.want, x.got, x.prefix) != x.ok {
			t.Errorf("%q against %q (prefix %v): want %v", x.want, x.got, x.prefix, x.ok)
		}
	}
}

func TestQuoted(t *testing.T) {
	const source = "package a\n\nfunc f() {\n\tg()\n\n\th()\n}\n\nfunc g() {}\n"
	for _, x := range []struct{ text, want string }{
		{"func f() {\n    g()\n    h()\n}", ""},
		{"func f() {\n\t...\n}\nfunc g() {}", ""},
		{"func f() {\n...\nfunc h() {}", "does not say:\nfunc h() {}"},
		{"func f() {\n\th()", "does not say"},
		{"c g() {}", "does not say"}, // whole lines
	} {
		says(t, x.text, Quoted(block(t, "'''go a/a.go\n"+x.text+"\n'''"), source), x.want)
	}
}

func TestShell(t *testing.T) {
	const makefile = "test: build ## every test\nhidden:\n"
	for _, x := range []struct{ text, want string }{
		{"make test", ""},
		{"make test X=1 # all of them", ""},
		{"make hidden", "make has no target hidden"},
		{"git clone x\ncd x\n\n# and then\ngo run ./a", ""},
		{"go run ./b", "line 2: there is no ./b"},
		{"weft up", "make it a console block"},
	} {
		says(t, x.text, Shell(block(t, "'''sh\n"+x.text+"\n'''"), makefile, func(name string) bool { return name == "a" }), x.want)
	}
}

func TestAnchors(t *testing.T) {
	page := strings.ReplaceAll("# `a.go`: it's *here*\n'''sh\n# no part\n'''\n## [A b](x.md), twice\n## A b, twice\n#no part\n### snake_case - ü\n", "'''", "```")
	want := map[string]bool{"ago-its-here": true, "a-b-twice": true, "a-b-twice-1": true, "snake_case---ü": true}
	if got := Anchors(page); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestDead(t *testing.T) {
	read := func(name string) (string, bool) {
		text, there := map[string]string{"docs/a.md": "# A\n## Part\n", "chain/chain.go": "package chain\n"}[name]
		return text, there
	}
	for _, x := range []struct{ text, want string }{
		{"[a](a.md#part), [chain](../chain/chain.go), [out](https://example.org/b.md#x), [here](#this)\n## This", ""},
		{"![picture](a.svg)", "docs/b.md: links to a.svg"},
		{"[a](docs/a.md)", "links to docs/a.md"},
		{"[a](a.md#parts)", "links to a.md#parts, and no heading there is so"},
		{"[here](#part)", "links to #part, and no heading"},
	} {
		says(t, x.text, Dead("docs/b.md", x.text, read), x.want)
	}
}
