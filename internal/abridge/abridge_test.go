package abridge

import "testing"

// A text can be had back, and takes as little as it is meant to.
func TestFull(t *testing.T) {
	for _, x := range []struct {
		text, stem string
		most       int
	}{
		{`{"metadata":{"uid":"1"},"a":"shop-backend","b":"shop-backend-x"}`, "shop-backend", 28},
		{`{"metadata":{"uid":"1"},"a":"shop"}`, "shop", 18},
		{`{"a":1}`, "", 7},
		{`{"generation":1}`, "generation", 7}, // what is often said is not found then
	} {
		short := Shorten(x.text, x.stem)
		if got := Full(short, x.stem); got != x.text || len(short) > x.most {
			t.Errorf("%s by %q became %q, and %s", x.text, x.stem, short, got)
		}
	}
}

// Each of what is often said has a mark of its own.
func TestMarks(t *testing.T) {
	seen := map[byte]bool{stemMark[0]: true}
	for i := range often {
		if seen[marks[i]] {
			t.Errorf("%q has the mark of another", often[i])
		}
		seen[marks[i]] = true
	}
}
