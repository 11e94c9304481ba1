package match

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestKeyMissesNothing: whatever a predicate matches is found by its key.
func TestKeyMissesNothing(t *testing.T) {
	texts := []string{"", "/", "//", "/a", "/A", "/a/", "/a/b", "/ab", "k", "K", "\u212a", "a\u212a", "s", "\u017f", "\u00e9", "\u00c9", "e\u0301", "\u03c3", "\u03c2", "\u03a3", "\u0130", "i",
		"\xff", "\xfe", "a\xff", "a\xe2", "a\xe2\x82", "a\u20ac", "\u20ac", "\ufffd", "k\ufffd", "\u212a\u20ac", "\u20aca", "\x82\xaca", "\xaca", "a.b", "1+", strings.Repeat("x", 70), strings.Repeat("x", 70) + "/y"}
	matched := 0
	for kind := Exact; kind <= Regex; kind++ {
		for _, value := range texts {
			for _, fold := range []bool{false, true} {
				s := String{Kind: kind, Value: value, Fold: fold}
				if s.Compile() != nil {
					continue // of an expression that is none
				}
				var x links
				var all table
				k := s.key(byPath, "")
				all.add(&x, &k, 0)
				for _, text := range texts {
					if !s.Match(text) {
						continue
					}
					matched++
					if !found(&all, x, text) {
						t.Errorf("%v, fold %v: %q is not found", s, fold, text)
					}
					if i := len(text) / 2; utf8.ValidString(text[:i]) && utf8.ValidString(text[i:]) && !found(&all, x, text[:i], text[i:]) {
						t.Errorf("%v, fold %v: %q in two pieces is not found", s, fold, text)
					}
				}
			}
		}
	}
	if matched < 300 {
		t.Errorf("only %d matched", matched)
	}
}

func found(all *table, x links, pieces ...string) bool {
	s := search{shelf: &shelf{links: x}, match: func(int) bool { return true }, best: 1}
	all.find(&s, pieces...)
	return s.best == 0
}

// TestLiteral: what an expression's matches begin with.
func TestLiteral(t *testing.T) {
	for expr, want := range map[string]struct {
		text string
		ends bool
	}{
		"": {"", true}, "/a": {"/a", true}, "^/a$": {"/a", true}, "/a.*": {"/a", false}, "/a[0-9]+/b": {"/a", false}, "(/a)/b": {"/a/b", true},
		"/a|/b": {"/", false}, "a|b": {"", false}, ".*": {"", false}, "(/a)?b": {"", false}, `/a\.b`: {"/a.b", true}, `\Q/a+\E+`: {"/a", false},
		"(?:/a/(?:b|c))": {"/a/", false}, "(": {"", false}, `\b/a`: {"/a", true},
	} {
		if text, ends := literal(expr); text != want.text || ends != want.ends {
			t.Errorf("%s: %q %v", expr, text, ends)
		}
	}
}
