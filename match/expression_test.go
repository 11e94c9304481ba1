package match

import (
	"strings"
	"testing"
)

// TestExpressionsAreBounded: nobody makes a proxy hold, or compile for long, what he says in few words.
func TestExpressionsAreBounded(t *testing.T) {
	for _, x := range []struct {
		what, text string
		good       bool
	}{
		{"plain", "/api/v[0-9]+/.*", true},
		{"no expression", "(", false},
		{"letters of any script", `[\pL\pN_-]{1,64}`, true},
		{"many alternatives", strings.Repeat("/some/path|", 400) + "/", true},
		{"a thousand of one", "[^/]{1000}", true},
		{"repetitions one after the other", strings.Repeat("a{1000}", 585), false},
		{"repetitions in each other", strings.Repeat("((a{10}){10}){10}", 100), false},
		{"at least so many", strings.Repeat("a{1000,}", 100), false},
		{"classes", strings.Repeat(`\pL`, 1365), false},
	} {
		if _, err := Expression(x.text); (err == nil) != x.good {
			t.Errorf("%s: %v", x.what, err)
		}
		if err := (&String{Kind: Regex, Value: x.text}).Compile(); (err == nil) != x.good {
			t.Errorf("%s, as a whole value: %v", x.what, err)
		}
	}
}

// TestExpressionsOfWholeValues: what is an expression alone, and none once it has to be the whole value, is refused; so is the reverse.
func TestExpressionsOfWholeValues(t *testing.T) {
	for _, text := range []string{`\Qa`, "a)|(b", strings.Repeat("(", 999) + strings.Repeat(")", 999)} {
		if err := (&String{Kind: Regex, Value: text}).Compile(); err == nil {
			t.Errorf("%.10q is taken", text)
		}
	}
	if s := (String{Kind: Regex, Value: `\Qa.b\E`}); s.Compile() != nil || !s.Match("a.b") || s.Match("aab") {
		t.Errorf("%+v", s)
	}
}
